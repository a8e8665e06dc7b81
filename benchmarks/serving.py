"""The server under load, beside LitServe: requests a second, latencies, and ten times its capacity.

Both serve the same MLP (784-1024-1024-10, rate 0.5, 50 samples), one after the other on the same cores, each
with the load of `wrk` on one thread: JSON of one row, keep-alive. The overload is by `hey`, which keeps to a
rate whatever it is answered. Run it by `make bench-serving`.
"""

import argparse
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

from loads import Load, hey, warm_up, write_body, wrk  # the folder of a script is on its path
from measuring import machine, progress
from servers import Server, litserve, running, unsure

ENDPOINTS = ("uncertainty", "predict")
CONNECTIONS = (32, 1)
_MOST_SECONDS = 5.0  # an answer may take under overload
_PENDING = 48  # rows that may wait under overload: about three seconds of work
_TIMES_CAPACITY = 10
_OVERLOAD_SAMPLES = 960  # a request, in whole chunks: what is offered ten times over must not keep hey busy
_OVERLOAD_CONNECTIONS = 200  # hey lets all ask at one moment: often enough that the queue is never empty
_CAPACITY_CONNECTIONS = 16


def measure(
    servers: Sequence[Server], repeats: int, seconds: float, warm: float
) -> Mapping[tuple[str, str, int], Load]:
    """Load each server in turns; gives medians by endpoint, server and connections."""
    loads: dict[tuple[str, str, int], list[Load]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_body(folder)
        for turn in range(repeats):
            for endpoint in ENDPOINTS:
                for server in servers:
                    progress(f"{turn + 1} of {repeats}: {server.name}, {endpoint}")
                    with running(server, endpoint, folder):
                        for connections in CONNECTIONS:
                            url = server.url(endpoint)
                            warm_up(url, connections, warm, folder)
                            one = wrk(url, connections, seconds, folder)
                            loads.setdefault((endpoint, server.name, connections), []).append(one)
    return {key: _middle(several) for key, several in loads.items()}


def _middle(loads: Sequence[Load]) -> Load:
    return Load(
        median(one.rate for one in loads),
        median(one.p50 for one in loads),
        median(one.p99 for one in loads),
    )


def print_loads(loads: Mapping[tuple[str, str, int], Load]) -> None:
    """Print the table, with each server's share of LitServe's rate and latency."""
    print("| endpoint | connections | server | requests a second | p50 ms | p99 ms | p99 / p50 | × |")
    print("|---|---|---|---|---|---|---|---|")
    for (endpoint, name, connections), load in sorted(
        loads.items(), key=lambda item: (item[0][0], -item[0][2])
    ):
        rival = loads.get((endpoint, litserve().name, connections))
        times = "" if rival is None else f"{load.rate / rival.rate:.1f}"
        figures = f"{load.rate:.0f} | {load.p50:.2f} | {load.p99:.2f} | {load.p99 / load.p50:.1f}"
        print(f"| {endpoint} | {connections} | {name} | {figures} | {times} |")


def overload(seconds: int, warm: float) -> None:
    """Offer ten times what the server can do, and print what became of it."""
    server = unsure("--max-pending-rows", str(_PENDING), "--deadline-seconds", f"{_MOST_SECONDS:g}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body = write_body(folder, _OVERLOAD_SAMPLES)
        with running(server, "uncertainty", folder) as pid:
            url = server.url("uncertainty")
            warm_up(url, _CAPACITY_CONNECTIONS, warm, folder)
            capacity = wrk(url, _CAPACITY_CONNECTIONS, max(warm, 5), folder).rate
            progress(f"{_TIMES_CAPACITY} times {capacity:.0f} requests a second for {seconds} s")
            with _watched(pid) as memory:
                answers = hey(url, body, _TIMES_CAPACITY * capacity, _OVERLOAD_CONNECTIONS, seconds)
    print_overload(capacity, answers, memory, seconds)


@contextmanager
def _watched(pid: int) -> Iterator[list[float]]:
    """Read a process's resident memory every second, in MB."""
    memory: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            memory.extend(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield memory
    finally:
        over.set()
        thread.join()


def print_overload(
    capacity: float, answers: Sequence[Mapping[str, str]], memory: Sequence[float], seconds: int
) -> None:
    """Print statuses, latency of what was answered, memory, and the share of capacity that was kept."""
    statuses = Counter(answer["status-code"] for answer in answers)
    good = [float(answer["response-time"]) for answer in answers if answer["status-code"] == "200"]
    p99 = quantiles(good, n=100)[98]
    offered = len(answers) / seconds
    print(f"\nOverload: {offered:.0f} requests a second of {_OVERLOAD_SAMPLES} samples, {seconds} s")
    print(f"  capacity   {capacity:.0f} a second")
    print(f"  answers    {', '.join(f'{count} × {status}' for status, count in sorted(statuses.items()))}")
    print(
        f"  goodput    {len(good) / seconds:.0f} a second, {len(good) / seconds / capacity:.0%} of capacity"
    )
    print(f"  latency    p50 {median(good):.2f} s, p99 {p99:.2f} s, deadline {_MOST_SECONDS:g} s")
    warm = memory[len(memory) // 6]
    print(f"  memory     {warm:.0f} MB after a sixth, {max(memory):.0f} at most, {memory[-1]:.0f} at last")


def main() -> None:
    """Measure, and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=3, help="turns of all servers")
    options.add_argument("--seconds", type=float, default=10, help="of each measurement")
    options.add_argument(
        "--warm", type=float, default=12, help="seconds of load before each: code is compiled"
    )
    options.add_argument("--overload-seconds", type=int, default=60, help="0 for no overload")
    options.add_argument(
        "--unsure", nargs="*", help="options of each server of ours: one with 2 workers, if left out"
    )
    options.add_argument("--alone", action="store_true", help="without LitServe")
    options.add_argument("--quick", action="store_true", help="one server for a moment: no figures")
    given = options.parse_args()
    _check_tools("wrk") if given.quick else _check_tools("wrk", "hey")
    print(machine(), end="\n\n")
    if given.quick:
        print_loads(measure([unsure()], repeats=1, seconds=1, warm=1))
        return
    own = [unsure(*one.split()) for one in given.unsure or ("", "--workers=2")]
    print_loads(measure(own if given.alone else [*own, litserve()], given.repeats, given.seconds, given.warm))
    if given.overload_seconds:
        overload(given.overload_seconds, given.warm)


def _check_tools(*names: str) -> None:
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        raise SystemExit(
            f"{' and '.join(missing)} must be installed: they are Debian's packages of these names"
        )


if __name__ == "__main__":
    main()
