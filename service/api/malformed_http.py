"""Requests that are no HTTP: no application sees them, and their answer has the one shape of errors too."""

import uuid

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.exchange import REQUEST_ID_HEADER
from service.api.failures import failed
from service.errors import InvalidInput


class HttpProtocol(HttpToolsProtocol):
    """Reads HTTP from a connection; what it cannot read is answered as an error like any other."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words name no way out
        """Answer what is no HTTP, and close: nobody knows where the next request would begin."""
        identifier = uuid.uuid4().hex
        text = "the request is not well-formed HTTP/1.1; look at its first line, headers and body length"
        response = failed(InvalidInput(text), identifier)
        response.headers[REQUEST_ID_HEADER] = identifier
        response.headers["Connection"] = "close"
        head = b"".join(b"%s: %s\r\n" % pair for pair in response.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + head + b"\r\n" + bytes(response.body))
        self.transport.close()
