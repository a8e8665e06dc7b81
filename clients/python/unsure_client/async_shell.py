"""What does the I/O of a client for asyncio."""

import asyncio
import time
from typing import cast

import httpx

from unsure_client.columns import Json
from unsure_client.inference import Inference
from unsure_client.steps import Answer, Exchange, Lost, Outcome, Result, Send, Step, Wait
from unsure_client.transport import TOO_SLOW, lost, read, written


class AsyncShell:
    """Carries out exchanges.

    Args:
        address: of the server, without a slash at its end.
        key: that it needs; None for none.
        http: sends requests.
    """

    def __init__(self, address: str, key: str | None, http: httpx.AsyncClient) -> None:
        self._address = address
        self._key = key
        self.http = http

    async def infer(self, inference: Inference[Result]) -> Result:
        """Carry out a call, several requests at a time; no more are written than are about to be sent."""
        answers: dict[int, list[Json]] = {}
        parts = enumerate(await self.run(inference.begun))

        async def work() -> None:
            for number, exchange in parts:
                answers[number] = await self.run(exchange)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(inference.in_flight):
                    group.create_task(work())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return inference.joined([answers[number] for number in sorted(answers)])

    async def run(self, exchange: Exchange[Result]) -> Result:
        """Carry out an exchange."""
        outcome: Outcome = None
        while True:
            try:
                step = exchange.send(outcome)
            except StopIteration as end:
                return cast("Result", end.value)
            outcome = await self._done(step)

    async def _done(self, step: Step) -> Outcome:
        if isinstance(step, Wait):
            await asyncio.sleep(step.seconds)
            return None
        try:
            async with asyncio.timeout(step.seconds):
                return await self._sent(step)
        except TimeoutError:
            return TOO_SLOW
        except httpx.RequestError as error:
            return lost(error)

    async def _sent(self, step: Send) -> Answer | Lost:
        end = time.monotonic() + step.seconds
        request = written(step, self.http, self._address, self._key)
        response = await self.http.send(request, stream=True)
        try:
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                # Where more is always there already, asyncio's own time never comes.
                if time.monotonic() > end:
                    return TOO_SLOW
            return read(response, bytes(body))
        finally:
            await response.aclose()
