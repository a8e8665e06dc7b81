"""model.toml: what a model is, read strictly."""

import re
import tomllib
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from service.errors import ManifestError
from service.repository.complaints import in_words
from service.repository.text import TokenizerSpec, input_rules

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_LARGEST_SEED = 2**64 - 1

USUAL_SAMPLES = 50

Dtype = Literal["float32", "float64", "int32", "int64"]
Task = Literal["classification", "regression"]


class FactorySource(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="factory"):
    """The model is built by a function.

    Args:
        factory: "package.module:function".
        arguments: its keyword arguments.
    """

    factory: Annotated[str, Meta(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    arguments: dict[str, Any] = {}


class InputSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One input tensor.

    Args:
        name: of the tensor; where forward has parameters of all inputs' names, they are passed by name.
        dtype: of its elements.
        shape: of one row; -1 is any length.
        range: lowest and highest value of the rows that are made up to check the model when it is loaded;
            left out, they are standard normal, or 0 and 1 for integers. Integers of requests are held to it,
            since a number outside of a vocabulary is a mistake; other numbers are not.
    """

    name: Annotated[str, Meta(min_length=1)]
    dtype: Dtype
    shape: tuple[Annotated[int, Meta(ge=-1)], ...]
    range: tuple[float, float] | None = None


class OutputSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """What the model's output means.

    Args:
        name: which output is served, where forward returns several: a key, a field, or a position from "0".
        labels: of the classes; classification only.
        activation: "softmax" where the model gives logits, "none" where it gives probabilities or values;
            left out, softmax in classification and none in regression.
        variance_head: whether it gives (mean, log variance) side by side; regression only.
    """

    name: Annotated[str, Meta(min_length=1)] | None = None
    labels: tuple[str, ...] = ()
    activation: Literal["softmax", "none"] | None = None
    variance_head: bool = False


class AdaptiveSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """As many samples as a row's flag needs.

    Args:
        min: the fewest.
        max: the most.
        error: probability of a settled flag that endless samples would turn; left out, the usual one.
    """

    min: Annotated[int, Meta(ge=2)]
    max: Annotated[int, Meta(ge=2)]
    error: Annotated[float, Meta(ge=1e-6, le=0.25)] | None = None


class SamplingSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """How the model is sampled when a request does not say.

    Args:
        samples: how many; a table for as many as each row needs; "exact" for none: mean and variance have a
            closed form where a regression model drops at the input of its last linear layer alone.
        max_samples: the most a request may ask for.
        seed: which thinned networks, 0 to 2**64 - 1.
        sites: "all", "head", or shell patterns over module paths.
    """

    samples: Annotated[int, Meta(ge=2)] | AdaptiveSpec | Literal["exact"] = USUAL_SAMPLES
    max_samples: Annotated[int, Meta(ge=2)] = 1000
    seed: Annotated[int, Meta(ge=0)] = 0
    sites: Literal["all", "head"] | tuple[str, ...] = "all"

    @property
    def most_samples(self) -> int:
        """The most that a request which does not say takes; of an exact model, one that asks for a number."""
        if isinstance(self.samples, AdaptiveSpec):
            return self.samples.max
        return USUAL_SAMPLES if self.samples == "exact" else self.samples


class PolicySpec(Struct, frozen=True, forbid_unknown_fields=True):
    """When a row is flagged.

    Args:
        measure: the score; its names are those of service.uncertainty.scores.
        threshold: a higher score is flagged.
        review: whether flagged rows enter the review queue.
    """

    measure: str
    threshold: float
    review: bool = True


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """model.toml as a whole.

    Args:
        columns: what the numbers of a row are called, by the name of their input: for people, and for nothing
            that is computed, so that no calibration depends on it.
    """

    name: str
    task: Task
    source: FactorySource
    input: Annotated[tuple[InputSpec, ...], Meta(min_length=1)]
    policy: PolicySpec
    output: OutputSpec = OutputSpec()
    sampling: SamplingSpec = SamplingSpec()
    tokenizer: TokenizerSpec | None = None
    columns: dict[str, tuple[str, ...]] = {}

    @property
    def logits(self) -> bool:
        """Whether outputs go through a softmax."""
        return self.task == "classification" and self.output.activation != "none"


def read_manifest(path: Path) -> Manifest:
    """Read and check a model.toml.

    Raises:
        ManifestError: the text names the file and the key.
    """
    if path.is_symlink():
        raise ManifestError(f"{path} is a symbolic link; a model must lie in the repository itself")
    if path.exists() and not path.is_file():
        raise ManifestError(f"{path} is not a file")
    try:
        manifest = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Manifest)
    except OSError as cause:
        raise ManifestError(f"{path} cannot be read: {cause.strerror}") from cause
    except UnicodeDecodeError as cause:
        raise ManifestError(f"{path} is not UTF-8 text") from cause
    except msgspec.ValidationError as cause:
        raise ManifestError(f"{path}: {in_words(str(cause), _TABLES, _WAYS_OUT)}") from cause
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as cause:
        raise ManifestError(f"{path} is not valid TOML: {cause}") from cause
    _check(manifest, path)
    return manifest


_WAYS_OUT = {
    "source.factory": "write package.module:function",
    "source.kind": "it is factory",
    "task": f"it is one of {', '.join(get_args(Task))}",
    ".dtype": f"it is one of {', '.join(get_args(Dtype))}",
    "output.activation": "it is softmax or none",
    "sampling.samples": 'it is a number, { min, max }, or "exact"',
    "tokenizer.file": "a file of the version's folder, by its name",
    "sampling.sites": 'it is "all", "head", or a list of patterns',
}
"""What a key may be, by its end."""


_TABLES: dict[str, type[Struct]] = {
    "": Manifest,
    "source": FactorySource,
    "input": InputSpec,
    "output": OutputSpec,
    "sampling": SamplingSpec,
    "sampling.samples": AdaptiveSpec,
    "policy": PolicySpec,
    "tokenizer": TokenizerSpec,
}


def _check(manifest: Manifest, path: Path) -> None:
    """Check what spans several keys, and what a type does not say."""
    text = input_rules(manifest.input) if manifest.tokenizer else []
    for broken, key, problem in [*_rules(manifest, path.parent.name), *text]:
        if broken:
            raise ManifestError(f"{path}: {key}: {problem}")


def _rules(manifest: Manifest, folder: str) -> list[tuple[bool, str, str]]:
    output, sampling, threshold = manifest.output, manifest.sampling, manifest.policy.threshold
    classifies = manifest.task == "classification"
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
        (not all(_ascends(tensor.range) for tensor in manifest.input), "input.range", "is [lowest, highest]"),
        (
            classifies and len(output.labels) < 2,
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
        (sampling.sites == (), "sampling.sites", "an empty list samples nothing"),
        (not isfinite(threshold), "policy.threshold", f"{threshold} is not finite"),
        (
            any(_lengths(manifest).get(name) != (len(names),) for name, names in manifest.columns.items()),
            "columns",
            "names, for an input of one dimension, each of its numbers",
        ),
    ]


def _lengths(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tensor.shape for tensor in manifest.input}


def _ascends(limits: tuple[float, float] | None) -> bool:
    return limits is None or (isfinite(limits[0]) and isfinite(limits[1]) and limits[0] <= limits[1])
