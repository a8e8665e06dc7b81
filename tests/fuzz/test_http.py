"""Bytes that are nearly HTTP: whatever is answered has the one shape of errors, and nothing hangs."""

import http.client
import io
import socket
from typing import Any

import pytest
from fuzzing import PATIENCE_SECONDS, Fuzzed, cases
from hypothesis import given, note, settings
from hypothesis import strategies as st

LONG = b"X-Long: y"  # stands for one of 70 000 bytes
BODY = b'{"inputs": [[1,2,3,4,5,6]]}'
METHODS = st.sampled_from(
    [
        b"GET",
        b"POST",
        b"PUT",
        b"DELETE",
        b"PATCH",
        b"HEAD",
        b"OPTIONS",
        b"TRACE",
        b"FOO",
        b"get",
        b"P\x00",
        b"",
    ]
)
SEGMENTS = st.sampled_from(
    [b"v1", b"v2", b"models", b"small", b"predict", b"infer", b"versions", b"1", b"..", b".", b"", b"%2e%2e"]
) | st.sampled_from(
    [b"%ff", b"%00", b"%", b"%zz", b"%ed%a0%80", b"a%0d%0ab", b"\xc3\xa9", b"\xff", b"a b", b"x" * 900]
)
PATHS = st.lists(SEGMENTS, max_size=5).map(lambda parts: b"/" + b"/".join(parts)) | st.sampled_from(
    [
        b"/v1/models/small/predict",
        b"*",
        b"",
        b"http://[::1/v1",
        b"//v1/models",
        b"?x",
        b"a:80",
        b"/docs?%zz&=#\xff",
    ]
)
VERSIONS = st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"http/1.1", b""])
HEADERS = st.lists(
    st.sampled_from(
        [
            *(b"Content-Length: 27", b"Content-Length: 5", b"Content-Length: -5", b"Content-Length: 27, 27"),
            *(b"Content-Length: " + b"9" * 30, b"Content-Length: 0x1b", b"Content-Length: 99999999"),
            *(
                b"Content-Length: \xb2",
                b"Transfer-Encoding: chunked",
                b"Transfer-Encoding: gzip",
                b"Bad Header",
            ),
            *(
                b"X-Request-ID: \xff\xfe",
                b"X-Request-ID: a b",
                b"X-Request-ID: mine",
                b"\x00: x",
                b": x",
                LONG,
            ),
            *(
                b"Expect: 100-continue",
                b"Expect: the worst",
                b"Upgrade: h2c\r\nConnection: Upgrade",
                b"Host: a\r\nHost: b",
            ),
            *(
                b"Upgrade: websocket\r\nConnection: Upgrade",
                b"Content-Type: \xff",
                b"Accept: ;",
                b" folded: x",
            ),
            *(b"Content-Encoding: gzip", b"Inference-Header-Content-Length: \xb2", b"Connection: close, x"),
        ]
    ),
    max_size=3,
)
BODIES = st.sampled_from(
    [BODY, b"", b"1b\r\n" + BODY + b"\r\n0\r\n\r\n", b"zz\r\n", b"-1\r\n", BODY * 2, b"\xff" * 40]
)


def exchange(server: Fuzzed, sent: bytes) -> bytes:
    """Send bytes, and read until the server closes: it may not do neither."""
    host, port = server.address.split(":")
    received = bytearray()
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        except TimeoutError:
            raise
        except OSError:  # the server had seen enough, and closed before all was sent
            pass
    return bytes(received)


class _Received:
    """Looks like a socket to the standard library's reader of answers."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def makefile(self, _mode: str) -> Any:
        return self._file


def first_answer(received: bytes, method: str) -> tuple[int, dict[str, str], bytes]:
    answer = http.client.HTTPResponse(_Received(received), method=method)  # type: ignore[arg-type]
    answer.begin()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


@settings(max_examples=cases(400))
@given(method=METHODS, path=PATHS, version=VERSIONS, headers=HEADERS, body=BODIES)
def test_an_answer_has_the_shape_of_answers(
    fuzzed: Fuzzed, method: bytes, path: bytes, version: bytes, headers: list[bytes], body: bytes
) -> None:
    sent = b"\r\n".join(
        [b" ".join([method, path, version]), b"Host: localhost", *headers, b"Connection: close", b"", body]
    )
    note(repr(sent))
    received = exchange(fuzzed, sent.replace(LONG, LONG + b"y" * 70_000))
    if received and method != b"HEAD":
        status, given, content = first_answer(received, method.decode("latin-1"))
        if status != 307:  # from / to /docs
            fuzzed.check(status, given, content)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nBad Header\r\n\r\n",
        b"nothing of the kind\r\n\r\n",
        b"POST /v1/models/small/predict HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"GET /v1/models/\xc3\xa9 HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_http_is_400_in_the_one_shape(fuzzed: Fuzzed, sent: bytes) -> None:
    status, headers, content = first_answer(exchange(fuzzed, sent), "GET")
    fuzzed.check(status, headers, content)
    assert status == 400
    assert b"the request is not well-formed HTTP/1.1; look at its first line" in content
    assert headers["connection"] == "close"
