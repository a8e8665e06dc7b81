"""Binary bodies of infer, damaged in every way: refused in the one shape, or rightly answered."""

import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import networks
import numpy as np
import protocol
import pytest
import torch
from damaged import DAMAGES, Request, good, numbers
from fuzzing import Fuzzed, cases
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

PATH = "/v2/models/{}/infer"
REFUSED = {400, 404, 413, 422}
MANY = settings(max_examples=cases(500), suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def client(fuzzed: Fuzzed) -> Iterator[httpx.Client]:
    with fuzzed.client() as client:
        yield client


def direct(model: str, rows: dict[str, Any]) -> Any:
    """Run the network itself, as the repository made it."""
    torch.manual_seed(1)
    network = {"small": networks.mlp, "pair": networks.two_inputs}[model]().eval()
    with torch.no_grad():
        logits = network(*(torch.from_numpy(np.array(array)) for array in rows.values()))
        return logits.softmax(-1).numpy()


def rows_of(model: str, count: int, seed: int) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    if model == "small":
        return {"features": draw.normal(size=(count, 6)).astype(np.float32)}
    left, right = draw.normal(size=(count, 3)), draw.integers(0, 9, (count, 2))
    return {"left": left.astype(np.float32), "right": right}


@st.composite
def requests(draw: Callable[..., Any]) -> tuple[str, Request, list[str]]:
    """A model, a request to it, and how that is damaged."""
    model = draw(st.sampled_from(["small", "pair"]))
    binary = draw(st.booleans())
    rows = rows_of(model, draw(st.integers(1, 3)), draw(st.integers(0, 99)))
    request = good(rows, parameters={"binary_data_output": binary})
    damages = draw(st.lists(st.sampled_from(sorted(DAMAGES)), max_size=2))
    for damage in damages:
        request = draw(DAMAGES[damage])(request)
    return model, request, damages


@MANY
@given(asked=requests())
def test_a_damaged_request_is_refused_or_rightly_answered(
    fuzzed: Fuzzed, client: httpx.Client, asked: tuple[str, Request, list[str]]
) -> None:
    model, request, damages = asked
    headers = {name.encode(): value.encode("latin-1") for name, value in request.headers.items()}
    note(f"{headers} {request.content!r}")
    answer = client.post(PATH.format(model), content=request.content, headers=headers)
    fuzzed.check(answer.status_code, answer.headers, answer.content, may=_excused(request))
    assert answer.status_code in REFUSED | {200} | _excused(request)
    assert damages or answer.status_code == 200
    if answer.status_code == 200 and protocol.parameters(answer)["mode"] == "deterministic":
        given = numbers(request)
        found = protocol.outputs(answer)["output"]
        assert np.allclose(
            found, direct(model, {name: given[name] for name in rows_of(model, 1, 0)}), atol=1e-5
        )


def _excused(request: Request) -> frozenset[int]:
    """A request may set a deadline of its own, and it may pass."""
    parameters = request.head.get("parameters")
    return frozenset({504}) if isinstance(parameters, dict) and "timeout" in parameters else frozenset()


def bomb(encoding: str, head: bytes, megabytes: int) -> bytes:
    """Compress a head and then zeros, without ever having them all: one block is repeated."""
    squeezer = zlib.compressobj(wbits={"gzip": 31, "deflate": 15}[encoding])
    begun = squeezer.compress(head) + squeezer.flush(zlib.Z_FULL_FLUSH)
    block = squeezer.compress(bytes(2**20)) + squeezer.flush(zlib.Z_FULL_FLUSH)
    return begun + block * megabytes


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize(
    "head", [b"", b'{"inputs": [', json.dumps(good(rows_of("small", 1, 1)).head).encode()]
)
def test_a_gigabyte_in_a_megabyte_is_refused_before_it_is_there(
    fuzzed: Fuzzed, client: httpx.Client, encoding: str, head: bytes
) -> None:
    body = bomb(encoding, head, 1024)
    assert len(body) < 2**21
    tracemalloc.start()
    try:
        answer = client.post(PATH.format("small"), content=body, headers={"Content-Encoding": encoding})
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    fuzzed.check(answer.status_code, answer.headers, answer.content)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert peak_bytes < 4 * 16_000_000
