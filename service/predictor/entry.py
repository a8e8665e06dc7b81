"""One model of the repository, as the server has it at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from service.errors import NotFound, Unavailable
from service.predictor.served_model import ServedModel

State = Literal["loading", "ready", "unavailable"]

UNKNOWN = "unknown"
"""Stands in a metric for every model or version that the server does not have."""


@dataclass(frozen=True)
class Status:
    """One version, for a list of what there is.

    Args:
        name: of the model.
        version: its number; empty where the model has none to tell of.
        state: whether it answers.
        reason: why not, or why its last load changed nothing; else empty.
    """

    name: str
    version: str
    state: State
    reason: str = ""


@dataclass(frozen=True)
class Entry:
    """One model of the repository. It never changes: a load puts another in its place, all at once.

    Args:
        name: of the model.
        versions: those that answer.
        failed: why the last load failed, by version; `UNKNOWN` where no version was reached.
        loading: whether there may be more to come.
        unloaded: whether somebody has taken it out of service.
    """

    name: str
    versions: Mapping[int, ServedModel] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    loading: bool = False
    unloaded: bool = False

    @property
    def state(self) -> State:
        """Whether the model answers."""
        if any(not model.spoilt for model in self.versions.values()):
            return "ready"
        return "loading" if self.loading else "unavailable"

    @property
    def default(self) -> ServedModel:
        """The highest version that answers, or did until a pass has changed it: it gives way to no other.

        Raises:
            Unavailable: none does.
        """
        if not self.versions:
            raise Unavailable(f"model {self.name} {self._why_not}")
        return self.versions[max(self.versions)]

    def version(self, number: int) -> ServedModel:
        """Give one version.

        Raises:
            Unavailable: it is there, but does not answer.
            NotFound: there is none of that number.
        """
        if number in self.versions:
            return self.versions[number]
        if self.loading or self.unloaded or str(number) in self.failed:
            raise Unavailable(f"version {number} of model {self.name} {self._why_not}")
        known = ", ".join(map(str, sorted(self.versions))) or "none"
        raise NotFound(f"model {self.name} has no version {number}; it has {known}")

    @property
    def answers(self) -> dict[str, bool]:
        """Whether each version answers that is there, or was meant to be."""
        return dict.fromkeys(self.failed, False) | {
            str(number): not model.spoilt for number, model in self.versions.items()
        }

    def statuses(self) -> list[Status]:
        """List the versions, those that answer first; at least one line."""
        ready = [
            Status(self.name, str(number), "ready", self.failed.get(str(number), ""))
            for number, model in sorted(self.versions.items())
            if not model.spoilt
        ]
        spoilt = [
            Status(self.name, str(number), "unavailable", f"is out of service: {model.spoilt}")
            for number, model in sorted(self.versions.items())
            if model.spoilt
        ]
        failed = [
            Status(self.name, "" if version == UNKNOWN else version, "unavailable", reason)
            for version, reason in sorted(self.failed.items())
            if version not in map(str, self.versions)
        ]
        return [*ready, *spoilt, *failed] or [Status(self.name, "", self.state, self._why_not)]

    @property
    def _why_not(self) -> str:
        if self.loading:
            return "is still loading; try again in a moment"
        if self.unloaded:
            return "is unloaded; load it again to ask it"
        return "could not be loaded; `unsure inspect` and the server's log say why"
