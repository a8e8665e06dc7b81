"""What measuring a model's plans has found, kept beside its weights: the next start need not measure."""

import logging
from pathlib import Path
from tempfile import NamedTemporaryFile

import msgspec
from msgspec import Struct

from service.files import read_file

log = logging.getLogger("unsure")

FINDINGS_FILE = "plans.json"


class PlanTime(Struct, forbid_unknown_fields=True):
    """What one plan took for some rows."""

    plan: str
    rows: int
    seconds: float


class Findings(Struct, forbid_unknown_fields=True):
    """What was found, and all that it depends on.

    `steady` is whether times came out the same when they were measured again; what is not is measured anew at
    the next start.
    """

    circumstances: dict[str, str]
    by_rows: dict[str, list[str]]
    seconds: list[PlanTime]
    refused: dict[str, str]
    samples: int
    shares: dict[str, tuple[float, float]]
    steady: bool


def read_findings(folder: Path, circumstances: dict[str, str]) -> Findings | None:
    """Read what was found under the same circumstances; None where there is nothing that holds."""
    try:
        findings = msgspec.json.decode(read_file(folder / FINDINGS_FILE), type=Findings)
    except (OSError, msgspec.MsgspecError):
        return None
    return findings if findings.circumstances == circumstances and _sound(findings) else None


def write_findings(folder: Path, findings: Findings) -> None:
    """Keep findings, whole or not at all; a folder that cannot be written to only costs measuring again."""
    try:
        with NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(msgspec.json.format(msgspec.json.encode(findings)))
        written = Path(file.name)
        written.chmod(0o644)  # temporary files are for their owner alone
        written.replace(folder / FINDINGS_FILE)
    except OSError as cause:
        log.info("what measuring found is not kept in %s: %s", folder, cause.strerror)


def _sound(findings: Findings) -> bool:
    """Tell whether a ranking can be read off; the file lies where anyone may write."""
    rows = findings.by_rows
    return "1" in rows and all(number.isdecimal() and names for number, names in rows.items())
