"""What the shells tell httpx, and what it tells them."""

import httpx

from unsure_client.steps import Answer, Lost, Send

_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def checked_address(address: str) -> str:
    """Give a server's address without a slash at its end.

    Raises:
        ValueError: it is none.
    """
    if not address.startswith(("http://", "https://")):
        raise ValueError(f"the address {address!r} must begin with http:// or https://")
    return address.rstrip("/")


def written(
    step: Send, http: httpx.Client | httpx.AsyncClient, address: str, key: str | None
) -> httpx.Request:
    """Write a request as httpx has it.

    Args:
        step: that sends it.
        http: what is going to do so.
        address: of the server.
        key: that the server needs; None for none.
    """
    request = step.request
    headers = {"X-Request-ID": request.request_id}
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return http.build_request(
        request.method,
        address + request.path,
        params=request.query or None,
        content=request.body,
        headers=headers,
        timeout=step.seconds,
    )


def read(response: httpx.Response, body: bytes) -> Answer:
    """Read an answer whose body was taken."""
    return Answer(response.status_code, {name.lower(): text for name, text in response.headers.items()}, body)


def lost(error: httpx.RequestError) -> Lost:
    """Tell what a fault of the transport means."""
    late = isinstance(error, (httpx.ReadTimeout, httpx.WriteTimeout))
    return Lost(f"{type(error).__name__}: {error}", sent=not isinstance(error, _UNSENT), late=late)
