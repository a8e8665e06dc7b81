"""calibration.json: a threshold with a promise, kept beside the weights that it is about."""

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from service.errors import CalibrationError
from service.files import read_file

CALIBRATION_FILE = "calibration.json"
REPORT_FILE = "calibration.html"

Contract = Literal["selective_risk", "joint_risk"]
Population = Literal["all", "unflagged"]
Share = Annotated[float, Meta(gt=0, lt=1)]

MOST_POINTS = 200
"""Of a curve: a picture shows no more."""

Points = Annotated[tuple[float, ...], Meta(max_length=MOST_POINTS)]


class Setting(Struct, frozen=True, forbid_unknown_fields=True):
    """What scores depend on. A promise holds where all of it is as it was.

    Args:
        weights_sha256: of the weights' file.
        entry_sha256: of what model.toml says of source, inputs and outputs.
        sites: the names of the sites that are sampled.
        precision: "float32", or "auto" where a lower one may stand for it.
    """

    weights_sha256: str
    entry_sha256: str
    sites: tuple[str, ...]
    precision: str


class Draws(Struct, frozen=True, forbid_unknown_fields=True):
    """Which samples scores were made of: how many, or exact, and the seed."""

    samples: Annotated[int, Meta(ge=2)] | Literal["exact"]
    seed: Annotated[int, Meta(ge=0)]


class Promise(Struct, frozen=True, forbid_unknown_fields=True):
    """What the threshold keeps.

    Args:
        contract: "selective_risk": of the rows not flagged at most `target_error` are wrong, with
            `confidence`; "joint_risk": of all rows at most so many are wrong and not flagged, on average.
        target_error: that share.
        confidence: null for joint_risk.
        tolerance: in regression a row is wrong where a value is farther off; null where that is not one
            number for all values.
        tolerances: one for each value; null where one number is for all.
    """

    contract: Contract
    target_error: Share
    confidence: Share | None
    tolerance: Annotated[float, Meta(gt=0)] | None = None
    tolerances: tuple[Annotated[float, Meta(gt=0)], ...] | None = None

    @property
    def of_values(self) -> bool:
        """Whether it says how far off is wrong."""
        return self.tolerance is not None or self.tolerances is not None


class Found(Struct, frozen=True, forbid_unknown_fields=True):
    """What was found on the rows that certify.

    Args:
        threshold: null where none keeps the promise; then every row is flagged.
        rows: that certify.
        accepted: of these.
        errors: among the accepted.
        error_bound: on the share of errors among the accepted.
        rows_needed: about how many rows would do, where there is no threshold and that can be said.
    """

    threshold: float | None
    rows: int
    accepted: int
    errors: int
    error_bound: float
    rows_needed: int | None = None


class Conformal(Struct, frozen=True, forbid_unknown_fields=True):
    """Split conformal sets or intervals.

    Args:
        level: the share of rows whose truth is inside.
        quantiles: in classification one, of 1 - the probability of the true class; in regression one a
            target, of |truth - mean| / deviation.
    """

    level: Share
    quantiles: tuple[float, ...]


class ScoreFigures(Struct, frozen=True, forbid_unknown_fields=True):
    """How good a score was at finding wrong rows, on rows that certify nothing."""

    measure: str
    augrc: float
    aurc: float
    auroc: float | None


class ScoreHistogram(Struct, frozen=True, forbid_unknown_fields=True):
    """Scores of the rows: `counts[i]` lie above `edges[i - 1]` and up to `edges[i]`; the last above all."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Curve(Struct, frozen=True, forbid_unknown_fields=True):
    """Points of a picture, from left to right: `up[i]` stands over `across[i]`."""

    across: Points
    up: Points

    def __post_init__(self) -> None:
        """Refuse what is no curve."""
        if len(self.across) != len(self.up):
            raise ValueError(f"a curve has {len(self.across)} points across, and {len(self.up)} upwards")


class Curves(Struct, frozen=True, forbid_unknown_fields=True):
    """What the pictures of a calibration are drawn of.

    Args:
        risk_coverage: over the share of the rows that certify which is not flagged, the share of these that
            is wrong; of joint_risk, the share of all that is wrong and not flagged.
        reliability: of all labelled rows. In classification, over the mean confidence of a bin the share of
            its rows that is right; in regression, over a level the share of true values inside its interval.
        reliability_rows: of each bin; null in regression.
    """

    risk_coverage: Curve
    reliability: Curve
    reliability_rows: Annotated[tuple[int, ...], Meta(max_length=MOST_POINTS)] | None = None


class Calibration(Struct, frozen=True, forbid_unknown_fields=True):
    """calibration.json as a whole.

    Args:
        measure: the score.
        promise: what was asked.
        found: what came of it.
        setting: what must be as it was.
        draws: what a request must ask for, or leave to the model.
        scores: of all measures, the best first.
        histogram: to see whether scores drift.
        conformal: sets or intervals; null where the rows are too few.
        temperature: that logits are divided by.
        unsure: which version made it.
        data_sha256: of the labelled rows.
        rows_of: what they are a sample of: "all" rows, or those that the threshold before left "unflagged",
            of which shares and counts in `found` then are.
        curves: to draw; null where an earlier version made it.
    """

    measure: str
    promise: Promise
    found: Found
    setting: Setting
    draws: Draws
    scores: tuple[ScoreFigures, ...]
    histogram: ScoreHistogram
    conformal: Conformal | None
    unsure: str
    data_sha256: str
    temperature: Annotated[float, Meta(gt=0)] = 1.0
    rows_of: Population = "all"
    curves: Curves | None = None


def read_calibration(folder: Path) -> Calibration | None:
    """Read what lies in a version's folder; None where nothing does.

    Raises:
        CalibrationError: it cannot be read.
    """
    path = folder / CALIBRATION_FILE
    if path.is_symlink():
        raise CalibrationError(f"{path} is a symbolic link; it must lie in the repository itself")
    try:
        return msgspec.json.decode(read_file(path), type=Calibration)
    except FileNotFoundError:
        return None
    except OSError as cause:
        raise CalibrationError(f"{path} cannot be read: {cause.strerror}") from cause
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as cause:
        raise CalibrationError(f"{path} is no calibration of this version of unsure: {cause}") from cause


def write_calibration(folder: Path, calibration: Calibration) -> Path:
    """Write it, whole or not at all; gives its path.

    Raises:
        CalibrationError: the folder cannot be written to.
    """
    content = msgspec.json.format(msgspec.json.encode(calibration))
    return write_whole(folder / CALIBRATION_FILE, content + b"\n")


def write_whole(path: Path, content: bytes) -> Path:
    """Put a file in its place whole, for all to read.

    Raises:
        CalibrationError: the folder cannot be written to.
    """
    try:
        with NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        written = Path(file.name)
        written.chmod(0o644)  # temporary files are for their owner alone
        return written.replace(path)
    except OSError as cause:
        raise CalibrationError(f"{path} cannot be written: {cause.strerror}") from cause
