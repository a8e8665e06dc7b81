"""`unsure add`: a version that is whole and was tried, or a repository as it was."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import pretrained
import pytest
import taggers
import texts
import torch
from click.testing import CliRunner, Result
from repositories import Repository
from safetensors.torch import save_model
from servers import Serve

from service.cli import main
from service.errors import ModelError
from service.repository.folder import ModelFolder
from service.repository.manifest import Manifest

CLASSIFIER = (
    *("--factory", "networks:mlp", "--arguments", '{"dropout": 0.4}'),
    *("--input", "features:float32:6", "--task", "classification", "--labels", "a, b,c"),
)
ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]

Add = Callable[..., Result]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "mlp.safetensors"
    torch.manual_seed(0)
    save_model(networks.mlp(), str(path))
    return path


@pytest.fixture
def add(repository: Repository) -> Add:
    def added(*arguments: object) -> Result:
        options = ("--repository", repository.path, "--factories", "networks,taggers,texts", "--plan", "vmap")
        return CliRunner().invoke(main, ["add", *map(str, (*arguments, *options))])

    return added


def snapshot(path: Path) -> dict[str, str]:
    """Name every file and folder, hidden ones too, with what is in it."""
    return {
        str(one.relative_to(path)): one.read_bytes().hex() if one.is_file() else "" for one in path.rglob("*")
    }


def manifest(repository: Repository, name: str) -> Manifest:
    return ModelFolder(repository.path / name).manifest()


def test_one_command_makes_an_entry_that_is_served(
    repository: Repository, add: Add, weights: Path, serve: Serve
) -> None:
    told = add("small", *CLASSIFIER, "--weights", weights)
    assert told.exit_code == 0, told.output
    assert "small, version 1: classification, 1,379 parameters" in told.stdout
    assert "Nothing was found wrong with its dropout." in told.stdout
    assert "made-up row 0: " in told.stdout
    assert "50 samples: predictive_entropy" in told.stdout
    assert "POST /v2/repository/models/small/load" in told.stderr
    written = manifest(repository, "small")
    assert written.output.labels == ("a", "b", "c")
    assert (written.policy.measure, written.policy.threshold) == ("predictive_entropy", 0.549)
    folder = repository.path / "small" / "1"
    assert sorted(path.name for path in folder.iterdir()) == [
        "plans.json",
        "weights.safetensors",
        "weights.safetensors.sha256",
    ]
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (folder / "weights.safetensors.sha256").read_text() == f"{digest}  weights.safetensors\n"
    assert {path.stat().st_mode & 0o777 for path in [*folder.iterdir(), folder.parent / "model.toml"]} == {
        0o644
    }
    assert {path.stat().st_mode & 0o777 for path in (folder, folder.parent)} == {0o755}
    assert [path.name for path in repository.path.iterdir()] == ["small"]
    assert serve().post("/v1/models/small/predict", json={"inputs": [ROW]}).status_code == 200


def test_the_numbers_of_a_row_are_named_as_a_csv_names_them(
    repository: Repository, add: Add, weights: Path, serve: Serve
) -> None:
    names = ["mean radius", "a, b", "größe", 'a "b"', "e", "f"]
    head = 'mean radius,"a, b",größe,"a ""b""",e,f'
    told = add("small", *CLASSIFIER, "--columns", head, "--weights", weights)
    assert told.exit_code == 0, told.output
    assert manifest(repository, "small").columns == {"features": tuple(names)}
    client, named = serve(), dict(reversed(list(zip(names, ROW, strict=True))))
    answers = [client.post("/v1/models/small/predict", json={"inputs": [row]}) for row in (named, ROW)]
    assert answers[0].json()["predictions"] == answers[1].json()["predictions"]


def test_the_next_version_takes_weights_alone(repository: Repository, add: Add, weights: Path) -> None:
    assert add("small", *CLASSIFIER, "--weights", weights, "--threshold", 0, "--samples", 20).exit_code == 0
    path = repository.path / "small" / "model.toml"
    path.write_text(path.read_text().replace("threshold = 0.0", "threshold = 0.25  # its owner's"))
    before = path.read_bytes()
    assert add("small", "--weights", weights).exit_code == 0
    assert add("small", *CLASSIFIER, "--samples", 20, "--weights", weights, "--version", 7).exit_code == 0
    told = add("small", "--weights", weights)
    assert "small, version 8" in told.stdout
    assert "20 samples: predictive_entropy" in told.stdout
    assert "at 0.25" in told.stdout
    assert ModelFolder(repository.path / "small").versions() == [8, 7, 2, 1]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("said", "key"),
    [
        (("--labels", "a,b,d"), "output.labels"),
        (("--arguments", '{"dropout": 0.5}'), "source.arguments"),
        (("--input", "features:float32:7"), "input"),
        (("--threshold", "0.1", "--samples", "9"), "sampling.samples, policy.threshold"),
        (("--task", "regression"), "task"),
    ],
)
def test_another_manifest_is_refused_by_its_keys(
    repository: Repository, add: Add, weights: Path, said: tuple[str, ...], key: str
) -> None:
    assert add("small", *CLASSIFIER, "--weights", weights).exit_code == 0
    before = snapshot(repository.path)
    told = add("small", *said, "--weights", weights)
    assert told.exit_code == 1
    assert f"small/model.toml says otherwise of {key}: all versions" in told.output
    assert snapshot(repository.path) == before


