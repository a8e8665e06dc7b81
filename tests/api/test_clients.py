"""Clients that others wrote for the Open Inference Protocol, as they are published, over a real socket."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from open_inference.openapi.client import AsyncOpenInferenceClient, OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError
from open_inference.openapi.errors import BadRequestError, NotFoundError, ServiceUnavailableError
from open_inference.openapi.types import InferenceRequest, RequestInput, RequestOutput
from protocol import OUTPUTS, ROWS
from repositories import Repository
from servers import listening
from tritonclient.utils import InferenceServerException

from service.app import build
from service.settings import Settings


class Native:
    """The server's own face, to compare with."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._url = f"http://{address}"

    def wait_until_ready(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while httpx.get(f"{self._url}/v2/health/ready").status_code != 200:
            assert time.monotonic() < end, "the server did not get ready"

    def probabilities(self) -> Any:
        return self._rows("predict", "predictions", "probabilities")

    def measure(self, name: str, **more: Any) -> Any:
        return self._rows("uncertainty", "results", name, **more)

    def _rows(self, operation: str, part: str, name: str, **more: Any) -> Any:
        url = f"{self._url}/v1/models/small/{operation}"
        answer = httpx.post(url, json={"inputs": ROWS.tolist()} | more)
        return np.array([row[name] for row in answer.raise_for_status().json()[part]])


@pytest.fixture
def native(repository: Repository) -> Iterator[Native]:
    repository.add()
    settings = Settings(repository=repository.path, factories="networks", plan="vmap")
    with listening(build(settings)) as address:
        server = Native(address)
        server.wait_until_ready()
        yield server


@pytest.fixture
def client(native: Native) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(native.address) as client:
        yield client


def triton_input(module: Any = triton, *, binary: bool = True, rows: Any = ROWS) -> Any:
    given = module.InferInput("features", list(rows.shape), "FP32")
    given.set_data_from_numpy(rows, binary_data=binary)
    return given


def test_triton_asks_for_health_and_metadata(native: Native, client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("small")
    assert client.is_model_ready("small", "1")
    assert not client.is_model_ready("small", "2")
    assert not client.is_model_ready("large")
    assert client.get_server_metadata()["name"] == "unsure"
    metadata = client.get_model_metadata("small")
    assert metadata["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 6]}]
    assert [(one["name"], one["datatype"], one["shape"]) for one in metadata["outputs"]] == OUTPUTS


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("binary_in", [True, False])
def test_triton_infers(
    native: Native,
    client: triton.InferenceServerClient,
    binary_in: bool,
    binary_out: bool,
    compression: str | None,
) -> None:
    answer = client.infer(
        "small",
        [triton_input(binary=binary_in)],
        outputs=[triton.InferRequestedOutput("output", binary_data=binary_out)],
        request_id="mine",
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    assert np.allclose(answer.as_numpy("output"), native.probabilities(), atol=1e-6)
    assert answer.get_response()["id"] == "mine"
    assert ("data" in answer.get_output("output")) != binary_out


def test_triton_infers_by_default_arguments(native: Native, client: triton.InferenceServerClient) -> None:
    """No outputs named: the deterministic one, in binary."""
    answer = client.infer("small", [triton_input()])
    response = answer.get_response()
    assert [output["name"] for output in response["outputs"]] == ["output"]
    assert response["parameters"] == {"mode": "deterministic"}
    assert response["id"]
    assert np.allclose(answer.as_numpy("output"), native.probabilities(), atol=1e-6)


@pytest.mark.parametrize("binary", [True, False])
def test_triton_samples(native: Native, client: triton.InferenceServerClient, binary: bool) -> None:
    names = [name for name, _, _ in OUTPUTS]
    answer = client.infer(
        "small",
        [triton_input()],
        model_version="1",
        outputs=[triton.InferRequestedOutput(name, binary_data=binary) for name in names],
        timeout=20_000_000,
        parameters={"samples": 30, "seed": 11},
    )
    said = answer.get_response()["parameters"]
    assert said == {"mode": "mc_dropout", "samples": 30, "seed": 11, "certified": False}
    assert np.allclose(answer.as_numpy("output"), native.probabilities(), atol=1e-6)
    for name in names[1:]:
        found, own = answer.as_numpy(name), native.measure(name, samples=30, seed=11)
        assert found.dtype == (bool if name == "low_confidence" else np.float32)
        assert np.allclose(found, own, atol=1e-6), name


def test_triton_samples_by_a_parameter_alone(native: Native, client: triton.InferenceServerClient) -> None:
    answer = client.infer("small", [triton_input()], parameters={"samples": 30})
    assert answer.as_numpy("output") is None
    assert np.allclose(answer.as_numpy("mean"), native.measure("mean", samples=30), atol=1e-6)


def test_triton_reads_errors(native: Native, client: triton.InferenceServerClient) -> None:
    bad: list[tuple[str, Callable[[], Any], str]] = [
        ("400", lambda: client.infer("small", [triton_input(rows=ROWS[:, :5].copy())]), "must have shape"),
        ("404", lambda: client.infer("large", [triton_input()]), "there is no model 'large'"),
        ("504", lambda: client.infer("small", [triton_input()], timeout=1), "no answer within"),
        ("404", lambda: client.load_model("large"), "the repository has no folder 'large'"),
        ("400", lambda: client.load_model("small", config="{}"), "as it lies in the repository"),
    ]
    for status, ask, message in bad:
        with pytest.raises(InferenceServerException, match=message) as raised:
            ask()
        assert raised.value.status() == status


def test_triton_loads_and_unloads(
    repository: Repository, native: Native, client: triton.InferenceServerClient
) -> None:
    ready = {"name": "small", "version": "1", "state": "READY", "reason": ""}
    assert client.get_model_repository_index() == [ready]
    client.unload_model("small", unload_dependents=True)
    assert not client.is_model_ready("small")
    assert client.get_model_repository_index()[0]["state"] == "UNAVAILABLE"
    repository.add(version=2)
    client.load_model("small")
    assert client.get_model_repository_index() == [ready, ready | {"version": "2"}]
    assert client.infer("small", [triton_input()]).get_response()["model_version"] == "2"


def test_triton_infers_many_at_once(native: Native) -> None:
    own = native.probabilities()
    with triton.InferenceServerClient(native.address, concurrency=8) as client:
        asked = [client.async_infer("small", [triton_input()]) for _ in range(40)]
        assert all(np.allclose(one.get_result().as_numpy("output"), own, atol=1e-6) for one in asked)


def run(ask: Callable[[Any], Awaitable[None]], client: Callable[[], Any]) -> None:
    async def within() -> None:
        async with client() as opened:
            await ask(opened)

    asyncio.run(within())


def test_triton_infers_asynchronously(repository: Repository, native: Native) -> None:
    own, mean = native.probabilities(), native.measure("mean", samples=30)

    async def ask(client: triton_aio.InferenceServerClient) -> None:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("small")
        assert (await client.get_model_metadata("small"))["versions"] == ["1"]
        for binary in (True, False):
            for compression in (None, "gzip", "deflate"):
                given = [triton_input(triton_aio, binary=binary)]
                answer = await client.infer("small", given, request_compression_algorithm=compression)
                assert np.allclose(answer.as_numpy("output"), own, atol=1e-6)
        named = [triton_aio.InferRequestedOutput("mean", binary_data=False)]
        answer = await client.infer(
            "small", [triton_input(triton_aio)], outputs=named, parameters={"samples": 30}
        )
        assert np.allclose(answer.as_numpy("mean"), mean, atol=1e-6)
        await client.unload_model("small")
        with pytest.raises(InferenceServerException, match="is unloaded; load it again"):
            await client.infer("small", [triton_input(triton_aio)])
        await client.load_model("small")
        assert [one["state"] for one in await client.get_model_repository_index()] == ["READY"]

    run(ask, lambda: triton_aio.InferenceServerClient(native.address))


def working_group_request(rows: Any = ROWS, **more: Any) -> InferenceRequest:
    given = RequestInput(name="features", datatype="FP32", shape=list(rows.shape), data=rows.tolist())
    nothing = {"id": None, "outputs": None, "parameters": None}
    return InferenceRequest(inputs=[given], **nothing | more)


@pytest.fixture
def working_group(native: Native) -> Iterator[OpenInferenceClient]:
    with httpx.Client() as opened:
        yield OpenInferenceClient(base_url=f"http://{native.address}", httpx_client=opened)


def test_the_working_groups_client_infers(native: Native, working_group: OpenInferenceClient) -> None:
    """What is None it sends as null."""
    working_group.check_server_liveness()
    working_group.check_server_readiness()
    working_group.check_model_readiness("small")
    working_group.check_model_version_readiness("small", "1")
    assert working_group.read_server_metadata().name == "unsure"
    metadata = working_group.read_model_metadata("small")
    assert [(one.name, one.datatype, one.shape) for one in metadata.outputs] == OUTPUTS
    answer = working_group.model_infer("small", request=working_group_request())
    assert (answer.model_name, answer.model_version) == ("small", "1")
    assert answer.id
    assert np.allclose(_values(answer.outputs[0]), native.probabilities(), atol=1e-6)
    sampled = working_group.model_version_infer(
        "small",
        "1",
        request=working_group_request(
            id="mine", parameters={"samples": 30}, outputs=[RequestOutput(name="mean")]
        ),
    )
    assert sampled.id == "mine"
    assert sampled.parameters == {"mode": "mc_dropout", "samples": 30, "seed": 0, "certified": False}
    assert np.allclose(_values(sampled.outputs[0]), native.measure("mean", samples=30), atol=1e-6)


def _values(output: Any) -> Any:
    return np.array(output.data.__root__).reshape(output.shape)


def test_the_working_groups_client_reads_errors(native: Native, working_group: OpenInferenceClient) -> None:
    with pytest.raises(NotFoundError) as missing:
        working_group.check_model_readiness("large")
    assert missing.value.body["code"] == "not_found"
    with pytest.raises(BadRequestError) as wrong:
        working_group.model_infer("small", request=working_group_request(ROWS[:, :5]))
    assert wrong.value.body["code"] == "invalid_input"
    with pytest.raises(ApiError) as unknown:
        working_group.model_infer("large", request=working_group_request())
    assert unknown.value.status_code == 404
    httpx.post(f"http://{native.address}/v2/repository/models/small/unload").raise_for_status()
    with pytest.raises(ServiceUnavailableError):
        working_group.check_model_readiness("small")


def test_the_working_groups_client_infers_asynchronously(native: Native) -> None:
    own = native.probabilities()

    async def ask(opened: httpx.AsyncClient) -> None:
        client = AsyncOpenInferenceClient(base_url=f"http://{native.address}", httpx_client=opened)
        await client.check_server_readiness()
        answer = await client.model_infer("small", request=working_group_request())
        assert np.allclose(_values(answer.outputs[0]), own, atol=1e-6)

    run(ask, httpx.AsyncClient)
