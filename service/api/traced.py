"""Tracing what operations are asked and answer."""

import asyncio
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from service.api.exchange import request_id
from service.api.failures import CLIENT_GONE, CLIENT_LEFT, cut_off, status_of
from service.api.operations import Handler, Operation
from service.tracing.trace import Trace, Tracing, code_of


def traced(operation: Operation, tracing: Tracing | None) -> Operation:
    """Give an operation whose requests are traced; itself where nobody traces, or if it needs no scope.

    Args:
        operation: that is asked.
        tracing: traces.
    """
    if tracing is None or operation.scope is None:
        return operation
    return replace(operation, handler=_traced(operation, tracing))


def _traced(operation: Operation, tracing: Tracing) -> Handler:
    name = f"{operation.method} {operation.path}"

    async def answered(request: Request) -> Response:
        with tracing.request(name, request.headers, request_id(request.scope)) as trace:
            return await _answered(operation, request, trace)

    return answered


async def _answered(operation: Operation, request: Request, trace: Trace) -> Response:
    try:
        response = await operation.handler(request)
    except asyncio.CancelledError as cancelled:
        left = CLIENT_GONE in cancelled.args
        trace.answered(CLIENT_LEFT if left else status_of(cut_off()), code_of(cancelled))
        raise
    except Exception as error:
        trace.answered(status_of(error), code_of(error))
        raise
    trace.answered(response.status_code)
    return response
