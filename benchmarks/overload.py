"""Goodput under overload: what is answered where far more clients ask than a server can serve.

In one run, on one server: first few clients that keep it busy, then many, with long and short requests.
Printed is the work (rows times samples) that was answered 200 a second under overload, as a share of that of
the few, with statuses and latencies. The server's deadline is short, so that all clients together ask for
several times what can end in time. Run it by `python benchmarks/overload.py`.
"""

import argparse
import asyncio
import json
import random
import re
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

from measuring import machine, progress  # the folder of a script is on its path
from servers import running, unsure

SHORT, LONG = (1, 50), (8, 500)  # rows, and samples of each
DEADLINE_SECONDS = 5.0
FEW, MANY = 4, 150  # clients; every fourth sends short requests
_FEATURES = 784


@dataclass
class Outcome:
    """What a load came to.

    Args:
        seconds: that it took.
        statuses: how many answers of each, by size.
        latencies: of what was answered 200, by size, in seconds.
    """

    seconds: float
    statuses: dict[tuple[int, int], Counter[int]] = field(default_factory=dict)
    latencies: dict[tuple[int, int], list[float]] = field(default_factory=dict)

    @property
    def goodput(self) -> float:
        """Rows times samples answered a second."""
        return sum(rows * samples * one[200] for (rows, samples), one in self.statuses.items()) / self.seconds


def _request(size: tuple[int, int], chance: random.Random) -> bytes:
    rows = [[round(chance.random(), 2) for _ in range(_FEATURES)] for _ in range(size[0])]
    body = json.dumps({"inputs": rows, "samples": size[1]}).encode()
    head = (
        f"POST /v1/models/mlp/uncertainty HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _client(
    port: int, size: tuple[int, int], begin: float, end: float, outcome: Outcome, seed: int
) -> None:
    """Ask again and again; after a refusal, a while later."""
    chance = random.Random(seed)  # noqa: S311
    request = _request(size, chance)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (start := time.monotonic()) < end:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        await reader.readexactly(int(re.findall(r"(?i)content-length: (\d+)", head)[0]))
        status, now = int(head.split()[1]), time.monotonic()
        if begin <= now < end:
            outcome.statuses.setdefault(size, Counter())[status] += 1
            if status == 200:
                outcome.latencies.setdefault(size, []).append(now - start)
        if status != 200:
            await asyncio.sleep(chance.uniform(0.5, 1.0))
    writer.close()


async def load(port: int, clients: int, warm: float, seconds: float) -> Outcome:
    """Let so many clients ask; what is answered after a while counts."""
    outcome = Outcome(seconds)
    begin = time.monotonic() + warm
    sizes = [SHORT if number % 4 == 0 else LONG for number in range(clients)]
    tasks = [_client(port, size, begin, begin + seconds, outcome, seed) for seed, size in enumerate(sizes)]
    await asyncio.gather(*tasks)
    return outcome


def show(name: str, outcome: Outcome) -> None:
    """Print what a load came to."""
    print(f"{name}: {outcome.goodput:.0f} row samples a second")
    for (rows, samples), statuses in sorted(outcome.statuses.items()):
        told = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
        latencies: Sequence[float] = outcome.latencies.get((rows, samples), [])
        p99 = f"; p99 {quantiles(latencies, n=100)[98]:.2f} s" if len(latencies) > 1 else ""
        print(f"  {rows} rows of {samples} samples: {told}{p99}")


def main() -> None:
    """Measure, and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60, help="of each load")
    options.add_argument("--warm", type=float, default=20, help="seconds before each: code is compiled")
    options.add_argument(
        "--deadline",
        type=float,
        default=DEADLINE_SECONDS,
        help="in seconds; longer where a long request takes over a tenth of it",
    )
    options.add_argument("--unsure", nargs="*", default=[], help="options of the server, without their --")
    given = options.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = [f"--{option}" for option in given.unsure]
    server = unsure("--deadline-seconds", f"{given.deadline:g}", *own, port=port)
    print(machine(), end="\n\n")
    with tempfile.TemporaryDirectory() as name, running(server, "uncertainty", Path(name)):
        progress(f"{FEW} clients")
        few = asyncio.run(load(port, FEW, given.warm, given.seconds))
        progress(f"{MANY} clients")
        many = asyncio.run(load(port, MANY, given.warm, given.seconds))
    show(f"{FEW} clients", few)
    show(f"{MANY} clients, deadline {given.deadline:g} s", many)
    print(f"goodput under overload: {many.goodput / few.goodput:.0%} of that without")


if __name__ == "__main__":
    main()
