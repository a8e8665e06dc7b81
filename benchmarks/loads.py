"""Generators of load, and what they measure: wrk as fast as it is answered, hey at a rate."""

import csv
import io
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

# wrk's own report rounds: this prints what it counted.
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{body}")
wrk.body = file:read("*a")
function done(summary, latency, requests)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('{{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "failed": %d}}\\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, errors.status + broken))
end
"""


@dataclass(frozen=True)
class Load:
    """What a generator measured.

    Args:
        rate: requests a second.
        p50: median latency, in ms.
        p99: of latency, in ms.
    """

    rate: float
    p50: float
    p99: float


def write_body(folder: Path, samples: int | None = None) -> Path:
    """Write the body of a request of one row; both servers take it."""
    torch.manual_seed(1)
    body: dict[str, object] = {"inputs": [[round(value, 4) for value in torch.rand(784).tolist()]]}
    path = folder / "body.json"
    path.write_text(json.dumps(body if samples is None else {**body, "samples": samples}))
    return path


def warm_up(url: str, connections: int, seconds: float, folder: Path) -> None:
    """Ask until code is compiled: meanwhile a request may well be refused, and nothing is measured."""
    _counted(url, connections, seconds, folder)


def wrk(url: str, connections: int, seconds: float, folder: Path) -> Load:
    """Ask as fast as it answers, over so many connections."""
    counted = _counted(url, connections, seconds, folder)
    if counted["failed"]:
        raise SystemExit(f"{counted['failed']} requests to {url} failed: these would be no figures")
    return Load(counted["requests"] / counted["seconds"], counted["p50"], counted["p99"])


def _counted(url: str, connections: int, seconds: float, folder: Path) -> dict[str, float]:
    script, body = folder / "wrk.lua", folder / "body.json"
    script.write_text(_SCRIPT.format(body=body))
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds:g}s",
        "--latency",
        "--timeout",
        "30s",
        "-s",
        str(script),
        url,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    counted: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return counted


def hey(url: str, body: Path, rate: float, connections: int, seconds: int) -> list[dict[str, str]]:
    """Ask at a rate, whatever it is answered; gives a line for each answer."""
    each = rate / connections
    command = ["hey", "-z", f"{seconds}s", "-c", str(connections), "-q", f"{each:.3f}", "-t", "60"]
    command += ["-m", "POST", "-T", "application/json", "-D", str(body), "-o", "csv", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(csv.DictReader(io.StringIO(done.stdout)))
