"""How many requests are lost that were sent just before a server was told to stop: none should be.

Each round starts a server of one process, or of several on one port, connects clients that each send a
request, and sends SIGTERM up to 40 ms after the last of them. The application answers after a few
milliseconds; what serves it is ours. Run it by `python benchmarks/stopping.py --rounds 200`.
"""

import argparse
import asyncio
import os
import random
import signal
import socket
import time
from collections import Counter
from typing import Any

from service.listener import listening
from service.server import Server, server_config
from service.settings import Settings

CLIENTS = 64
_REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
_WORK_SECONDS = 0.005
_LONGEST_DELAY_SECONDS = 0.04
_PATIENCE_SECONDS = 20


async def _application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    await receive()
    time.sleep(_WORK_SECONDS / 5)  # as reading and writing JSON does, it keeps the loop from accepting
    await asyncio.sleep(_WORK_SECONDS)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


def _start(port: int) -> int:
    """Start a process that serves; gives its number."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        settings = Settings(drain_seconds=5)
        listener = listening("127.0.0.1", port, guarded=False, shared=True)
        server = Server(server_config(_application, settings), lambda: None, settings.drain_seconds)
        asked = server.startup

        async def startup(sockets: Any = None) -> None:
            await asked(sockets)
            os.write(told, b".")

        server.startup = startup  # type: ignore[method-assign]
        server.run(sockets=[listener])
        os._exit(0)
    os.read(ready, 1)
    os.close(ready)
    os.close(told)
    return pid


def stop_once(processes: int, delay_seconds: float) -> Counter[str]:
    """Stop a server so long after requests were sent; gives what became of them."""
    with listening("127.0.0.1", 0, guarded=False, shared=True) as reserved:
        port = reserved.getsockname()[1]
        pids = [_start(port) for _ in range(processes)]
        clients = [socket.create_connection(("127.0.0.1", port), _PATIENCE_SECONDS) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(_REQUEST)
        time.sleep(delay_seconds)
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        outcomes = Counter(_outcome(client) for client in clients)
        for pid in pids:
            status = os.waitpid(pid, 0)[1]
            outcomes[f"exit status {status}"] += status != 0
    return +outcomes


def _outcome(client: socket.socket) -> str:
    try:
        with client:
            answer = client.recv(4096)
    except OSError as cause:
        return type(cause).__name__
    return answer.split(b"\r\n")[0].decode() if answer else "closed without an answer"


def main() -> None:
    """Stop servers, and print what became of the requests."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=200)
    options.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    given = options.parse_args()
    chance = random.Random(0)  # noqa: S311
    for processes in given.processes:
        total: Counter[str] = Counter()
        for _ in range(given.rounds):
            total += stop_once(processes, chance.uniform(0, _LONGEST_DELAY_SECONDS))
        print(f"{processes} processes: {', '.join(f'{count} × {what}' for what, count in total.items())}")


if __name__ == "__main__":
    main()
