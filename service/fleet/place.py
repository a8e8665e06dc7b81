"""Where a process stands among several that serve as one, whatever they talk over."""

from collections.abc import Callable, Collection
from typing import ClassVar, Protocol

from service.fleet.messages import Action

Apply = Callable[[Action, str], None]
"""Makes a change to a model in this process; raises one of our errors where it cannot."""


class Fellowship(Protocol):
    """Changes the models of all processes: what is asked of one is asked of all."""

    def reload(self, model: str, /) -> None:
        """Let all processes read a model's folder anew."""

    def unload(self, model: str, /) -> None:
        """Let all processes take a model out of service."""

    def listen(self) -> None:
        """Begin to follow the changes that others ask for."""

    def loaded(self) -> None:
        """Tell that the models are loaded here."""


class Place(Protocol):
    """Where a process stands."""

    @property
    def beside(self) -> bool:
        """Whether others answer already: then it loads before it is asked."""

    @property
    def unloaded(self) -> Collection[str]:
        """Models that are out of service."""

    @property
    def models(self) -> Collection[str] | None:
        """The models that it serves; None for all of the repository."""

    @property
    def elsewhere(self) -> Collection[str]:
        """Models that others serve."""

    @property
    def ends_in_trouble(self) -> bool:
        """Whether it ends itself when a model never comes back, since another takes its place."""

    def linked(self, apply: Apply, /) -> Fellowship:
        """Connect it with the others."""


class Alone:
    """The place of a process on its own: it serves all that there is."""

    beside: ClassVar[bool] = False
    unloaded: ClassVar[Collection[str]] = ()
    models: ClassVar[None] = None
    elsewhere: ClassVar[Collection[str]] = ()
    ends_in_trouble: ClassVar[bool] = False

    def linked(self, apply: Apply) -> "FellowshipOfOne":
        """Connect it with itself."""
        return FellowshipOfOne(apply)


class FellowshipOfOne:
    """Changes the models of the one process that there is.

    Args:
        apply: makes a change here.
    """

    def __init__(self, apply: Apply) -> None:
        self._apply = apply

    def reload(self, model: str) -> None:
        """Read a model's folder anew; raises as `apply` does."""
        self._apply("reload", model)

    def unload(self, model: str) -> None:
        """Take a model out of service; raises as `apply` does."""
        self._apply("unload", model)

    def listen(self) -> None:
        """Nobody else asks for changes."""

    def loaded(self) -> None:
        """Nobody else is told."""
