"""`unsure bench` times what the server computes, beside the loop that people write."""

import copy
import json
from typing import Any

import pytest
import taggers
import texts
import torch
from click.testing import CliRunner, Result
from networks import any_length, mlp
from repositories import Repository

from service.cli import main
from service.errors import ModelError
from service.predictor.served_model import ServedModel
from service.sampling.engine import Engine
from service.settings import Settings
from service.speed import measuring

NEVER = ("--compile-after-seconds", "0")
WANTED = measuring.Wanted("small", None, (2,), 20, 64)


def bench(repository: Repository, *arguments: str) -> Result:
    options = ("--repository", str(repository.path), "--factories", "networks,texts")
    return CliRunner().invoke(main, ["bench", "small", *arguments, *options])


def settings(repository: Repository) -> Settings:
    return Settings(repository=repository.path, factories="networks", compile_after_seconds=0.0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Tell what was sampled: the shape of the rows, and the number of samples behind it."""
    seen: list[tuple[int, ...]] = []
    drawn = ServedModel.drawn

    def told(self: ServedModel, inputs: Any, draw: Any, seed: int) -> Any:
        sampled = drawn(self, inputs, draw, seed)
        seen.append((*inputs[0].shape, int(sampled.measures.samples[0])))
        return sampled

    monkeypatch.setattr(ServedModel, "drawn", told)
    return seen


def test_each_number_of_rows_is_measured_as_it_is_served(
    repository: Repository, asked: list[tuple[int, ...]]
) -> None:
    repository.add()
    told = bench(repository, "--rows", "1,4", "--samples", "20", "--json", *NEVER)
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert [found[key] for key in ("model", "version", "samples", "device")] == ["small", "1", 20, "cpu"]
    assert found["threads"] == torch.get_num_threads()
    assert [one["rows"] for one in found["timed"]] == [1, 4]
    assert set(asked) == {(1, 6, 20), (4, 6, 20)}
    for one in found["timed"]:
        assert (one["plan"] in ("loop", "vmap", "fold", "thinned"), one["compiled"]) == (True, False)
        assert min(one["prediction"], one["served"], one["usual_loop"]) > 0


def test_the_usual_loop_is_that_of_the_network_in_training_mode(repository: Repository) -> None:
    """The same numbers as by hand, from the same place of torch's generator: a mask for each row."""
    torch.manual_seed(5)
    network = mlp()
    repository.add(network=copy.deepcopy(network))
    model = measuring.load(settings(repository), "small", None)
    training = measuring._training(settings(repository), WANTED)
    rows = torch.randn(3, 6).repeat(2, 1)
    torch.manual_seed(7)
    given = measuring._Bench(model, training, 20, 64, compiles=False)._usual_loop((rows,), 20)
    torch.manual_seed(7)
    with torch.no_grad():
        expected = torch.stack([network.train()(rows) for _ in range(20)])
    assert torch.equal(given, expected)
    assert not torch.equal(given[:, :3], given[:, 3:])


def test_people_read_a_table(repository: Repository) -> None:
    repository.add()
    lines = bench(repository, "--rows", "1", *NEVER).stdout.splitlines()
    assert lines[0].startswith("small, version 1: 50 samples a row, on cpu with ")
    assert " ".join(lines[2].split()) == "rows prediction usual loop served times faster rows a second by"
    rows, prediction, usual, served, faster, each, plan = lines[3].split()
    assert rows == "1"
    assert float(faster) == pytest.approx(float(usual) / float(served), rel=0.1)
    assert float(each) == pytest.approx(1000 / float(served), rel=0.1)
    assert float(prediction) > 0
    assert plan in ("loop", "vmap", "fold", "thinned")


@pytest.mark.parametrize("works", [True, False])
def test_code_is_compiled_first_unless_it_is_no_faster(
    repository: Repository, works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[int, int]] = []

    def compiled(_self: Engine, inputs: tuple[torch.Tensor, ...], _seed: int, samples: int) -> None:
        tried.append((len(inputs[0]), samples))
        if not works:
            raise ModelError("no code was compiled: compiled code is no faster")

    monkeypatch.setattr(Engine, "compile", compiled)
    repository.add()
    told = bench(repository, "--rows", "2", "--samples", "10").stdout
    assert tried == [(2, 10)]
    assert (", compiled" in told) is works


def test_rows_of_any_length_have_the_one_that_is_asked_for(
    repository: Repository, asked: list[tuple[int, ...]]
) -> None:
    repository.add(
        network=any_length(),
        factory="any_length",
        input=[{"name": "steps", "dtype": "float32", "shape": [-1, 6]}],
    )
    assert bench(repository, "--rows", "2", "--length", "11", "--samples", "5", *NEVER).exit_code == 0
    assert set(asked) == {(2, 11, 6, 5)}


def test_texts_whose_tokens_are_labelled_have_the_length_that_is_asked_for(
    repository: Repository, asked: list[tuple[int, ...]]
) -> None:
    """The usual loop, too, is not given which of their tokens have an answer."""
    taggers.add(repository, "small")
    told = bench(repository, "--rows", "2", "--length", "7", "--samples", "5", "--plan", "vmap", *NEVER)
    assert told.exit_code == 0, (told.output, told.exception)
    assert set(asked) == {(2, 7, 5)}


def test_an_exact_model_draws_nothing(repository: Repository) -> None:
    repository.add(
        factory="linear",
        task="regression",
        output={},
        policy={"measure": "standard_deviation", "threshold": 0.4},
        sampling={"samples": "exact"},
    )
    lines = bench(repository, "--rows", "1", *NEVER).stdout.splitlines()
    assert "no samples, in closed form" in lines[0]
    assert lines[3].split()[2] == "-"
    assert lines[3].endswith("closed form")


@pytest.mark.parametrize(
    ("factory", "arguments", "code", "sentence"),
    [
        ("plain", (), 1, "has no dropout to sample: there is nothing to compare"),
        ("mlp", ("--version", "4"), 1, "has no version 4"),
        ("mlp", ("--rows", "1,0"), 2, "1,0 is no list of numbers such as 1,8,32"),
        ("mlp", ("--rows", "few"), 2, "few is no list of numbers"),
        ("mlp", ("--samples", "1"), 2, "1 is not in the range x>=2"),
        ("mlp", ("--samples", "1001"), 1, "samples must be from 2 to 1000, and is 1001"),
        ("mlp", ("--rows", str(10**14), *NEVER), 1, f"with {10**14} rows the model ran out of memory"),
        ("mlp", ("--rows", str(10**30), *NEVER), 1, f"with {10**30} rows the model raised "),
    ],
)
def test_what_is_wrong_is_said(
    repository: Repository, factory: str, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    repository.add(factory=factory)
    told = bench(repository, *arguments)
    assert told.exit_code == code
    assert sentence in told.output
    assert "Traceback" not in told.output


def test_a_model_that_fails_in_the_usual_loop_alone_is_told(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> torch.Tensor:
        raise ZeroDivisionError("no training here")

    monkeypatch.setattr(measuring._Bench, "_usual_loop", fails)
    repository.add()
    told = bench(repository, "--rows", "3", *NEVER)
    assert told.exit_code == 1
    assert (
        "with 3 rows the model raised ZeroDivisionError (ZeroDivisionError: no training here)" in told.output
    )


def test_texts_have_as_many_tokens_as_a_model_takes_at_most(
    repository: Repository, asked: list[tuple[int, ...]]
) -> None:
    texts.add(repository, "small")
    arguments = ("--rows", "1", "--samples", "5", *NEVER)
    assert bench(repository, *arguments).exit_code == 0
    assert set(asked) == {(1, texts.MAX_TOKENS, 5)}
    told = bench(repository, *arguments, "--length", str(texts.MAX_TOKENS + 1))
    assert told.exit_code == 1
    assert "--length 13: a text of model small has 12 tokens at most" in told.output
