"""What the audit at load found out about a model's dropout, for people to read."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.sampling.catalogue import Severity
from service.sampling.sites import Site
from service.sampling.surroundings import Surroundings


@dataclass(frozen=True)
class Finding:
    """Something the model's owner should know.

    Args:
        code: which kind of finding, for programs.
        severity: "warning" where the uncertainty may not be what the owner expects.
        site: the site or module it is about; None for the whole model.
        message: what was seen.
        source: who says so.
        remedy: what to do.
    """

    code: str
    severity: Severity
    site: str | None
    message: str
    source: str
    remedy: str


@dataclass(frozen=True)
class IdleDropout:
    """A dropout module that no example pass reached."""

    path: str
    kind: str
    rate: float


@dataclass(frozen=True)
class DropoutReport:
    """The dropout of one model.

    Args:
        sites: in the order of the forward pass.
        around: what stands around each site, by its name.
        idle: dropout modules that never ran.
        effect: for each output of the model, whether sampling changes it.
        findings: what was noticed.
    """

    sites: tuple[Site, ...]
    around: Mapping[str, Surroundings]
    idle: tuple[IdleDropout, ...]
    effect: tuple[bool, ...]
    findings: tuple[Finding, ...]

    @property
    def can_sample(self) -> bool:
        """Whether any sample differs from the prediction."""
        return any(self.effect)
