"""Loads that never end, or end in what is no error: they are their model's failure, and nobody else's."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import networks
import pytest
from repositories import Repository
from torch import nn

from service.errors import InvalidInput, ManifestError, Unavailable
from service.predictor import catalogue as catalogues
from service.predictor.catalogue import Catalogue
from service.predictor.execution import Execution
from service.predictor.loading import Loader
from service.telemetry.metrics import Telemetry


class Panic(BaseException):
    """As native code raises it."""


@pytest.fixture
def made(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Catalogue]:
    monkeypatch.setattr(catalogues, "_QUIET_SECONDS", 0.05)
    usual = Execution(precision="float32", keep_findings=False)

    def make(load_seconds: float = 60.0) -> Catalogue:
        return Catalogue(repository.path, ("networks",), usual, Telemetry(), load_seconds=load_seconds)

    return make


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Have one factory do as a test wants it."""

    def replace(work: Callable[[], Any]) -> None:
        def hurt() -> nn.Module:
            work()
            return networks.mlp()

        hurt.__module__ = "networks"
        monkeypatch.setattr(networks, "hurt", hurt, raising=False)

    replace(lambda: None)
    return replace


def raise_panic() -> None:
    raise Panic("index out of bounds")


def turn_for_ever() -> None:
    while True:
        time.sleep(0.001)


def loaders() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("load version")}


@pytest.mark.parametrize(
    ("work", "reason"),
    [(raise_panic, "raised Panic: index out of bounds"), (turn_for_ever, "was given up after 2 s")],
)
def test_a_bad_load_is_its_models_failure_alone(
    repository: Repository,
    made: Callable[..., Catalogue],
    factory: Callable[..., None],
    work: Callable[[], None],
    reason: str,
) -> None:
    for name, of in (("bad", "hurt"), ("good", "mlp")):
        repository.add(name, factory=of, network=networks.mlp())
    factory(work)
    catalogue = made(load_seconds=2.0 if work is turn_for_ever else 60.0)
    catalogue.load()
    assert catalogue.ready
    assert catalogue.find("good", None).identity.model == "good"
    (status,) = catalogue.entry("bad").statuses()
    assert reason in status.reason
    with pytest.raises(Unavailable, match="could not be loaded"):
        catalogue.find("bad", None)
    assert loaders() == set()
    with pytest.raises(InvalidInput, match=reason):
        catalogue.reload("bad")
    factory(lambda: None)
    catalogue.reload("bad")
    assert catalogue.find("bad", None)


@pytest.fixture
def held(factory: Callable[..., None]) -> Iterator[threading.Event]:
    """A factory that waits for the system, where no exception reaches it."""
    go = threading.Event()
    factory(go.wait)
    yield go
    go.set()


def test_others_load_while_one_hangs_and_what_comes_late_is_not_used(
    repository: Repository,
    made: Callable[..., Catalogue],
    held: threading.Event,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, of in (("bad", "hurt"), ("good", "mlp")):
        repository.add(name, factory=of, network=networks.mlp())
    catalogue = made(load_seconds=3.0)
    starting = threading.Thread(target=catalogue.load)
    starting.start()
    while not (catalogue._listed and catalogue.entry("good").versions):
        time.sleep(0.001)
    assert not catalogue.ready
    catalogue.reload("good")  # though the other is loading still
    with pytest.raises(Unavailable, match="the models are still loading"):
        catalogue.reload("bad")
    starting.join()
    assert catalogue.ready
    assert "the thread that loads version 1 of model bad cannot be ended" in caplog.text
    held.set()
    while loaders():
        time.sleep(0.001)
    assert catalogue.entry("bad").versions == {}


def test_a_load_that_hangs_is_left_when_the_server_stops(
    repository: Repository, made: Callable[..., Catalogue], held: threading.Event
) -> None:
    repository.add("bad", factory="hurt", network=networks.mlp())
    catalogue = made()
    starting = threading.Thread(target=catalogue.load)
    starting.start()
    while not loaders():
        time.sleep(0.001)
    catalogue.close()
    starting.join(20)
    assert not starting.is_alive()


def test_whatever_ends_the_thread_that_loads_is_told(
    repository: Repository,
    made: Callable[..., Catalogue],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    repository.add()

    def dying(_loader: Loader, _folder: Any) -> Iterator[Any]:
        raise Panic("out of the blue")

    monkeypatch.setattr(Loader, "load", dying)
    catalogue = made()
    with caplog.at_level(logging.ERROR):
        catalogue.load()
    assert "out of the blue" in caplog.text
    assert catalogue.ready
    with pytest.raises(Unavailable, match="could not be loaded"):
        catalogue.find("small", None)


def test_a_repository_that_cannot_be_read_is_not_called_loading(
    repository: Repository, made: Callable[..., Catalogue]
) -> None:
    catalogue = made()
    repository.path.rename(repository.path.with_name("elsewhere"))
    with pytest.raises(ManifestError):
        catalogue.load()
    assert catalogue.why_not_ready == "the models could not be loaded; the server's log says why"
    with pytest.raises(Unavailable, match="the server's log says why"):
        catalogue.reload("small")
