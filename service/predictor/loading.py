"""From a model's folder to versions that answer, or to the reasons why not."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from service.errors import InvalidInput, LoadError, ModelError, RequestError
from service.predictor.entry import UNKNOWN
from service.predictor.execution import Execution
from service.predictor.served_model import ServedModel, prepare
from service.repository.folder import ModelFolder
from service.repository.manifest import Manifest
from service.telemetry.metrics import Telemetry

log = logging.getLogger("unsure")

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


class Loader:
    """Loads the versions of a model; logs and counts each.

    Args:
        allowed_factories: packages whose functions may build models.
        execution: how models are run.
        telemetry: counts loads.
    """

    def __init__(
        self, allowed_factories: tuple[str, ...], execution: Execution, telemetry: Telemetry
    ) -> None:
        self._allowed_factories = allowed_factories
        self._execution = execution
        self._telemetry = telemetry

    def load(self, folder: ModelFolder) -> Iterator[tuple[str, Outcome]]:
        """Give each version and what became of it, the highest first; `UNKNOWN` where none was reached."""
        try:
            manifest, numbers = folder.manifest(), folder.versions()
        except (Exception, SystemExit) as cause:  # noqa: BLE001  # logged; one model must not stop the others
            yield UNKNOWN, self._failed(folder, UNKNOWN, cause)
            return
        for number in numbers:
            yield str(number), self._version(folder, manifest, number)

    def _version(self, folder: ModelFolder, manifest: Manifest, number: int) -> Outcome:
        start = perf_counter()
        try:
            model = prepare(folder.read(manifest, number, self._allowed_factories), self._execution)
        except (Exception, SystemExit) as cause:  # noqa: BLE001  # logged; one model must not stop the others
            return self._failed(folder, str(number), cause)
        seconds = perf_counter() - start
        self._telemetry.loaded(folder.name, seconds)
        _tell(model, seconds)
        return model

    def _failed(self, folder: ModelFolder, version: str, cause: BaseException) -> Failed:
        self._telemetry.load_failed(folder.name)
        what = f"model {folder.name}" if version == UNKNOWN else f"version {version} of model {folder.name}"
        if isinstance(cause, LoadError):
            text = str(cause)  # not the error itself: a record that is kept would keep the network with it
            log.error("%s cannot be loaded: %s", what, text)
            return Failed(without_paths(text, folder.path.parent))
        log.error("%s cannot be loaded, by a fault of the server", what, exc_info=cause)
        return Failed(f"{what} cannot be loaded, by a fault of the server; its log says more", by_server=True)


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
