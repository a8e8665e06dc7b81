"""A real server under mixed load for a long time: does it grow, does it lose an answer, is one ever wrong?

Several clients ask models with random weights in every way: known questions, whose answers are compared with
those computed beside it by the plain loop, bad bodies, clients who leave, loads and unloads of one model. It
ends with a table, and with exit status 1 where anything is off.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np
from measuring import machine, progress
from questions import MODELS, Question, answered
from soak_clients import CLIENTS, Client, Load, Seen  # the folder of a script is on its path

WARMING_SHARE = 1 / 3  # of the time: caches fill, plans and pools settle
INTERVAL_SECONDS = 0.25
SECONDS = 60  # for a start, or an end

# A rise of the fitted line that is no leak: steps of the allocator, and arenas of threads at their first use.
MOST_RISE_MB = 40.0


@dataclass(frozen=True)
class Usage:
    """What the server had at one moment."""

    seconds: float
    megabytes: float
    files: int
    threads: int


class Server:
    """A server process over a repository.

    Args:
        repository: of its models.
        compile_after_seconds: as of `unsure serve`.
    """

    def __init__(self, repository: Path, compile_after_seconds: float) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        given = {
            "REPOSITORY": repository,
            "PORT": self.port,
            "PRECISION": "float32",
            "REVIEW_URL": "off",
            "COMPILE_AFTER_SECONDS": compile_after_seconds,
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith("UNSURE_")}
        environment |= {f"UNSURE_{name}": str(value) for name, value in given.items()}
        environment["PYTHONPATH"] = str(Path(__file__).parents[1])
        self.log = repository.parent / "log"
        command = [str(Path(sys.executable).with_name("unsure")), "serve"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def wait_until_ready(self) -> None:
        """Wait until all models are loaded."""
        end = monotonic() + SECONDS
        while not self._ready():
            assert self.process.poll() is None, self.log.read_text()
            assert monotonic() < end, self.log.read_text()

    def usage(self, seconds: float) -> Usage:
        """Look at the process."""
        folder = Path("/proc") / str(self.process.pid)
        lines = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        resident, threads = int(lines["VmRSS"].split()[0]), int(lines["Threads"])
        return Usage(seconds, resident / 1024, len(list((folder / "fd").iterdir())), threads)

    def stop(self) -> int:
        """Tell it to stop; gives its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def _ready(self) -> bool:
        try:
            return Client(self.port).ask(Question("/v2/health/ready"))[0] == 200
        except OSError:
            return False


def watch(server: Server, seconds: float, seen: Seen) -> list[Usage]:
    """Look at a server now and then."""
    start, usages, pause = monotonic(), [], threading.Event()
    while (now := monotonic() - start) < seconds and server.process.poll() is None:
        usages.append(server.usage(now))
        progress(
            f"{now:.0f} of {seconds:.0f} s, {sum(seen.statuses.values())} requests, {len(seen.wrong)} wrong"
        )
        pause.wait(INTERVAL_SECONDS)
    progress("")
    return usages


@dataclass(frozen=True)
class Growth:
    """How a server grew, after its first minutes."""

    megabytes_per_hour: float
    rise: float
    files: tuple[float, float]
    threads: tuple[float, float]

    @classmethod
    def of(cls, usages: Sequence[Usage]) -> "Growth":
        """Fit a line to its memory, and compare the first tenth with the last."""
        kept = [one for one in usages if one.seconds >= WARMING_SHARE * usages[-1].seconds]
        times, sizes = [one.seconds for one in kept], [one.megabytes for one in kept]
        slope = float(np.polyfit(times, sizes, 1)[0])
        few = max(1, len(kept) // 10)
        first, last = kept[:few], kept[-few:]
        return cls(
            3600 * slope,
            slope * (times[-1] - times[0]),
            (float(np.median([one.files for one in first])), float(np.median([one.files for one in last]))),
            (
                float(np.median([one.threads for one in first])),
                float(np.median([one.threads for one in last])),
            ),
        )

    def complaints(self) -> list[str]:
        """Say what has grown that should not."""
        found = []
        if self.rise > MOST_RISE_MB:
            found.append(f"memory rose by {self.rise:.0f} MB, more than {MOST_RISE_MB:.0f}")
        # Clients who leave hold a few for a moment; the loop's pool of threads grows to what it may have.
        if self.files[1] > self.files[0] + CLIENTS:
            found.append(f"open files grew from {self.files[0]:.0f} to {self.files[1]:.0f}")
        if self.threads[1] > self.threads[0] + 4 + (os.cpu_count() or 1):
            found.append(f"threads grew from {self.threads[0]:.0f} to {self.threads[1]:.0f}")
        return found


def report(seen: Seen, growth: Growth, usages: Sequence[Usage]) -> str:
    """Write the table."""
    total = sum(seen.statuses.values())
    rows = [(f"requests, {status}", str(number)) for status, number in sorted(seen.statuses.items())]
    rows += [
        ("requests a second", f"{total / usages[-1].seconds:.0f}"),
        ("answers compared", str(seen.compared)),
        ("wrong", str(len(seen.wrong))),
        ("memory at the start and end, MB", f"{usages[0].megabytes:.0f}, {usages[-1].megabytes:.0f}"),
        ("memory after warming up, MB an hour", f"{growth.megabytes_per_hour:+.1f}"),
        ("open files then and at the end", f"{growth.files[0]:.0f}, {growth.files[1]:.0f}"),
        ("threads then and at the end", f"{growth.threads[0]:.0f}, {growth.threads[1]:.0f}"),
    ]
    return "\n".join(["| what | figure |", "|---|---|", *(f"| {name} | {figure} |" for name, figure in rows)])


def soak(seconds: float, compile_after_seconds: float) -> list[str]:
    """Run it, and print the table; gives what is off."""
    seen = Seen()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        for model in MODELS:
            model.write(repository)
        good = answered(repository)
        server = Server(repository, compile_after_seconds)
        try:
            server.wait_until_ready()
            with Load(server.port, good, seen):
                usages = watch(server, seconds, seen)
            status = server.stop()
        finally:
            server.process.kill()
            server.process.wait()
        failed = "ERROR" in server.log.read_text()
    growth = Growth.of(usages)
    print(report(seen, growth, usages))
    off = [*seen.wrong[:10], *growth.complaints()]
    off += [f"the server ended with status {status}"] if status else []
    return off + (["there are errors in its log"] if failed else [])


def main() -> None:
    """Soak a server, and print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--seconds", type=float, default=1800, help="how long; the default is half an hour")
    options.add_argument(
        "--compile-after-seconds", type=float, default=0, help="as of unsure serve; compiled code adds memory"
    )
    given = options.parse_args()
    print(f"{given.seconds:g} s, {CLIENTS} clients, {machine()}", end="\n\n")
    off = soak(given.seconds, given.compile_after_seconds)
    for complaint in off:
        print(f"off: {complaint}", file=sys.stderr)
    sys.exit(bool(off))


if __name__ == "__main__":
    main()
