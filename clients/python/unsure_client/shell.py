"""What does the I/O of a client that blocks."""

import time
from typing import cast

import httpx

from unsure_client.inference import Inference
from unsure_client.steps import Answer, Exchange, Lost, Outcome, Result, Send, Step, Wait
from unsure_client.transport import TOO_SLOW, lost, read, written


class Shell:
    """Carries out exchanges.

    Args:
        address: of the server, without a slash at its end.
        key: that it needs; None for none.
        http: sends requests.
    """

    def __init__(self, address: str, key: str | None, http: httpx.Client) -> None:
        self._address = address
        self._key = key
        self.http = http

    def infer(self, inference: Inference[Result]) -> Result:
        """Carry out a call, one request after the other."""
        return inference.joined([self.run(exchange) for exchange in self.run(inference.begun)])

    def run(self, exchange: Exchange[Result]) -> Result:
        """Carry out an exchange."""
        outcome: Outcome = None
        while True:
            try:
                step = exchange.send(outcome)
            except StopIteration as end:
                return cast("Result", end.value)
            outcome = self._done(step)

    def _done(self, step: Step) -> Outcome:
        if isinstance(step, Wait):
            time.sleep(step.seconds)
            return None
        try:
            return self._sent(step)
        except httpx.RequestError as error:
            return lost(error)

    def _sent(self, step: Send) -> Answer | Lost:
        end = time.monotonic() + step.seconds
        request = written(step, self.http, self._address, self._key)
        response = self.http.send(request, stream=True)
        # Each read of the body, too, may only take what is left.
        request.extensions["timeout"]["read"] = max(end - time.monotonic(), 0.001)
        try:
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                # httpx limits each piece, and not the whole.
                if time.monotonic() > end:
                    return TOO_SLOW
            return read(response, bytes(body))
        finally:
            response.close()
