"""The one place where a request must show its key, before its body is read or anything else is done."""

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from service.access.keys import SCOPES, Scope
from service.access.ring import KeyRing
from service.api.operations import Handler, Operation
from service.errors import Forbidden, RequestError, Unauthorized
from service.telemetry.metrics import Telemetry


class Guard:
    """Lets through what has a key with the scope that it needs.

    Args:
        ring: has the keys; None where none is needed.
        telemetry: counts what is turned away.
        protect_all: whether operations that need no scope need a key all the same, of any scope.
    """

    def __init__(self, ring: KeyRing | None, telemetry: Telemetry, *, protect_all: bool = False) -> None:
        self._ring = ring
        self._telemetry = telemetry
        self._protect_all = protect_all

    def guarded(self, operation: Operation) -> Operation:
        """Give an operation that asks for a key first, and says so; itself where it needs none."""
        handler = self.handler(operation.handler, operation.scope)
        if handler is operation.handler:
            return operation
        return replace(operation, handler=handler, errors=(*operation.errors, Unauthorized, Forbidden))

    def handler(self, handler: Handler, scope: Scope | None) -> Handler:
        """Put the question for a key before a handler, if it needs one.

        Args:
            handler: answers who may ask.
            scope: that the key must have; None for none.
        """
        ring = self._ring
        if ring is None or (scope is None and not self._protect_all):
            return handler

        async def checked(request: Request) -> Response:
            self._check(ring, request, scope)
            return await handler(request)

        return checked

    def admit(self, request: Request) -> None:
        """Let a request through whose scope another process will ask for, if its key is one at all.

        Raises:
            Unauthorized: it has no key, and needs one.
        """
        if self._ring is not None:
            self._check(self._ring, request, None)

    def _check(self, ring: KeyRing, request: Request, scope: Scope | None) -> None:
        try:
            request.state.scopes = _checked(ring, request, scope)
        except RequestError as refusal:
            self._telemetry.rejected(refusal.code)
            raise


def is_admin(request: Request) -> bool:
    """Tell whether a request has shown a key with the scope admin; where no keys are asked for, none has."""
    return "admin" in getattr(request.state, "scopes", ())


def _checked(ring: KeyRing, request: Request, scope: Scope | None) -> frozenset[Scope]:
    """Give what a request may; raises Unauthorized or Forbidden unless it has what it needs."""
    key = ring.key(_sent(request))
    if scope is not None and scope not in key.scopes:
        held = " and ".join(one for one in SCOPES if one in key.scopes)
        raise Forbidden(f"this needs a key with the scope {scope}, and this key has {held}; use another")
    return key.scopes


def _sent(request: Request) -> str:
    header = request.headers.get("authorization")
    if header is None:
        raise Unauthorized("this needs a key; send it as `Authorization: Bearer <key>`")
    scheme, _, key = header.strip().partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthorized("the header Authorization must be `Bearer <key>`, and is something else")
    return key.strip()
