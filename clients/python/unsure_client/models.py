"""What a server says of its models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class AdaptiveSamples:
    """As many samples as a row's flag needs.

    Args:
        min: the fewest.
        max: the most.
        error: probability of a settled flag that endless samples would turn; None for the server's default.
    """

    min: int
    max: int
    error: float | None = None


@dataclass(frozen=True)
class Guarantee:
    """What is promised of the rows that are not flagged.

    Args:
        contract: what kind of promise.
        target_error: the share of rows that may be wrong.
        confidence: of the promise; None where it holds on average.
        tolerance: in regression a row is wrong where a value is farther off; else None.
        tolerances: one for each value, where it is not one for all; else None.
    """

    contract: str
    target_error: float
    confidence: float | None = None
    tolerance: float | None = None
    tolerances: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Policy:
    """What decides which rows are flagged; `uncertified_reasons` say why nothing is promised."""

    id: str
    measure: str
    threshold: float
    source: str
    certified: bool
    guarantee: Guarantee | None = None
    uncertified_reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelLine:
    """One model of the list; `task` is None where it could not be loaded."""

    name: str
    state: str
    versions: tuple[str, ...]
    task: str | None = None


@dataclass(frozen=True)
class TensorSpec:
    """One input. A length of -1 is any; the dtype of texts is string, and each is a row.

    `columns` are what the numbers of a row are called, in their order; none where they have no names.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class OutputSpec:
    """What an answer holds for a row."""

    width: int
    labels: tuple[str, ...]
    variance_head: bool = False


@dataclass(frozen=True)
class Sampling:
    """How the model is sampled when a call does not say; `exact` is whether a call may be exact."""

    samples: int | AdaptiveSamples | Literal["exact"]
    max_samples: int
    seed: int
    exact: bool = False


@dataclass(frozen=True)
class SiteLine:
    """One dropout site in short."""

    path: str
    kind: str
    rate: float
    sampled: bool


@dataclass(frozen=True)
class Model:
    """One model that answers; `plan` is as the server says it."""

    name: str
    version: str
    versions: tuple[str, ...]
    state: str
    task: str
    inputs: tuple[TensorSpec, ...]
    output: OutputSpec
    sampling: Sampling
    policy: Policy
    device: str = ""
    weights_sha256: str = ""
    tokenizer_sha256: str | None = None
    sites: tuple[SiteLine, ...] = ()
    plan: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Site:
    """One dropout site, and the shares of cost and of parameters that come after it."""

    name: str
    path: str
    kind: str
    rate: float
    mask_shape: tuple[int, ...]
    fired: bool
    sampled: bool
    share_of_cost: float = 0.0
    share_of_parameters: float = 0.0


@dataclass(frozen=True)
class Finding:
    """Something the model's owner should know."""

    code: str
    severity: str
    message: str
    site: str | None = None
    source: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class DropoutReport:
    """Where a model drops, and what the inspection found."""

    model: str
    version: str
    can_sample: bool
    sites: tuple[Site, ...]
    findings: tuple[Finding, ...]
