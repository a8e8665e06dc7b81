"""What a server can be asked, each as an exchange that a shell carries out."""

import re
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from unsure_client.deadlines import Deadline
from unsure_client.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    InvalidInput,
    Unavailable,
    UnexpectedAnswer,
)
from unsure_client.exchange import Patience, exchanged
from unsure_client.inference import Inference, Question, inferred
from unsure_client.models import AdaptiveSamples, DropoutReport, Model, ModelLine
from unsure_client.parts import Batching
from unsure_client.predicted import Predictions, read_predictions
from unsure_client.reading import read
from unsure_client.retries import Retries
from unsure_client.reviews import Review, ReviewOrder, ReviewPage, ReviewStatus, read_page, read_review
from unsure_client.rows import Rows, RowsGiven
from unsure_client.steps import Exchange, Request, Result
from unsure_client.uncertainties import AnyUncertainties, read_uncertainties
from unsure_client.writing import written

Samples: TypeAlias = int | AdaptiveSamples | Literal["exact"]
Seed: TypeAlias = int | Literal["fresh"]
Include: TypeAlias = Literal["samples", "quantiles"]

# Shorter than the server takes, for parts of a call add to it.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")

# Nothing is kept secret by it.
_RANDOM = Random()  # noqa: S311


@dataclass(frozen=True)
class Operations:
    """Makes exchanges.

    Args:
        timeout: of a call that does not say, in seconds.
        retries: of each request.
        batching: divides rows among requests.
        clock: tells seconds.
        draw: gives random numbers from 0 to 1.
    """

    timeout: float
    retries: Retries
    batching: Batching
    clock: Callable[[], float] = time.monotonic
    draw: Callable[[], float] = _RANDOM.random

    def predict(
        self,
        model: str,
        rows: RowsGiven,
        version: str | int | None,
        request_id: str | None,
        timeout: float | None,
    ) -> Inference[Predictions]:
        """Ask for predictions."""
        question = Question(f"{_model(model, version)}/predict", version, {}, _identifier(request_id))
        patience = self._patience(timeout)
        return inferred(question, _describe(model), Rows(rows), self.batching, patience, read_predictions)

    def uncertainty(
        self,
        model: str,
        rows: RowsGiven,
        version: str | int | None,
        request_id: str | None,
        timeout: float | None,
        asked: Mapping[str, Any],
    ) -> Inference[AnyUncertainties]:
        """Ask for Monte Carlo samples; `asked` is what the body holds besides rows, None for nothing."""
        path, identifier = f"{_model(model, version)}/uncertainty", _identifier(request_id)
        question, patience = Question(path, version, _beside(asked), identifier), self._patience(timeout)
        return inferred(question, _describe(model), Rows(rows), self.batching, patience, read_uncertainties)

    def models(self) -> Exchange[tuple[ModelLine, ...]]:
        """Ask for the list of models."""
        return self._asked(
            _get("/v1/models"), lambda given: tuple(read(ModelLine, one) for one in given["models"])
        )

    def model(self, name: str) -> Exchange[Model]:
        """Ask what a model is."""
        return self._asked(_describe(name), lambda given: read(Model, given))

    def dropout(self, name: str) -> Exchange[DropoutReport]:
        """Ask where a model drops."""
        return self._asked(_get(f"{_model(name, None)}/dropout"), lambda given: read(DropoutReport, given))

    def ready(self) -> Exchange[bool]:
        """Ask once whether the server takes requests."""
        try:
            yield from exchanged(_get(_READY), self._patience(None, Retries(0)))
        except (Unavailable, ConnectionFailed, DeadlineExceeded):
            return False
        return True

    def wait_until_ready(self, timeout: float) -> Exchange[None]:
        """Ask until the server takes requests."""
        endless = Retries(limit=1_000_000, first_seconds=0.2, most_seconds=1.0)
        yield from exchanged(_get(_READY), self._patience(timeout, endless))

    def review_page(
        self,
        status: ReviewStatus | None,
        model: str | None,
        order: ReviewOrder | None,
        limit: int | None,
        cursor: str | None,
    ) -> Exchange[ReviewPage]:
        """Ask for some reviews."""
        query = {"status": status, "model": model, "order": order, "limit": limit, "cursor": cursor}
        return self._asked(_get("/v1/reviews", query), read_page)

    def review(self, identifier: str) -> Exchange[Review]:
        """Ask for a review."""
        return self._asked(_get(_review(identifier)), read_review)

    def review_stats(self) -> Exchange[Mapping[str, Any]]:
        """Ask for the figures of the queue."""
        return self._asked(_get("/v1/reviews/stats"), dict)

    def step(self, identifier: str, name: str, body: Mapping[str, Any]) -> Exchange[Review]:
        """Take a review from one state to another; what is None is left out of the body."""
        text = written({key: value for key, value in body.items() if value is not None})
        path = f"{_review(identifier)}/{name}"
        return self._asked(
            Request("POST", path, body=text, request_id=_identifier(None), repeatable=False), read_review
        )

    def _asked(self, request: Request, read_answer: Callable[[Any], Result]) -> Exchange[Result]:
        given = yield from exchanged(request, self._patience(None))
        try:
            return read_answer(given)
        except (KeyError, TypeError, ValueError) as cause:
            raise UnexpectedAnswer(f"{request.path}: {cause!r}; check the server's version") from cause

    def _patience(self, timeout: float | None, retries: Retries | None = None) -> Patience:
        seconds = self.timeout if timeout is None else timeout
        return Patience(Deadline(seconds, self.clock), retries or self.retries, self.draw)


_READY = "/v2/health/ready"


def _get(path: str, query: Mapping[str, Any] | None = None) -> Request:
    given = {name: str(value) for name, value in (query or {}).items() if value is not None}
    return Request("GET", path, given, request_id=_identifier(None))


def _describe(model: str) -> Request:
    return _get(_model(model, None))


def _model(name: str, version: str | int | None) -> str:
    path = f"/v1/models/{quote(name, safe='')}"
    return path if version is None else f"{path}/versions/{quote(str(version), safe='')}"


def _review(identifier: str) -> str:
    return f"/v1/reviews/{quote(identifier, safe='')}"


def _identifier(given: str | None) -> str:
    if given is None:
        return uuid.uuid4().hex
    if not _REQUEST_ID.fullmatch(given):
        raise InvalidInput(
            f"the request_id {given[:40]!r} must be 1 to 100 letters, digits, or any of . _ : -; "
            "choose another"
        )
    return given


def _beside(asked: Mapping[str, Any]) -> dict[str, Any]:
    beside = {name: _plain(name, value) for name, value in asked.items() if value is not None}
    for name, value in beside.items():
        try:
            written(value)
        except (TypeError, ValueError) as cause:
            raise InvalidInput(f"{name} cannot be sent: it is {value!r}") from cause
    return beside


def _plain(name: str, value: Any) -> Any:
    """Give a value as the body has it."""
    if name == "seed" and value == "fresh":
        # Drawn here, so that all requests of a call have the same thinned networks.
        return secrets.randbits(64)
    if isinstance(value, AdaptiveSamples):
        return {key: one for key, one in asdict(value).items() if one is not None}
    if name == "include":
        return [value] if isinstance(value, str) else list(value)
    return value
