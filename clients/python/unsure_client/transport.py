"""What the shells tell httpx, and what it tells them."""

import re

import httpx

from unsure_client.steps import Answer, Lost, Send

_KEY = re.compile(r"[!-~]+")
TOO_SLOW = Lost("the answer came too slowly", late=True)
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def checked_address(address: str) -> str:
    """Give a server's address without a slash at its end.

    Raises:
        ValueError: it is none.
    """
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as cause:
        raise ValueError(f"the address {address!r} is none: {cause}") from cause
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"the address {address!r} must begin with http:// or https://, and name a host")
    if url.query or url.fragment:
        raise ValueError(f"the address {address!r} must end before its ? or #")
    return address.rstrip("/")


def checked_key(key: str | None) -> str | None:
    """Give a key that a header may hold.

    Raises:
        ValueError: it is none; the text does not repeat it.
    """
    if key is not None and not _KEY.fullmatch(key):
        raise ValueError(
            "the api_key is empty, or holds a space, the end of a line, or what is not ASCII; if it was read "
            "from a file, give it .strip()"
        )
    return key


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
