"""Reading model.toml strictly: every mistake is named with its file and its key."""

import tomllib
from collections import Counter
from collections.abc import Mapping
from math import isfinite, prod
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import Struct

from service.errors import ManifestError
from service.files import read_file
from service.repository.complaints import in_words
from service.repository.manifest import (
    AdaptiveSpec,
    Dtype,
    FactorySource,
    HuggingFaceSource,
    InputSpec,
    Manifest,
    OutputSpec,
    PolicySpec,
    SamplingSpec,
    Task,
)
from service.repository.text import TokenizerSpec, TokensSpec, input_rules

_MOST_BYTES = 2**20
_LARGEST_ROW = 2**28
_LARGEST_SEED = 2**64 - 1


def read_manifest(path: Path) -> Manifest:
    """Read and check a model.toml.

    Raises:
        ManifestError: the text names the file and the key.
    """
    if path.is_symlink():
        raise ManifestError(f"{path} is a symbolic link; a model must lie in the repository itself")
    if path.exists() and not path.is_file():
        raise ManifestError(f"{path} is not a file")
    values: dict[str, Any] = {}
    try:
        values = tomllib.loads(read_file(path, _MOST_BYTES).decode())
        manifest = msgspec.convert(values, Manifest)
    except OSError as cause:
        raise ManifestError(f"{path} cannot be read: {cause.strerror}") from cause
    except UnicodeDecodeError as cause:
        raise ManifestError(f"{path} is not UTF-8 text") from cause
    except msgspec.ValidationError as cause:
        raise ManifestError(f"{path}: {in_words(str(cause), _tables(values), _WAYS_OUT)}") from cause
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as cause:
        raise ManifestError(f"{path} is not valid TOML: {cause}") from cause
    _check(manifest, path)
    return manifest


_WAYS_OUT = {
    "source.factory": "write package.module:function",
    "source.kind": "it is factory or huggingface",
    "task": f"it is one of {', '.join(get_args(Task))}",
    ".dtype": f"it is one of {', '.join(get_args(Dtype))}",
    "output.activation": "it is softmax or none",
    "sampling.samples": 'it is a number, { min, max }, or "exact"',
    "tokens.labelled": "it is every or first_of_word",
    "tokenizer.file": "a file of the version's folder, by its name",
    "sampling.sites": 'it is "all", "head", or a list of patterns',
}
"""What a key may be, by its end."""


def _tables(values: Mapping[str, Any]) -> dict[str, type[Struct]]:
    """Name what each table may hold; a source's keys depend on its kind."""
    match values:
        case {"source": {"kind": "huggingface"}}:
            return _TABLES | {"source": HuggingFaceSource}
    return _TABLES


_TABLES: dict[str, type[Struct]] = {
    "": Manifest,
    "source": FactorySource,
    "input": InputSpec,
    "output": OutputSpec,
    "sampling": SamplingSpec,
    "sampling.samples": AdaptiveSpec,
    "policy": PolicySpec,
    "tokenizer": TokenizerSpec,
    "tokens": TokensSpec,
}


def _check(manifest: Manifest, path: Path) -> None:
    """Check what spans several keys, and what a type does not say."""
    for broken, key, problem in [*_source_rules(manifest), *_rules(manifest, path.parent.name)]:
        if broken:
            raise ManifestError(f"{path}: {key}: {problem}")


def _source_rules(manifest: Manifest) -> list[tuple[bool, str, str]]:
    """Check that inputs and labels are said once: here, or by a folder of Hugging Face."""
    if isinstance(manifest.source, HuggingFaceSource):
        said = "is what the folder of Hugging Face says; leave it out"
        return [
            (bool(manifest.input), "input", said),
            (manifest.output.name is not None, "output.name", said),
        ]
    unlabelled = manifest.classifies and not manifest.output.labels
    no_texts = manifest.per_token and not manifest.tokenizer
    return [
        (not manifest.input, "missing key input", "one table per tensor"),
        (unlabelled, "output.labels", "classification needs 2 or more, one a class"),
        (no_texts, "missing key tokenizer", "a model that labels tokens takes texts"),
        *(input_rules(manifest.input) if manifest.tokenizer and manifest.input else ()),
    ]


def _rules(manifest: Manifest, folder: str) -> list[tuple[bool, str, str]]:
    output, sampling, threshold = manifest.output, manifest.sampling, manifest.policy.threshold
    classifies = manifest.classifies
    names = [tensor.name for tensor in manifest.input]
    softmax = output.activation == "softmax"
    fewest = sampling.samples.min if isinstance(sampling.samples, AdaptiveSpec) else sampling.most_samples
    values = not classifies and not output.variance_head
    no_values = '"exact" is for regression without a variance head'
    too_many = f"{sampling.most_samples} is more than sampling.max_samples, {sampling.max_samples}"
    return [
        (manifest.name != folder, "name", f"{manifest.name!r} must be the folder's name, {folder!r}"),
        (len(set(names)) < len(names), "input.name", f"each may stand once: {', '.join(names)}"),
        (any(0 in tensor.shape for tensor in manifest.input), "input.shape", "a dimension cannot be 0"),
        (
            any(prod(max(1, size) for size in tensor.shape) > _LARGEST_ROW for tensor in manifest.input),
            "input.shape",
            f"a row has more than {_LARGEST_ROW} numbers",
        ),
        (not all(_ascends(tensor.range) for tensor in manifest.input), "input.range", "is [lowest, highest]"),
        (
            classifies and len(output.labels) == 1,
            "output.labels",
            "classification needs 2 or more, one a class",
        ),
        (len(set(output.labels)) < len(output.labels), "output.labels", "each may stand once"),
        (not classifies and bool(output.labels), "output.labels", "regression has none"),
        (not classifies and softmax, "output.activation", "softmax is for classification"),
        (classifies and output.variance_head, "output.variance_head", "is for regression"),
        (sampling.most_samples > sampling.max_samples, "sampling.samples", too_many),
        (fewest > sampling.most_samples, "sampling.samples", f"min {fewest} is more than max"),
        (
            sampling.samples == "exact" and not values,
            "sampling.samples",
            no_values,
        ),
        (sampling.seed > _LARGEST_SEED, "sampling.seed", f"{sampling.seed} is more than 2**64 - 1"),
        (manifest.tokens is not None and not manifest.per_token, "tokens", "is for token_classification"),
        (sampling.sites == (), "sampling.sites", "an empty list samples nothing"),
        (not isfinite(threshold), "policy.threshold", f"{threshold} is not finite"),
        *_column_rules(manifest),
    ]


def _column_rules(manifest: Manifest) -> list[tuple[bool, str, str]]:
    """Check names by which clients say which number is which."""
    shapes = {tensor.name: tensor.shape for tensor in manifest.input}
    rules = []
    for tensor, names in manifest.columns.items():
        is_other = (
            f"the shape {list(shapes[tensor])}"
            if tensor in shapes
            else "no shape, for there is no such input"
        )
        doubled = next((name for name, count in Counter(names).items() if count > 1), "")
        rules += [
            ("" in names, "columns", f"a name of {tensor!r} is empty"),
            (bool(doubled), "columns", f"{doubled!r} stands more than once in {tensor!r}"),
            (
                shapes.get(tensor) != (len(names),),
                "columns",
                "names, for an input of one dimension, each of its numbers; "
                f"{tensor!r} has {len(names)} names, and {is_other}",
            ),
        ]
    return rules


def _ascends(limits: tuple[float, float] | None) -> bool:
    return limits is None or (isfinite(limits[0]) and isfinite(limits[1]) and limits[0] <= limits[1])
