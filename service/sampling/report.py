"""What the audit at load found out about a model's dropout, for people to read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from service.sampling.sites import Site

Severity = Literal["info", "warning"]


@dataclass(frozen=True)
class Finding:
    """Something the model's owner should know.

    Args:
        code: which finding, for programs.
        severity: "warning" where the uncertainty may not be what the owner expects.
        site: the site or module it is about; None for the whole model.
        message: what was seen, and what to do.
    """

    code: str
    severity: Severity
    site: str | None
    message: str


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
        idle: dropout modules that never ran.
        effect: for each output of the model, whether sampling changes it.
        findings: what was noticed.
    """

    sites: tuple[Site, ...]
    idle: tuple[IdleDropout, ...]
    effect: tuple[bool, ...]
    findings: tuple[Finding, ...]

    @property
    def can_sample(self) -> bool:
        """Whether any sample differs from the prediction."""
        return any(self.effect)


def findings(sites: Sequence[Site], idle: Sequence[IdleDropout], effect: Sequence[bool]) -> Iterable[Finding]:
    """Say what the model's owner should know.

    Args:
        sites: selected.
        idle: dropout modules that never ran.
        effect: for each output, whether sampling changes it.
    """
    if not any(site.sampled for site in sites):
        yield Finding("no_dropout", "warning", None, "nothing is dropped: uncertainty requests are refused")
    elif not any(effect):
        message = "sampling changes no output: uncertainty requests are refused"
        yield Finding("no_effect", "warning", None, message)
    elif not all(effect):
        columns = ", ".join(str(index) for index, changes in enumerate(effect) if not changes)
        yield Finding("partial_effect", "warning", None, f"sampling does not change these outputs: {columns}")
    for module in idle:
        yield Finding(
            "never_runs", "warning", module.path, f"{module.kind} was never reached by a forward pass"
        )
    for site in sites:
        if site.rate == 0:
            yield Finding("rate_zero", "info", site.name, "its rate is 0: it does nothing and costs nothing")
        elif site.rate == 1:
            yield Finding(
                "rate_one",
                "warning",
                site.name,
                "its rate is 1: it drops everything, and no two samples differ here",
            )
        elif not site.sampled:
            yield Finding("not_sampled", "info", site.name, "sampling.sites leaves it out: it drops nothing")
