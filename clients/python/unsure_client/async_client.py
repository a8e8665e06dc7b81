"""The client for asyncio."""

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from unsure_client.async_shell import AsyncShell
from unsure_client.models import DropoutReport, Model, ModelLine
from unsure_client.operations import Include, Operations, Samples, Seed
from unsure_client.parts import Batching
from unsure_client.predicted import Predictions
from unsure_client.retries import Retries
from unsure_client.reviews import Review, ReviewOrder, ReviewPage, ReviewStatus
from unsure_client.rows import RowsGiven
from unsure_client.transport import checked_address, checked_key
from unsure_client.uncertainties import AnyUncertainties
from unsure_client.writing import label_text


class AsyncClient:
    """Asks an unsure server, while others go on. What each method does, `Client` says.

    Args:
        address: of the server.
        api_key: that it needs; None where it needs none.
        timeout: of a call that does not say, in seconds.
        retries: when a request is tried again.
        batching: how rows are divided among requests, and how many of these are sent at a time.
        http: sends requests, where another is wanted than httpx's plain one; it stays open.
    """

    def __init__(
        self,
        address: str,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        retries: Retries | None = None,
        batching: Batching | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._shell = AsyncShell(checked_address(address), checked_key(api_key), http or httpx.AsyncClient())
        self._ask = Operations(timeout, retries or Retries(), batching or Batching())
        self._closes = http is None

    async def __aenter__(self) -> Self:
        """Give the client, which is closed at the end."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections."""
        if self._closes:
            await self._shell.http.aclose()

    async def predict(
        self,
        model: str,
        rows: RowsGiven,
        *,
        version: str | int | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Predictions:
        """Predict, nothing dropped."""
        return await self._shell.infer(self._ask.predict(model, rows, version, request_id, timeout))

    async def uncertainty(
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
        """Run each row through thinned networks: mean, variance, measures and a flag."""
        asked = {
            "samples": samples,
            "seed": seed,
            "threshold": threshold,
            "include": include,
            "review": review,
        }
        return await self._shell.infer(
            self._ask.uncertainty(model, rows, version, request_id, timeout, asked)
        )

    async def models(self) -> tuple[ModelLine, ...]:
        """List the models."""
        return await self._shell.run(self._ask.models())

    async def model(self, name: str) -> Model:
        """Describe a model."""
        return await self._shell.run(self._ask.model(name))

    async def dropout(self, name: str) -> DropoutReport:
        """Tell where a model drops, and what the inspection found."""
        return await self._shell.run(self._ask.dropout(name))

    async def ready(self) -> bool:
        """Tell whether the server takes requests; False too where nobody answers."""
        return await self._shell.run(self._ask.ready())

    async def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Wait until the server takes requests."""
        await self._shell.run(self._ask.wait_until_ready(timeout))

    async def reviews(
        self,
        *,
        status: ReviewStatus | None = None,
        model: str | None = None,
        order: ReviewOrder | None = None,
        page_rows: int | None = None,
    ) -> AsyncIterator[Review]:
        """Go through the reviews, page by page as they are taken."""
        cursor: str | None = None
        while True:
            page = await self.review_page(
                status=status, model=model, order=order, limit=page_rows, cursor=cursor
            )
            for review in page.reviews:
                yield review
            if (cursor := page.cursor) is None:
                return

    async def review_page(
        self,
        *,
        status: ReviewStatus | None = None,
        model: str | None = None,
        order: ReviewOrder | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> ReviewPage:
        """Give some reviews, and the cursor of the next page."""
        return await self._shell.run(self._ask.review_page(status, model, order, limit, cursor))

    async def review(self, review_id: str) -> Review:
        """Give a review."""
        return await self._shell.run(self._ask.review(review_id))

    async def review_stats(self) -> Mapping[str, Any]:
        """Give the figures of the queue."""
        return await self._shell.run(self._ask.review_stats())

    async def claim(self, review_id: str, reviewer: str) -> Review:
        """Take a pending review for somebody."""
        return await self._shell.run(self._ask.step(review_id, "claim", {"reviewer": reviewer}))

    async def release(self, review_id: str, reviewer: str | None = None) -> Review:
        """Give a claimed review back."""
        return await self._shell.run(self._ask.step(review_id, "release", {"reviewer": reviewer}))

    async def resolve(
        self,
        review_id: str,
        reviewer: str,
        *,
        label: str | bool | float | None = None,
        value: float | Sequence[float] | None = None,
        note: str | None = None,
    ) -> Review:
        """Decide a review: the row's label, or its value; `label` is read as that of `Client.resolve`."""
        body = {"reviewer": reviewer, "label": label_text(label), "value": value, "note": note}
        return await self._shell.run(self._ask.step(review_id, "resolve", body))
