"""model.toml: what a model is, as types."""

import re
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from service.repository.text import TokenizerSpec, TokensSpec

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

USUAL_SAMPLES = 50

Dtype = Literal["float32", "float64", "int32", "int64"]
Task = Literal["classification", "token_classification", "regression"]


class FactorySource(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="factory"):
    """The model is built by a function.

    Args:
        factory: "package.module:function".
        arguments: its keyword arguments.
    """

    factory: Annotated[str, Meta(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    arguments: dict[str, Any] = {}


class HuggingFaceSource(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="huggingface"):
    """The version's folder is one that Hugging Face's library has saved; it says what the inputs are."""


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
        labels: of the classes; of a classifier only.
        activation: "softmax" where the model gives logits, "none" where it gives probabilities or values;
            left out, softmax of a classifier and none in regression.
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
        columns: what the numbers of a row are called, by the name of their input. Rows and files that have
            names are matched by them. Rows as arrays do not depend on them, and so no calibration does.
    """

    name: str
    task: Task
    source: FactorySource | HuggingFaceSource
    policy: PolicySpec
    input: Annotated[tuple[InputSpec, ...], Meta(min_length=1)] = ()
    output: OutputSpec = OutputSpec()
    sampling: SamplingSpec = SamplingSpec()
    tokenizer: TokenizerSpec | None = None
    tokens: TokensSpec | None = None
    columns: dict[str, tuple[str, ...]] = {}

    @property
    def classifies(self) -> bool:
        """Whether there are classes: of rows, or of each of their tokens."""
        return self.task != "regression"

    @property
    def per_token(self) -> bool:
        """Whether a row is a text, and an answer about each of its tokens."""
        return self.task == "token_classification"

    @property
    def logits(self) -> bool:
        """Whether outputs go through a softmax."""
        return self.classifies and self.output.activation != "none"
