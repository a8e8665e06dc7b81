"""From a model's folder to versions that answer, or to the reasons why not."""

import ctypes
import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter
from typing import TypeVar

from service.errors import InvalidInput, LoadError, ModelError, RequestError
from service.predictor.entry import UNKNOWN
from service.predictor.execution import Execution
from service.predictor.served_model import ServedModel, prepare
from service.repository.folder import ModelFolder
from service.repository.manifest import Manifest
from service.telemetry.metrics import Telemetry

log = logging.getLogger("unsure")

Result = TypeVar("Result")

_LOOK_SECONDS = 0.5  # between looks whether the server stops
_ENDING_SECONDS = 1.0  # of a thread that was told to end

_PATH = re.compile(r"(?<![\w.:/-])/[^\s'\",:;()]+")


@dataclass(frozen=True)
class Failed:
    """A version that cannot be served.

    Args:
        reason: for a client: it names no folder of the server but the repository's own.
        by_server: whether it is no fault of the entry.
    """

    reason: str
    by_server: bool = False


Outcome = ServedModel | Failed


class _Abandoned(SystemExit):
    """Ends a thread whose load is waited for no more; a thread ends silently by it."""


class Loader:
    """Loads the versions of a model; logs and counts each.

    Args:
        allowed_factories: packages whose functions may build models.
        execution: how models are run.
        telemetry: counts loads.
        limit_seconds: how long a version may take.
        is_stopping: tells whether nobody waits for models any more.
    """

    def __init__(
        self,
        allowed_factories: tuple[str, ...],
        execution: Execution,
        telemetry: Telemetry,
        limit_seconds: float,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._allowed_factories = allowed_factories
        self._execution = execution
        self._telemetry = telemetry
        self._limit_seconds = limit_seconds
        self._is_stopping = is_stopping

    def load(self, folder: ModelFolder) -> Iterator[tuple[str, Outcome]]:
        """Give each version and what became of it, the highest first; `UNKNOWN` where none was reached."""
        try:
            manifest, numbers = self._within_limit(
                f"model {folder.name}", lambda: (folder.manifest(), folder.versions())
            )
        except BaseException as cause:  # noqa: BLE001  # logged; one model must not stop the others
            yield UNKNOWN, self.failed(folder, UNKNOWN, cause)
            return
        for number in numbers:
            yield str(number), self._version(folder, manifest, number)

    def _version(self, folder: ModelFolder, manifest: Manifest, number: int) -> Outcome:
        start = perf_counter()
        try:
            model = self._within_limit(
                f"version {number} of model {folder.name}",
                lambda: prepare(folder.read(manifest, number, self._allowed_factories), self._execution),
            )
        except BaseException as cause:  # noqa: BLE001  # logged; one model must not stop the others
            return self.failed(folder, str(number), cause)
        seconds = perf_counter() - start
        self._telemetry.loaded(folder.name, seconds)
        _tell(model, seconds)
        return model

    def _within_limit(self, what: str, work: Callable[[], Result]) -> Result:
        """Do work in a thread of its own, which is left behind where it takes too long; raises what it does.

        Raises:
            LoadError: it took longer than it may, or the server stops.
        """
        outcome: Future[Result] = Future()

        def run() -> None:
            try:
                outcome.set_result(work())
            except BaseException as cause:  # noqa: BLE001  # raised where the outcome is waited for
                outcome.set_exception(cause)

        thread = threading.Thread(target=run, name=f"load {what}", daemon=True)
        thread.start()
        end = monotonic() + self._limit_seconds
        while not outcome.done() and monotonic() < end and not self._is_stopping():
            wait([outcome], min(_LOOK_SECONDS, max(0.0, end - monotonic())))
        if outcome.done():
            try:
                return outcome.result()
            finally:
                del outcome  # or it, its error and the frames of that hold each other, and the network
        _end(thread, what)
        if self._is_stopping():
            raise LoadError("the server is stopping")
        raise LoadError(
            f"loading was given up after {self._limit_seconds:g} s; where it needs more, raise "
            "UNSURE_LOAD_SECONDS"
        )

    def failed(self, folder: ModelFolder, version: str, cause: BaseException) -> Failed:
        """Count a failure, log it, and put it into words for a client."""
        self._telemetry.load_failed(folder.name)
        what = f"model {folder.name}" if version == UNKNOWN else f"version {version} of model {folder.name}"
        if isinstance(cause, LoadError):
            text = str(cause)  # not the error itself: a record that is kept would keep the network with it
            log.error("%s cannot be loaded: %s", what, text)
            return Failed(without_paths(text, folder.path.parent))
        log.error("%s cannot be loaded, by a fault of the server", what, exc_info=cause)
        return Failed(f"{what} cannot be loaded, by a fault of the server; its log says more", by_server=True)


def _end(thread: threading.Thread, what: str) -> None:
    """End a thread by an exception, which it sees as soon as it runs Python."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Abandoned)
    )
    thread.join(_ENDING_SECONDS)
    if thread.is_alive():
        log.error(
            "the thread that loads %s cannot be ended while it waits for the system or computes: it goes on, "
            "and what it loads is not used",
            what,
        )


def refusal(name: str, failures: dict[str, Failed]) -> RequestError:
    """Give the error to answer with where a load has failed."""
    kind = ModelError if any(one.by_server for one in failures.values()) else InvalidInput
    reasons = "; ".join(one.reason for one in failures.values())
    return kind(f"model {name} could not be loaded, and is as it was before: {reasons}")


def without_paths(text: str, repository: Path) -> str:
    """Name what lies in the repository from there on, and nothing else of the server's disk."""
    return _PATH.sub("…", text.replace(f"{repository}/", ""))


def _tell(model: ServedModel, seconds: float) -> None:
    name = f"{model.identity.model}/{model.identity.version}"
    log.info("model %s is loaded after %.1f s: %s", name, seconds, _summary(model))
    if model.engine.plans and not model.engine.plans.steady:
        log.info(
            "model %s: times of its plans differed from run to run, since the machine did other things: "
            "which is fastest is a guess, and the next start measures anew",
            name,
        )
    for finding in model.engine.report.findings:
        level = logging.WARNING if finding.severity == "warning" else logging.INFO
        about = f"site {finding.site}" if finding.site else "dropout"
        log.log(level, "model %s: %s: %s", name, about, finding.message)


def _summary(model: ServedModel) -> str:
    sites = sum(site.sampled for site in model.engine.report.sites)
    if not model.engine.report.can_sample:
        return "no dropout to sample"
    return f"{sites} dropout site{'s' if sites > 1 else ''}, plan {model.engine.plan(1)}"
