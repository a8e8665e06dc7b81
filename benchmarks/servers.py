"""The servers that are compared: the same MLP by each, started and stopped."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from works import mlp  # the folder of a script is on its path

HERE = Path(__file__).parent
RIVAL = HERE / ".servers" / "bin" / "python"
UNSURE_PORT, RIVAL_PORT, RAY_PORT = 8471, 8472, 8473
_START_SECONDS = 300

_MANIFEST = """
name = "mlp"
task = "classification"
[source]
kind = "factory"
factory = "works:mlp"
[[input]]
name = "pixels"
dtype = "float32"
shape = [784]
[output]
labels = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
[policy]
measure = "predictive_entropy"
threshold = 0.5
"""


@dataclass(frozen=True)
class Server:
    """One way to serve the MLP.

    Args:
        name: for the table.
        command: starts it, given the endpoint and a folder for what it needs.
        url: of an endpoint.
        health: answers 200 once it can be asked.
    """

    name: str
    command: Callable[[str, Path], list[str]]
    url: Callable[[str], str]
    health: str


def unsure(*options: str, port: int = UNSURE_PORT) -> Server:
    """Serve by unsure, from an entry that is made here."""

    def command(_endpoint: str, folder: Path) -> list[str]:
        repository = _repository(folder)
        own = [str(Path(sys.executable).with_name("unsure")), "serve", "--repository", str(repository)]
        return [*own, "--factories", "works", "--port", str(port), "--review-url", "off", *options]

    base = f"http://127.0.0.1:{port}"
    return Server(
        " ".join(["unsure", *options]),
        command,
        lambda endpoint: f"{base}/v1/models/mlp/{endpoint}",
        f"{base}/v2/health/ready",
    )


def litserve() -> Server:
    """Serve by LitServe, as `litserve_server.py` says."""
    base = f"http://127.0.0.1:{RIVAL_PORT}"
    return Server(
        "LitServe",
        lambda endpoint, _: [str(RIVAL), str(HERE / "litserve_server.py"), endpoint, str(RIVAL_PORT)],
        lambda endpoint: f"{base}/{endpoint}",
        f"{base}/health",
    )


def ray_serve(replicas: int) -> Server:
    """Serve by unsure on Ray Serve, as `ray_server.py` says."""

    def command(_endpoint: str, folder: Path) -> list[str]:
        own = [sys.executable, str(HERE / "ray_server.py"), "--repository", str(_repository(folder))]
        return [*own, "--port", str(RAY_PORT), "--replicas", str(replicas)]

    base = f"http://127.0.0.1:{RAY_PORT}"
    return Server(
        f"Ray Serve, {replicas} {'replica' if replicas == 1 else 'replicas'}",
        command,
        lambda endpoint: f"{base}/v1/models/mlp/{endpoint}",
        f"{base}/v2/health/ready",
    )


def _repository(folder: Path) -> Path:
    entry = folder / "repository" / "mlp"
    version = entry / "1"
    if not version.exists():
        version.mkdir(parents=True)
        torch.manual_seed(0)
        save_file(mlp().state_dict(), version / "weights.safetensors")
        (entry / "model.toml").write_text(_MANIFEST)
    return entry.parent


@contextmanager
def running(server: Server, endpoint: str, folder: Path) -> Iterator[int]:
    """Run a server; gives its process's number once it answers."""
    path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            server.command(endpoint, folder),
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # some leave children behind, which hold the port
        )
        try:
            _wait_until_healthy(server, process)
            yield process.pid
        finally:
            process.terminate()
            process.wait()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _wait_until_healthy(server: Server, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while not _answers(server.health):
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"{server.name} did not start")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  # an address of our own
            return bool(answer.status == 200)
    except OSError:
        return False