def test_a_folder_of_hugging_face_says_all(
    repository: Repository, add: Add, tmp_path: Path, serve: Serve
) -> None:
    folder = pretrained.save_text(tmp_path / "saved")
    (folder / "training_args.bin").write_bytes(b"\x80\x04 a pickle")
    (folder / "modeling.py").write_text("raise SystemExit")
    sample = tmp_path / "sample.json"
    sample.write_text(json.dumps(["good", "a bad film"]))
    told = add("films", "--huggingface", folder, "--sample", sample)
    assert told.exit_code == 0, told.output
    assert "one row is a text of up to 14 tokens" in " ".join(told.stdout.split())
    assert [line.split(":")[0] for line in told.stdout.splitlines()[-2:]] == ["row 0", "row 1"]
    version = repository.path / "films" / "1"
    assert sorted(path.name for path in version.iterdir() if path.suffix != ".sha256") == [
        "config.json",
        "model.safetensors",
        "plans.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    answer = serve().post("/v1/models/films/predict", json={"inputs": ["good"]})
    assert answer.json()["predictions"][0]["label"] in pretrained.LABELS.values()
    assert "version 2" in add("films", "--huggingface", folder).output


def test_a_folder_that_labels_tokens_is_added_and_tried_on_texts(
    repository: Repository, add: Add, serve: Serve, tmp_path: Path
) -> None:
    folder = taggers.save(tmp_path / "saved")
    sample = tmp_path / "texts.json"
    sample.write_text(json.dumps(["a good film", "not " * 9]))
    told = add("tags", "--huggingface", folder, "--sample", sample)
    assert told.exit_code == 0, told.output
    assert "tags, version 1: token_classification, " in told.stdout
    assert "one row is a text of up to 14 tokens" in " ".join(told.stdout.split())
    assert "; and 4 tokens more, nothing dropped; 50 samples: predictive_entropy" in told.stdout
    made = manifest(repository, "tags")
    assert (made.task, made.policy.measure, made.policy.threshold) == (
        "token_classification",
        "predictive_entropy",
        0.693,
    )
    assert serve().get("/v1/models/tags").json()["output"]["labels"] == list(taggers.LABELS.values())
    assert "made-up row 0: " in add("other", "--huggingface", folder, "--words").stdout
    answer = serve().post("/v1/models/other/predict", json={"inputs": ["bad films"]}).json()
    assert [token["text"] for token in answer["predictions"][0]["tokens"]] == ["bad", "films"]


def test_a_tagger_of_a_factory_takes_a_tokenizer_too(
    repository: Repository, add: Add, serve: Serve, tmp_path: Path
) -> None:
    texts.tokenizer().save(str(tmp_path / "own.json"))
    save_model(taggers.Tags(), str(tmp_path / "tags.safetensors"))
    said = ("--factory", "taggers:Tags", "--task", "token_classification", "--labels", "O,a,b,c")
    files = ("--weights", tmp_path / "tags.safetensors", "--input", "input_ids:int64:-1", "--threshold", 1.0)
    refused = add("tags", *said, *files)
    assert "missing key tokenizer: a model that labels tokens takes texts" in refused.stderr
    tokens = ("--tokenizer", tmp_path / "own.json", "--max-tokens", 12)
    told = add("tags", *said, *files, *tokens)
    assert told.exit_code == 0, told.output
    answer = serve(factories="taggers").post("/v1/models/tags/uncertainty", json={"inputs": ["a film"]})
    assert [token["text"] for token in answer.json()["results"][0]["tokens"]] == ["a", "film"]
    wrong = add("five", *said[:-1], "O,a,b,c,d", *files, *tokens)
    assert "output.labels has 5, and the model gives 4 classes" in wrong.stderr


def test_a_text_model_of_a_factory_takes_a_tokenizer(
    repository: Repository, add: Add, tmp_path: Path
) -> None:
    save_model(texts.mean_of_words(), str(tmp_path / "words.safetensors"))
    texts.tokenizer().save(str(tmp_path / "tokenizer.json"))
    told = add(
        "words",
        *("--factory", "texts:mean_of_words", "--weights", tmp_path / "words.safetensors"),
        *("--input", "input_ids:int64:-1", "--input", "attention_mask:int64:-1"),
        *("--tokenizer", tmp_path / "tokenizer.json", "--max-tokens", 12),
        *("--task", "classification", "--labels", "a,b,c"),
    )
    assert told.exit_code == 0, told.output
    tokenizer = manifest(repository, "words").tokenizer
    assert tokenizer is not None
    assert tokenizer.max_tokens == 12


def test_values_and_what_has_no_dropout_are_tried_too(add: Add, tmp_path: Path) -> None:
    path = tmp_path / "values.safetensors"
    save_model(networks.linear(outputs=1), str(path))
    said = ("--factory", "networks:linear", "--input", "features:float32:6", "--task", "regression")
    some = ("--arguments", '{"outputs": 1}', "--threshold", "0.5", "--weights", path)
    told = add("values", *said, *some)
    assert told.exit_code == 0, told.output
    assert "50 samples: standard_deviation" in told.stdout
    none = ("--arguments", '{"outputs": 1, "dropout": 0.0}', "--threshold", "0.5", "--weights", path)
    assert "nothing dropped; no dropout to sample" in add("certain", *said, *none).output


def other(option: str, value: str) -> tuple[str, ...]:
    """Give the usual arguments with another value of one."""
    return (*without(CLASSIFIER, option), option, value)


def without(arguments: tuple[str, ...], option: str) -> tuple[str, ...]:
    place = arguments.index(option)
    return arguments[:place] + arguments[place + 2 :]


REFUSED: list[tuple[tuple[str, ...], str]] = [
    (other("--labels", "a,b"), "small/model.toml: output.labels has 2, and the model gives 3"),
    (other("--factory", "os:getcwd"), "is not in an allowed package"),
    (other("--factory", "networks:linear"), "/mlp.safetensors lacks 1.bias, 1.weight"),
    (other("--arguments", "[1]"), r"--arguments [1]: it must be a JSON object"),
    (other("--arguments", '{"dropout": null}'), "model.toml cannot hold None: TOML has no"),
    (other("--arguments", '{"a":' * 3000 + "1" + "}" * 3000), "it must be a JSON object: maximum"),
    (other("--labels", "a,,b"), "--labels a,,b: a label is empty; give each class a name"),
    ((*CLASSIFIER, "--input", "image"), "--input image: write NAME:DTYPE:SHAPE, such as"),
    ((*CLASSIFIER, "--columns", "a,b,,d,e,f"), "--columns a,b,,d,e,f: a name is empty"),
    ((*CLASSIFIER, "--columns", "a,b"), "'features' has 2 names, and the shape [6]"),
    ((*CLASSIFIER, "--columns", "a,b,c,d,e,a"), "columns: 'a' stands more than once in 'features'"),
    ((*CLASSIFIER, "--input", "x:float32:2", "--columns", "a,b"), "the numbers of one --input, and 2 are"),
    ((*CLASSIFIER, "--measure", "luck"), "policy.measure 'luck' is none of predictive_entropy"),
    ((*CLASSIFIER, "--huggingface", "."), "--huggingface says what --arguments, --factory, --input"),
    ((*CLASSIFIER, "--max-tokens", "9"), "input.name: a tokenizer fills input_ids"),
    (without(CLASSIFIER, "--input"), "small/model.toml: missing key input"),
    (without(CLASSIFIER, "--task"), "model 'small' is new and --task is missing"),
    (without(CLASSIFIER, "--labels"), "--labels is missing: name the classes, in the order of"),
    ((*without(CLASSIFIER, "--task"), "--task", "regression"), "--threshold is missing: say above which"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_what_is_wrong_leaves_nothing_behind(
    repository: Repository, add: Add, weights: Path, arguments: tuple[str, ...], message: str
) -> None:
    told = add("small", *arguments, "--weights", weights)
    assert told.exit_code == 1, told.output
    assert message in told.output
    assert ".adding-" not in told.output
    assert "Traceback" not in told.output
    assert snapshot(repository.path) == {}


@pytest.mark.parametrize("name", ["../small", ".small", "a/b", ""])
def test_a_name_that_is_none_is_refused(repository: Repository, add: Add, weights: Path, name: str) -> None:
    told = add(name, *CLASSIFIER, "--weights", weights)
    assert "is no name of a model" in told.output
    assert snapshot(repository.path) == {}


def test_without_weights_the_way_out_is_told(add: Add) -> None:
    assert (
        "give the weights by --weights FILE, or a folder by --huggingface" in add("small", *CLASSIFIER).output
    )


def test_a_row_that_is_not_the_models_stops_it(
    repository: Repository, add: Add, weights: Path, tmp_path: Path
) -> None:
    sample = tmp_path / "sample.json"
    sample.write_text("[[1, 2]]")
    told = add("small", *CLASSIFIER, "--weights", weights, "--sample", sample)
    assert "rows must have shape [6]; row 0 has [2]" in told.output
    assert snapshot(repository.path) == {}


def test_the_body_of_a_request_is_a_sample_too(
    repository: Repository, add: Add, weights: Path, tmp_path: Path
) -> None:
    sample = tmp_path / "body.json"
    sample.write_text(json.dumps({"inputs": [ROW, ROW], "samples": 7}))
    told = add("small", *CLASSIFIER, "--weights", weights, "--sample", sample)
    assert [line.split(":")[0] for line in told.stdout.splitlines()[-2:]] == ["row 0", "row 1"], told.output


@pytest.mark.parametrize("lost", ["model.safetensors", "tokenizer.json"])
def test_what_a_folder_lacks_is_told_by_its_own_name(add: Add, tmp_path: Path, lost: str) -> None:
    folder = pretrained.save_text(tmp_path / "saved")
    (folder / lost).unlink()
    assert f"Error: {folder}" in add("films", "--huggingface", folder).output


@pytest.mark.parametrize("cause", [KeyboardInterrupt, ModelError("the model gave NaN")])
def test_whoever_stops_it_finds_the_repository_as_it_was(
    repository: Repository, add: Add, weights: Path, monkeypatch: pytest.MonkeyPatch, cause: Any
) -> None:
    def stopped(*_: Any) -> str:
        raise cause

    monkeypatch.setattr("service.addition.trial.tried", stopped)
    assert add("small", *CLASSIFIER, "--weights", weights).exit_code == 1
    assert snapshot(repository.path) == {}


def test_a_repository_that_is_not_there_is_made_for_a_model_alone(
    repository: Repository, add: Add, weights: Path
) -> None:
    repository.path.rmdir()
    assert add("small", *without(CLASSIFIER, "--input"), "--weights", weights).exit_code == 1
    assert not repository.path.exists()
    assert add("small", *CLASSIFIER, "--weights", weights).exit_code == 0
    assert [path.name for path in repository.path.iterdir()] == ["small"]


def test_no_version_is_overwritten(
    repository: Repository, add: Add, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert add("small", *CLASSIFIER, "--weights", weights).exit_code == 0
    before = snapshot(repository.path)
    told = add("small", "--weights", weights, "--version", 1)
    assert f"{repository.path}/small/1 is there already, and no version is ever overwritten" in told.output

    def meanwhile(*_: Any) -> str:  # somebody else adds the same, while this one is tried
        (repository.path / "small" / "2").mkdir()
        return ""

    monkeypatch.setattr("service.addition.trial.tried", meanwhile)
    assert (
        "small/2 cannot be put into its place: it is there already"
        in add("small", "--weights", weights).output
    )
    assert snapshot(repository.path) == before | {"small/2": ""}


def test_a_name_that_no_disk_takes_is_told(repository: Repository, add: Add, weights: Path) -> None:
    told = add("a" * 300, *CLASSIFIER, "--weights", weights)
    assert "cannot be written or read: File name too long" in told.output
    assert snapshot(repository.path) == {}


def test_weights_that_are_no_file_are_told(add: Add, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    told = add("small", *CLASSIFIER, "--weights", tmp_path / "pipe").output
    assert "pipe cannot be copied: it is not a file" in told


@pytest.mark.parametrize("there", ["model.toml", "link"])
def test_what_is_in_the_way_is_told_by_its_own_name(
    repository: Repository, add: Add, weights: Path, there: str
) -> None:
    place = repository.path / "small"
    if there == "link":
        place.symlink_to("nowhere")
    else:
        place.mkdir()
        (place / there).write_text("garbage = [")
    told = add("small", "--weights", weights)
    assert told.exit_code == 1
    wanted = (
        "small is there and has no model.toml" if there == "link" else "small/model.toml is not valid TOML"
    )
    assert wanted in told.output
    assert ".adding-" not in told.output


def test_a_folder_that_is_no_model_is_left_alone(repository: Repository, add: Add, weights: Path) -> None:
    (repository.path / "small").mkdir()
    told = add("small", *CLASSIFIER, "--weights", weights)
    assert "small is there and has no model.toml; take it away, or name another model" in told.output
    assert snapshot(repository.path) == {"small": ""}
