"""model.toml: every mistake is named with its file and its key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from service.errors import ManifestError
from service.repository.manifest import Manifest
from service.repository.manifest_file import read_manifest

GOOD: dict[str, Any] = {
    "name": "digits",
    "task": "classification",
    "source": {"kind": "factory", "factory": "models.zoo.cnn:build", "arguments": {"channels": [16, 32]}},
    "input": [{"name": "image", "dtype": "float32", "shape": [1, 8, 8]}],
    "output": {"labels": ["0", "1"], "activation": "softmax", "variance_head": False},
    "sampling": {"samples": 50, "max_samples": 1000, "seed": 0, "sites": "all"},
    "policy": {"measure": "predictive_entropy", "threshold": 0.5, "review": True},
}
REGRESSION = GOOD | {
    "task": "regression",
    "output": {"variance_head": True},
    "policy": {"measure": "standard_deviation", "threshold": 1},
}


def written(folder: Path, manifest: Mapping[str, Any]) -> Manifest:
    path = folder / "digits" / "model.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(tomlkit.dumps(manifest))
    return read_manifest(path)


def changed(manifest: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    table, _, rest = key.partition(".")
    if not rest:
        return {**manifest, table: value}
    if table == "input":
        return {**manifest, "input": [{**manifest["input"][0], rest: value}]}
    return {**manifest, table: {**manifest[table], rest: value}}


def test_a_good_manifest_is_read_as_it_stands(tmp_path: Path) -> None:
    manifest = written(tmp_path, GOOD)
    assert manifest.source.arguments == {"channels": [16, 32]}
    assert manifest.input[0].shape == (1, 8, 8)
    assert manifest.logits
    assert manifest.sampling.max_samples == 1000


def test_what_is_left_out_takes_its_default(tmp_path: Path) -> None:
    short = {key: value for key, value in GOOD.items() if key != "sampling"}
    manifest = written(tmp_path, short | {"output": {"labels": ["0", "1"]}})
    assert (manifest.sampling.samples, manifest.sampling.sites, manifest.logits) == (50, "all", True)
    assert not written(tmp_path, REGRESSION).logits
    assert not written(tmp_path, changed(GOOD, "output.activation", "none")).logits


WRONG: list[tuple[str, Any, str]] = [
    ("columns", {"image": ["left", "right"]}, "columns: names, for an input of one dimension, each of its"),
    ("columns", {"image": ["left", ""]}, "columns: a name of 'image' is empty"),
    ("columns", {"image": ["left", "left"]}, "columns: 'left' stands more than once in 'image'"),
    ("columns", {"none": ["left"]}, "columns: names, for an input of one dimension, each of its numbers"),
    ("nmae", "x", "unknown key nmae; did you mean name"),
    ("policy.thresold", 1, "unknown key policy.thresold; did you mean threshold"),
    ("source.version", 1, "unknown key source.version; there are: factory, arguments"),
    ("input.size", 1, r"unknown key input\[0\].size; there are: name, dtype, shape, range"),
    ("policy", {"measure": "predictive_entropy"}, "missing key policy.threshold"),
    (
        "task",
        "ranking",
        "task: invalid enum value 'ranking'; it is one of classification, token_classification, regression",
    ),
    ("source.kind", "pickle", "source.kind: invalid value 'pickle'"),
    ("source.factory", "models.zoo.cnn", "source.factory: .*; write package.module:function"),
    ("source.factory", "models.zoo:cnn.build", "source.factory: expected `str` matching regex"),
    ("input", [], "input: expected `array` of length >= 1"),
    ("input.dtype", "complex64", r"input\[0\].dtype: invalid enum value 'complex64'; it is one of float32, "),
    ("input.shape", [1, -2], r"input\[0\].shape\[1\]: expected `int` >= -1"),
    ("input.shape", [0], "input.shape: a dimension cannot be 0"),
    ("input.range", [5, 1], r"input.range: is \[lowest, highest\]"),
    ("input.range", [0, float("inf")], r"input.range: is \[lowest, highest\]"),
    ("output.labels", ["0"], "output.labels: classification needs 2 or more, one a class"),
    ("output.labels", ["0", "0"], "output.labels: each may stand once"),
    ("output.activation", "sigmoid", "output.activation: invalid enum value 'sigmoid'"),
    ("output.variance_head", True, "output.variance_head: is for regression"),
    ("sampling.samples", "exact", 'sampling.samples: "exact" is for regression without a variance head'),
    ("sampling.samples", 1, "sampling.samples: expected `int` >= 2"),
    ("sampling.samples", 2000, "sampling.samples: 2000 is more than sampling.max_samples, 1000"),
    (
        "sampling.samples",
        "50",
        "sampling.samples: invalid enum value '50'; it is a number, ",
    ),
    ("sampling.samples", {"min": 2, "max": 9, "mid": 3}, "unknown key sampling.samples.mid; .* min"),
    ("sampling.seed", -1, "sampling.seed: expected `int` >= 0"),
    ("sampling.sites", [], "sampling.sites: an empty list samples nothing"),
    ("policy.threshold", float("nan"), "policy.threshold: nan is not finite"),
    ("policy.threshold", float("inf"), "policy.threshold: inf is not finite"),
    ("name", "letters", "name: 'letters' must be the folder's name, 'digits'"),
]


@pytest.mark.parametrize(("key", "value", "message"), WRONG)
def test_a_wrong_manifest_is_refused_by_file_and_key(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    with pytest.raises(ManifestError, match=rf"digits/model.toml: {message}"):
        written(tmp_path, changed(GOOD, key, value))


TOKENS = {"name": "input_ids", "dtype": "int64", "shape": [-1]}
TEXT = GOOD | {"input": [TOKENS], "tokenizer": {"max_tokens": 128}}


def test_a_text_model_has_a_tokenizer_that_fills_its_inputs(tmp_path: Path) -> None:
    tokenizer = written(tmp_path, TEXT).tokenizer
    assert tokenizer is not None
    assert (tokenizer.file, tokenizer.max_tokens) == ("tokenizer.json", 128)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("tokenizer", {}, "missing key tokenizer.max_tokens"),
        ("tokenizer.truncate", True, "unknown key tokenizer.truncate; there are: max_tokens, file"),
        ("tokenizer.max_tokens", 0, "tokenizer.max_tokens: expected `int` >= 1"),
        ("tokenizer.file", "../tokenizer.json", "tokenizer.file: .*; a file of the version's folder"),
        ("tokenizer.file", ".hidden", "tokenizer.file: .*; a file of the version's folder"),
        ("input.name", "tokens", "input.name: a tokenizer fills input_ids, .*, and the names are tokens"),
        ("input.name", "attention_mask", "input.name: .*, and there is no input_ids"),
        ("input.shape", [128], r"input.shape: is \[-1\] for tokens"),
        ("input.dtype", "float32", "input.dtype: is int64 or int32 for tokens"),
        ("input.range", [0, 9], "input.range: is the tokenizer's to say; leave it out"),
    ],
)
def test_text_has_rules_of_its_own(tmp_path: Path, key: str, value: Any, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        written(tmp_path, changed(TEXT, key, value))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("output.labels", ["a", "b"], "output.labels: regression has none"),
        ("output.activation", "softmax", "output.activation: softmax is for classification"),
    ],
)
def test_regression_has_rules_of_its_own(tmp_path: Path, key: str, value: Any, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        written(tmp_path, changed(REGRESSION, key, value))


TAGGER = TEXT | {"task": "token_classification"}


def test_a_model_that_labels_tokens_says_which(tmp_path: Path) -> None:
    assert written(tmp_path, TAGGER).tokens is None
    found = written(tmp_path, TAGGER | {"tokens": {"labelled": "first_of_word"}})
    assert found.tokens is not None
    assert (found.per_token, found.classifies, found.logits) == (True, True, True)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (GOOD | {"task": "token_classification"}, "missing key tokenizer: .* labels tokens takes texts"),
        (TAGGER | {"output": {}}, "output.labels: classification needs 2 or more"),
        (TAGGER | {"tokens": {"labelled": "last"}}, "tokens.labelled: .*it is every or first_of_word"),
        (TEXT | {"tokens": {}}, "tokens: is for token_classification"),
        (TAGGER | {"output": GOOD["output"] | {"variance_head": True}}, "variance_head: is for regression"),
        (GOOD | {"task": "ner"}, "it is one of classification, token_classification, regression"),
    ],
)
def test_tokens_have_rules_of_their_own(tmp_path: Path, manifest: Any, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        written(tmp_path, manifest)


def test_inputs_have_different_names(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"input.name: each may stand once: image, image"):
        written(tmp_path, GOOD | {"input": GOOD["input"] * 2})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name = ", "is not valid TOML"),
        (b"x = " + b"[" * 5000, "is not valid TOML"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"", "missing key name"),
        (b"policy = 3\nname='d'", "missing key|expected `object`"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.toml"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=f"model.toml:? .*({message})"):
        read_manifest(path)


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read: No such file"):
        read_manifest(tmp_path / "model.toml")
