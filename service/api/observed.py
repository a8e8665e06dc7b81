"""Counting what inference requests are answered with, on whatever face."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from service.api.failures import CLIENT_GONE, CLIENT_LEFT, cut_off, status_of
from service.predictor.answers import DETERMINISTIC, MC_DROPOUT
from service.predictor.catalogue import Catalogue
from service.telemetry.metrics import Telemetry


class Observer:
    """Answers inference requests, and counts each answer whatever it is.

    Args:
        catalogue: knows which models there are: no label comes from a request.
        telemetry: counts.
    """

    def __init__(self, catalogue: Catalogue, telemetry: Telemetry) -> None:
        self._catalogue = catalogue
        self._telemetry = telemetry

    async def observe(self, request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        """Answer, and count."""
        start, status = perf_counter(), CLIENT_LEFT
        try:
            response = await answer(request)
            status = response.status_code
        except ClientDisconnect:
            raise
        except asyncio.CancelledError as cancelled:
            status = CLIENT_LEFT if CLIENT_GONE in cancelled.args else status_of(cut_off())
            raise
        except Exception as error:
            status = status_of(error)
            raise
        else:
            return response
        finally:
            labels = self._catalogue.labels(request.path_params["model"], request.path_params.get("version"))
            mode = getattr(request.state, "mode", DETERMINISTIC)
            self._telemetry.answered(*labels, mode, status, perf_counter() - start)


def is_sampled(request: Request) -> None:
    """Mark a request as one for samples, for the metrics."""
    request.state.mode = MC_DROPOUT
