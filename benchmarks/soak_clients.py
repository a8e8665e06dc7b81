"""Clients of the soak: who ask well, who ask badly, who leave, and who changes a model meanwhile."""

import socket
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from random import Random

from questions import (  # the folder of a script is on its path
    CHANGING,
    Question,
    alike,
    other_questions,
    read,
)

CLIENTS = 6
ANSWER_SECONDS = 60  # after which an answer is lost
CHANGE_SECONDS = 2.0  # between two loads


@dataclass
class Seen:
    """What the clients saw."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    compared: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, wrong: str = "", *, compared: bool = False) -> None:
        """Count an answer, and what is wrong with it."""
        with self.lock:
            self.statuses[kind] += 1
            self.compared += compared
            if wrong:
                self.wrong.append(wrong)


class Client:
    """Asks on one connection, and on another one where that was closed while it was idle."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)

    def ask(self, question: Question) -> tuple[int, object]:
        """Give the status of an answer, and what it says where that is to be compared."""
        used = self._connection.sock is not None
        try:
            return self._ask(question)
        except (HTTPException, ConnectionError):
            self._connection.close()
            if not used:
                raise
            return self._ask(question)

    def _ask(self, question: Question) -> tuple[int, object]:
        method = "GET" if question.body is None else "POST"
        self._connection.request(method, question.path, question.body, dict(question.headers))
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200 or question.expected is None:
            return answer.status, None
        return 200, read({name.lower(): value for name, value in answer.getheaders()}, content)


class Load:
    """Everything that is asked of a server at one time, on threads.

    Args:
        port: of the server.
        good: questions with known answers.
        seen: counts.
    """

    def __init__(self, port: int, good: Sequence[Question], seen: Seen) -> None:
        self._port = port
        self._good = good
        self._other = list(other_questions())
        self._seen = seen
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]
        self._threads.append(threading.Thread(target=self._change))

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _client(self, number: int) -> None:
        random, client = Random(number), Client(self._port)  # noqa: S311  # no secret
        while not self._over.is_set():
            if random.random() < 0.05:
                self._leave(random)
            else:
                self._ask(client, random.choice(self._good if random.random() < 0.85 else self._other))

    def _ask(self, client: Client, question: Question) -> None:
        try:
            status, given = client.ask(question)
        except (OSError, HTTPException, ValueError) as cause:
            self._seen.add("lost", f"{question.path}: {cause!r}")
            return
        wrong = "" if status in question.statuses else f"{question.path}: status {status}"
        compared = status == 200 and question.expected is not None
        if compared and not alike(given, question.expected):
            wrong = (
                f"{question.path}: {question.body!r:.200} gave {given!r:.300}, not {question.expected!r:.300}"
            )
        self._seen.add(str(status), wrong, compared=compared)

    def _leave(self, random: Random) -> None:
        """Ask, wholly or by half, and go away."""
        question = random.choice(self._good)
        body = question.body or b""
        sent = body[: random.choice((0, len(body) // 2, len(body)))]
        with socket.create_connection(("127.0.0.1", self._port), ANSWER_SECONDS) as connection:
            head = f"POST {question.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + sent)
        self._seen.add("left")

    def _change(self) -> None:
        client, path = Client(self._port), f"/v2/repository/models/{CHANGING}"
        while not self._over.wait(CHANGE_SECONDS):
            self._ask(client, Question(f"{path}/load", b""))
            self._ask(client, Question(f"{path}/unload", b""))
            self._ask(client, Question(f"{path}/load", b""))
