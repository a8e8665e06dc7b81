"""Bad clients, bad models and kills: a real server, and what is left of its answers."""

import json
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from alike import assert_alike
from errors_on_the_wire import assert_failed
from processes import Process, served
from repositories import Repository
from wires import asked, head, until, wired

pytestmark = pytest.mark.end_to_end

ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
FAR = [1000.0, *ROW[1:]]  # the first feature is above 100, which bad models do not stand
BAD = {
    "raising": (500, "model_error", "the model raised ValueError"),
    "giving_nan": (500, "model_error", "the model gave NaN for row"),
    "losing_rows": (500, "model_error", ""),
    "leaving_when_run": (503, "unavailable", "ask again"),
}
LEFT_OPEN = 1000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server with a good model beside bad ones."""
    repository = Repository(tmp_path_factory.mktemp("faults") / "repository")
    repository.add()
    for name in BAD:
        repository.add(name, factory=name)
    with served(repository.path, HEAD_SECONDS=20, BODY_SECONDS=1, MAX_HEAD_BYTES=4096) as process:
        yield process


@pytest.fixture(scope="module")
def expected(server: Process) -> Any:
    """What the good model answers when nothing else goes on."""
    return _answers(server)


def _answers(server: Process) -> list[Any]:
    """Ask the good model, on a connection of our own."""
    told = []
    with wired(server.address) as wire:
        for path in ("predict", "uncertainty"):
            wire.send(asked(f"/v1/models/small/{path}", {"inputs": [ROW]}))
            answer = wire.answer()
            assert answer.status_code == 200, answer.text
            told.append(answer.json() | {"request_id": ""})
    return told


def assert_serves(server: Process, expected: Any) -> None:
    assert_alike(_answers(server), expected, rtol=1e-5, atol=1e-7, ignored=())


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("path", ["predict", "uncertainty"])
def test_of_a_bad_model_only_bad_rows_fail(server: Process, expected: Any, name: str, path: str) -> None:
    """Good rows of the same model, and those of the good one, are asked beside them all the time."""
    status, code, message = BAD[name]

    def ask(number: int) -> tuple[int, httpx.Response]:
        rows = [ROW, FAR] if number % 3 == 0 else [ROW]
        model = "small" if number % 3 == 1 else name
        return number, server.client.post(f"/v1/models/{model}/{path}", json={"inputs": rows})

    with ThreadPoolExecutor(6) as pool:
        for number, answer in pool.map(ask, range(18)):
            if number % 3 == 0:
                assert_failed(answer, status, code, message)
            elif name == "leaving_when_run":  # its thread took with it whoever waited
                assert answer.status_code in (200, 503)
            else:
                assert answer.status_code == 200, answer.text
    server.wait_until_ready()
    assert_serves(server, expected)


def test_ordinary_requests_are_answered_beside_a_thousand_open_connections(
    server: Process, expected: Any
) -> None:
    """Silent ones, half heads and half bodies."""
    _allow_files(LEFT_OPEN + 200)
    begun = (
        b"",
        b"POST /v1/models/small/predict HTTP/1.1\r\nX-",
        head("/v1/models/small/predict", 500) + b"{",
    )
    with ExitStack() as stack:
        for number in range(LEFT_OPEN):
            stack.enter_context(wired(server.address)).send(begun[number % 3])
        assert_serves(server, expected)
    assert_serves(server, expected)


def _allow_files(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def test_bad_clients_are_cut_off(server: Process, expected: Any) -> None:
    """With the settings of a real server: a body that stops, a header without an end."""
    with wired(server.address) as half, wired(server.address) as endless:
        half.send(head("/v1/models/small/predict", 500) + b"{")
        endless.send(b"GET / HTTP/1.1\r\nX: ")
        endless.pour()
        assert_failed(half.answer(), 504, "deadline_exceeded", "the body was not here within 1 s")
        assert half.closed
    assert_serves(server, expected)


def test_told_to_stop_under_load_it_answers_what_it_accepted(repository: Repository) -> None:
    """SIGTERM while long requests run: each is answered with 200, later ones are refused, exit status 0."""
    repository.add()
    answers: list[int] = []
    body = {"inputs": [ROW] * 100, "samples": 1000, "seed": 1}
    # Time for all, however slow the machine: what would not end in it is refused, and rightly.
    with served(repository.path, DEADLINE_SECONDS=300, DRAIN_SECONDS=300) as server:

        def ask() -> None:
            client = httpx.Client(base_url=f"http://{server.address}", timeout=300)
            with client:
                answers.append(client.post("/v1/models/small/uncertainty", json=body).status_code)

        with wired(server.address) as idle:
            callers = [threading.Thread(target=ask) for _ in range(20)]
            for caller in callers:
                caller.start()
            until(lambda: server.pending_rows() >= 100 * (20 - len(answers)))
            assert len(answers) < 20, "the requests are too short to be stopped among them"
            server.tell(signal.SIGTERM)
            assert server.ended() == 0
            for caller in callers:
                caller.join()
            assert idle.closed
        assert answers == [200] * 20
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.address.split(":")).close()  # type: ignore[arg-type]
        assert "Traceback" not in server.log.read_text().split("Shutting down")[1]


def test_a_model_that_hangs_keeps_nobody_waiting_and_the_server_from_nothing(repository: Repository) -> None:
    """Its request and those behind it are told by the deadline, later ones at once, as readiness is."""
    repository.add()
    repository.add("hanging", factory="hanging")
    with (
        served(repository.path, DEADLINE_SECONDS=2, DRAIN_SECONDS=1) as server,
        ThreadPoolExecutor(5) as pool,
    ):

        def ask(model: str, row: list[float]) -> httpx.Response:
            return server.client.post(f"/v1/models/{model}/predict", json={"inputs": [row]})

        hanging = pool.submit(ask, "hanging", FAR)
        until(lambda: server.pending_rows() >= 1)
        behind = [pool.submit(ask, name, ROW) for name in ("small", "hanging", "small")]
        for answer in (hanging, *behind):
            assert_failed(answer.result(), 504, "deadline_exceeded", "no answer within 2 s")
        until(lambda: server.client.get("/v2/health/ready").status_code != 200)
        for refused in (server.client.get("/v2/health/ready"), ask("small", ROW)):
            assert_failed(refused, 503, "unavailable", "a model does not come to an end")
        server.tell(signal.SIGTERM)
        assert server.ended() == 0
        assert "what still runs does not end" in server.log.read_text()


def test_who_waits_when_the_time_to_stop_is_over_gets_503(repository: Repository) -> None:
    """Also behind a model that hangs; the process ends though its thread does not."""
    repository.add("hanging", factory="hanging")
    with served(repository.path, DRAIN_SECONDS=1) as server, ThreadPoolExecutor(2) as pool:
        path = "/v1/models/hanging/predict"
        waiting = [pool.submit(server.client.post, path, json={"inputs": [row]}) for row in (FAR, ROW)]
        until(lambda: server.pending_rows() >= 1)
        server.tell(signal.SIGTERM)
        for answer in waiting:
            told = answer.result()
            if told.status_code != 200:  # the good row may have come before the other
                assert_failed(told, 503, "unavailable", "the server stopped before the answer was ready")
        assert server.ended() == 0


def test_killed_under_load_it_serves_the_same_again(repository: Repository) -> None:
    """kill -9: what is left on disk is whole, and the next start gives the same answers."""
    folder = repository.add()
    with served(repository.path, PLAN="auto") as server:
        before = _answers(server)
        stop = threading.Event()
        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(_ask_until, stop, server)
            until(lambda: server.pending_rows() >= 1)
            server.tell(signal.SIGKILL)
            assert server.ended() == -signal.SIGKILL
            stop.set()
    assert json.loads((folder / "plans.json").read_text())["by_rows"]
    assert sorted(path.name for path in folder.iterdir()) == ["plans.json", "weights.safetensors"]
    with served(repository.path, PLAN="auto") as server:
        assert_serves(server, before)


def _ask_until(stop: threading.Event, server: Process) -> None:
    body = {"inputs": [ROW] * 50, "samples": 500}
    while not stop.is_set():
        try:
            server.client.post("/v1/models/small/uncertainty", json=body)
        except httpx.TransportError:
            return
