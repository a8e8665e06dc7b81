"""What `unsure inspect` prints is what the server would serve; what is wrong is one clear sentence."""

import json

import pytest
from click.testing import CliRunner, Result
from repositories import Repository
from servers import Serve

from service.cli import main


def inspect(repository: Repository, *arguments: str) -> Result:
    options = ("--repository", str(repository.path), "--factories", "networks")
    return CliRunner().invoke(main, ["inspect", *arguments, *options])


def test_the_report_names_every_site_and_what_runs(repository: Repository) -> None:
    repository.add(sampling={"sites": ["5"], "samples": 20})
    told = inspect(repository, "small")
    assert told.exit_code == 0
    lines = told.output.splitlines()
    heading = "small, version 1: classification, 1,379 parameters, one row is features float32[6]"
    assert told.output.replace("\n  ", " ").startswith(heading)
    (head,) = [number for number, line in enumerate(lines) if line.startswith("site ")]
    assert lines[head].split() == ["site", "kind", "rate", "mask", "sampled", "cost", "params"]
    assert [line.split() for line in lines[head + 1 : head + 3]] == [
        ["2", "dropout", "0.5", "1×32", "no", "85%", "84%"],
        ["5", "dropout", "0.5", "1×32", "yes", "7%", "7%"],
    ]
    assert "info: 2: sampling.sites leaves it out: it drops nothing [not_sampled]" in lines
    assert "  What to do: Nothing, unless it was meant to be sampled." in lines
    assert "  Source: docs/model-repository.md" in lines
    assert "Milliseconds for 20 samples, now or at an earlier load:" in lines
    assert any(line.startswith("1 row and more: ") for line in lines)
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(("columns", "broken"), [(80, True), (120, False)])
def test_lines_are_as_wide_as_the_terminal(
    repository: Repository, columns: int, broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that is too long is broken at a dot, and nothing of it is lost."""
    monkeypatch.setenv("COLUMNS", str(columns))
    repository.add(factory="nested", sampling={"sites": ["*.attention.*"]})
    lines = inspect(repository, "small", "--plan", "loop").output.splitlines()
    assert max(map(len, lines)) <= columns
    path = "encoder.layers.attention.output.dense.dropout"
    assert any(line.startswith(path) for line in lines) is not broken
    assert path in "".join(line.split("  ")[0] or line.split()[0] for line in lines if line)


def test_a_pinned_plan_is_told_without_times(repository: Repository) -> None:
    repository.add()
    lines = inspect(repository, "small", "--plan", "fold").output.splitlines()
    assert "1 row and more: fold" in lines
    assert not any("Milliseconds" in line for line in lines)
    assert "Nothing was found wrong with its dropout." in lines


def test_plans_that_are_not_used_are_told_with_the_reason(repository: Repository) -> None:
    repository.add(factory="in_place_alias")
    assert "not used: vmap: it differs from the loop by" in inspect(repository, "small").output


def test_json_is_what_the_server_answers(repository: Repository, serve: Serve) -> None:
    repository.add(version=3)
    told = inspect(repository, "small", "--json", "--plan", "vmap")
    assert json.loads(told.output) == serve().get("/v1/models/small/dropout").json()


def test_a_version_can_be_chosen(repository: Repository) -> None:
    repository.add(version=1)
    repository.add(version=2)
    assert inspect(repository, "small").output.startswith("small, version 2:")
    assert inspect(repository, "small", "--version", "1").output.startswith("small, version 1:")


def test_a_model_without_dropout_has_no_plans(repository: Repository) -> None:
    repository.add(factory="plain")
    told = inspect(repository, "small").output
    assert "warning: nothing is dropped: uncertainty requests are refused" in told
    assert "kind" not in told  # a head without a table
    assert "and more:" not in told


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["other"], "has no model 'other'; it has: small"),
        (["small", "--version", "9"], "model small has no version 9; it has: 1"),
        (["small", "--device", "nowhere"], "the device 'nowhere' is not available here"),
        (["random"], "the model has a random operation"),
    ],
)
def test_what_is_wrong_is_one_sentence(repository: Repository, arguments: list[str], sentence: str) -> None:
    repository.add()
    if arguments == ["random"]:
        repository.add("random", factory="always_random")
    told = inspect(repository, *arguments)
    assert told.exit_code == 1
    assert sentence in told.output.replace(", random", "")
    assert told.output.startswith("Error: ")
    assert "Traceback" not in told.output


def test_a_setting_that_is_no_number_is_refused(repository: Repository) -> None:
    """NaN is within no bounds, and fails no comparison with them."""
    told = CliRunner().invoke(main, ["serve", "--compile-after-seconds", "nan"])
    assert told.exit_code == 2
    assert "nan is not a finite number" in told.output


def test_looking_leaves_the_repository_as_it_is(repository: Repository) -> None:
    """What it measures must not replace what the server has measured, with other threads or load."""
    folder = repository.add()
    assert inspect(repository, "small").exit_code == 0
    assert [path.name for path in folder.iterdir()] == ["weights.safetensors"]
