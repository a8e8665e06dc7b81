"""The server on Ray Serve, with one replica and with two, beside one process: requests a second, latencies.

All serve the same MLP (784-1024-1024-10, rate 0.5) on this one machine, one after the other, with the load of
`wrk` on one thread: JSON of one row, keep-alive. What Ray costs is seen here; what it brings needs machines.
Run it by `make bench-scaling`.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from loads import Load, write_body, wrk  # the folder of a script is on its path
from measuring import machine, progress
from servers import Server, ray_serve, running, unsure

CONNECTIONS = 16
SAMPLES = (50, 200)


def measure(servers: Sequence[Server], seconds: float, warm: float) -> Mapping[tuple[str, str], Load]:
    """Load each server; gives what it did, by its name and what was asked."""
    loads: dict[tuple[str, str], Load] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for server in servers:
            progress(server.name)
            with running(server, "uncertainty", folder):
                for asked, samples in [("predict", None), *((f"{one} samples", one) for one in SAMPLES)]:
                    write_body(folder, samples)
                    url = server.url("uncertainty" if samples else "predict")
                    wrk(url, CONNECTIONS, warm, folder)
                    loads[asked, server.name] = wrk(url, CONNECTIONS, seconds, folder)
    progress("")
    return loads


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--warm", type=float, default=15.0, help="before each")
    asked = parser.parse_args()
    servers = [unsure(), ray_serve(1), ray_serve(2)]
    loads = measure(servers, asked.seconds, asked.warm)
    print(f"{machine()}; {CONNECTIONS} connections\n")
    print("| asked | server | requests a second | p50 ms | p99 ms |")
    print("|---|---|---|---|---|")
    for (what, name), load in sorted(loads.items()):
        print(f"| {what} | {name} | {load.rate:.0f} | {load.p50:.1f} | {load.p99:.1f} |")


if __name__ == "__main__":
    main()
