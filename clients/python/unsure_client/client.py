"""The client that blocks."""

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from unsure_client.models import DropoutReport, Model, ModelLine
from unsure_client.operations import Include, Operations, Samples, Seed
from unsure_client.parts import Batching
from unsure_client.predicted import Predictions
from unsure_client.retries import Retries
from unsure_client.reviews import Review, ReviewOrder, ReviewPage, ReviewStatus
from unsure_client.rows import RowsGiven
from unsure_client.shell import Shell
from unsure_client.transport import checked_address, checked_key
from unsure_client.uncertainties import AnyUncertainties
from unsure_client.writing import label_text


class Client:
    """Asks an unsure server, and waits for its answers. May be used by several threads.

    Args:
        address: of the server, such as "http://127.0.0.1:8000".
        api_key: that it needs; None where it needs none.
        timeout: of a call that does not say, in seconds: all its requests, tries and waits together.
        retries: when a request is tried again.
        batching: how rows are divided among requests; one at a time is sent.
        http: sends requests, where another is wanted than httpx's plain one: through a proxy, say, or with a
            certificate; it stays open.
    """

    def __init__(
        self,
        address: str,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        retries: Retries | None = None,
        batching: Batching | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._shell = Shell(checked_address(address), checked_key(api_key), http or httpx.Client())
        self._ask = Operations(timeout, retries or Retries(), batching or Batching())
        self._closes = http is None

    def __enter__(self) -> Self:
        """Give the client, which is closed at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close its connections."""
        if self._closes:
            self._shell.http.close()

    def predict(
        self,
        model: str,
        rows: RowsGiven,
        *,
        version: str | int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Predictions:
        """Predict, nothing dropped.

        Args:
            model: its name.
            rows: an array [rows, ...], a sequence of rows, or a DataFrame, whose columns are matched by name
                where the model's have names; for several inputs, a mapping of such by their names.
            version: of the model; None for the highest.
            request_id: stands in the server's log; of a call in several requests, what it begins with.
            timeout: of the call, in seconds; None for the client's.

        Returns:
            ClassPredictions, TokenPredictions or ValuePredictions, by the model's task.

        Raises:
            UnsureError: see `unsure_client.errors`.
        """
        return self._shell.infer(self._ask.predict(model, rows, version, request_id, timeout))

    def uncertainty(
        self,
        model: str,
        rows: RowsGiven,
        *,
        samples: Samples | None = None,
        seed: Seed | None = None,
        threshold: float | None = None,
        include: Include | Sequence[Include] | None = None,
        review: bool | None = None,
        version: str | int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> AnyUncertainties:
        """Run each row through thinned networks: mean, variance, measures and a flag.

        Args:
            model: its name.
            rows: as those of `predict`.
            samples: how many, AdaptiveSamples, or "exact"; None for the model's default.
            seed: which networks, 0 to 2**64 - 1; "fresh" for new ones; None for the model's default.
            threshold: of this call's own; the answer is then not certified.
            include: "samples" for the networks' outputs, "quantiles" for 0.05, 0.5 and 0.95 of them.
            review: whether flagged rows enter the queue for people; None for the policy's default.
            version: of the model; None for the highest.
            request_id: as that of `predict`.
            timeout: of the call, in seconds; None for the client's.

        Returns:
            ClassUncertainties, TokenUncertainties or ValueUncertainties, by the model's task.

        Raises:
            UnsureError: see `unsure_client.errors`.
        """
        asked = {
            "samples": samples,
            "seed": seed,
            "threshold": threshold,
            "include": include,
            "review": review,
        }
        return self._shell.infer(self._ask.uncertainty(model, rows, version, request_id, timeout, asked))

    def models(self) -> tuple[ModelLine, ...]:
        """List the models."""
        return self._shell.run(self._ask.models())

    def model(self, name: str) -> Model:
        """Describe a model."""
        return self._shell.run(self._ask.model(name))

    def dropout(self, name: str) -> DropoutReport:
        """Tell where a model drops, and what the inspection found."""
        return self._shell.run(self._ask.dropout(name))

    def ready(self) -> bool:
        """Tell whether the server takes requests; False too where nobody answers."""
        return self._shell.run(self._ask.ready())

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Wait until the server takes requests.

        Raises:
            UnsureError: it did not within `timeout` seconds.
        """
        self._shell.run(self._ask.wait_until_ready(timeout))

    def reviews(
        self,
        *,
        status: ReviewStatus | None = None,
        model: str | None = None,
        order: ReviewOrder | None = None,
        page_rows: int | None = None,
    ) -> Iterator[Review]:
        """Go through the reviews, page by page as they are taken.

        Args:
            status: of those wanted; None for the server's default.
            model: that flagged them; None for any.
            order: "uncertain" first, or "oldest".
            page_rows: of one request; None for the server's default.
        """
        cursor: str | None = None
        while True:
            page = self.review_page(status=status, model=model, order=order, limit=page_rows, cursor=cursor)
            yield from page.reviews
            if (cursor := page.cursor) is None:
                return

    def review_page(
        self,
        *,
        status: ReviewStatus | None = None,
        model: str | None = None,
        order: ReviewOrder | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> ReviewPage:
        """Give some reviews, and the cursor of the next page."""
        return self._shell.run(self._ask.review_page(status, model, order, limit, cursor))

    def review(self, review_id: str) -> Review:
        """Give a review."""
        return self._shell.run(self._ask.review(review_id))

    def review_stats(self) -> Mapping[str, Any]:
        """Give the figures of the queue."""
        return self._shell.run(self._ask.review_stats())

    def claim(self, review_id: str, reviewer: str) -> Review:
        """Take a pending review for somebody.

        Raises:
            Conflict: it is not pending.
        """
        return self._shell.run(self._ask.step(review_id, "claim", {"reviewer": reviewer}))

    def release(self, review_id: str, reviewer: str | None = None) -> Review:
        """Give a claimed review back.

        Raises:
            Conflict: it is not claimed.
        """
        return self._shell.run(self._ask.step(review_id, "release", {"reviewer": reviewer}))

    def resolve(
        self,
        review_id: str,
        reviewer: str,
        *,
        label: str | bool | float | None = None,
        value: float | Sequence[float] | None = None,
        note: str | None = None,
    ) -> Review:
        """Decide a review: the row's label, or its value.

        Args:
            review_id: of the review.
            reviewer: who decides.
            label: a label's name; a number or a truth value, numpy's too, stands for the name that says the
                same: 3 for "3", True for "true". It is never a class index.
            value: one for each of the model's.
            note: whatever else.

        Raises:
            Conflict: it is in a state that does not allow it.
        """
        body = {"reviewer": reviewer, "label": label_text(label), "value": value, "note": note}
        return self._shell.run(self._ask.step(review_id, "resolve", body))
