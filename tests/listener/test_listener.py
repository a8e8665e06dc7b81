"""The server does not listen where strangers reach it without a key, unless its operator says so."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from repositories import Repository

from service import app
from service.access.issue import issue
from service.cli import main
from service.errors import StartError
from service.listener import listening
from service.settings import Settings

REFUSED = (
    "without keys, everybody who reaches {host} could load and unload models: name a file of keys "
    "with --api-keys-file (`unsure keys create` makes one), listen on --host 127.0.0.1 alone, "
    "or say --without-keys if that is meant"
)
EVERYWHERE = "0.0.0.0"  # noqa: S104  # what is to be refused
ADDRESSES = {
    "localhost": True,
    "127.0.0.1": True,
    "127.1.2.3": True,
    "127.1": True,
    "::1": True,
    "::ffff:127.0.0.1": True,
    EVERYWHERE: False,
    "0": False,
    "::": False,
    "192.0.2.1": False,
    "::ffff:192.0.2.1": False,
    "2001:db8::1": False,
}


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Bind nothing; gives the addresses that would have been."""
    addresses: list[Any] = []
    monkeypatch.setattr(socket.socket, "bind", lambda _socket, address: addresses.append(address))
    return addresses


def names(monkeypatch: pytest.MonkeyPatch, **known: list[str]) -> None:
    """Give names their addresses, without asking anybody."""
    real = socket.getaddrinfo

    def resolved(host: str, port: int, **more: Any) -> list[Any]:
        return [found for one in known.get(host, [host]) for found in real(one, port, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


@pytest.mark.parametrize("host", ADDRESSES)
def test_only_this_machine_is_listened_to_without_keys(host: str, bound: list[Any]) -> None:
    if ADDRESSES[host]:
        listening(host, 8000, guarded=False).close()
        assert len(bound) == 1
    else:
        with pytest.raises(StartError) as refused:
            listening(host, 8000, guarded=False)
        assert str(refused.value) == REFUSED.format(host=host)
        assert bound == []
    listening(host, 8000, guarded=True).close()
    assert bound[-1][1] == 8000


@pytest.mark.parametrize("first", ["127.0.0.1", "192.0.2.1"])
def test_a_name_is_judged_by_the_address_that_is_bound(
    monkeypatch: pytest.MonkeyPatch, bound: list[Any], first: str
) -> None:
    both = sorted(["127.0.0.1", "192.0.2.1"], key=lambda address: address != first)
    names(monkeypatch, here=both)
    if first == "127.0.0.1":
        listening("here", 8000, guarded=False).close()
        assert bound == [("127.0.0.1", 8000)]
    else:
        with pytest.raises(StartError, match="everybody who reaches here"):
            listening("here", 8000, guarded=False)


def test_an_address_that_is_taken_is_told() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(
            StartError, match=r"cannot listen on 127\.0\.0\.1:\d+ \(Address already in use\); choose"
        ),
    ):
        listening("127.0.0.1", taken.getsockname()[1], guarded=False)


def test_a_name_that_nobody_has_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_given: Any, **_more: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(
        StartError, match=r"cannot listen on nobody:8000 \(Name or service not known\); choose"
    ):
        listening("nobody", 8000, guarded=False)


class Served:
    """Stands in for uvicorn: notes that the server would have run, and where."""

    def __init__(self) -> None:
        self.hosts: list[str] = []

    def __call__(self, *_given: Any) -> "Served":
        return self

    def run(self, sockets: list[socket.socket]) -> None:
        self.hosts += [one.getsockname()[0] for one in sockets]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    stand_in = Served()
    monkeypatch.setattr("service.server.Server", stand_in)
    return stand_in


def serve(repository: Repository, *options: str, **environment: str) -> Result:
    command = ["serve", "--repository", str(repository.path), "--port", "0", *options]
    return CliRunner().invoke(main, command, env=environment)


@pytest.mark.parametrize("how", ["option", "variable", "keys"])
def test_the_operator_may_listen_everywhere(
    repository: Repository, served: Served, tmp_path: Path, how: str
) -> None:
    everywhere = ("--host", EVERYWHERE)
    if how == "option":
        result = serve(repository, *everywhere, "--without-keys")
    elif how == "variable":
        result = serve(repository, *everywhere, UNSURE_WITHOUT_KEYS="true")
    else:
        issue(tmp_path / "keys.toml", "one", ["predict"])
        result = serve(repository, *everywhere, "--api-keys-file", str(tmp_path / "keys.toml"))
    assert result.exit_code == 0, result.output
    assert served.hosts == [EVERYWHERE]


@pytest.mark.parametrize("variable", ["false", "0", ""])
def test_without_a_word_it_does_not(repository: Repository, served: Served, variable: str) -> None:
    result = serve(repository, "--host", EVERYWHERE, UNSURE_WITHOUT_KEYS=variable)
    assert result.exit_code == 1
    assert result.output == f"Error: {REFUSED.format(host=EVERYWHERE)}\n"
    assert served.hosts == []


def test_a_flag_that_is_neither_true_nor_false_is_told(repository: Repository, served: Served) -> None:
    result = serve(repository, UNSURE_WITHOUT_KEYS="perhaps")
    assert result.exit_code == 2
    assert "'perhaps' is not a valid boolean" in result.output
    assert served.hosts == []


def test_loopback_needs_no_keys(repository: Repository, served: Served) -> None:
    assert serve(repository).exit_code == 0
    assert served.hosts == ["127.0.0.1"]


BROKEN = '[[key]]\nname = "x"\nhash = "sha256:00"\nscopes = ["predict"]\n'


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--protect-all"], "--protect-all protects by keys; name a file of them with --api-keys-file"),
        (["--api-keys-file", "nowhere.toml"], "the keys file nowhere.toml cannot be read: No such file"),
        (["--api-keys-file", "BROKEN"], "the hash of key 'x' must be sha256: and 64 of 0-9a-f"),
        (["--api-keys-file", "k.toml", "--without-keys"], "contradict each other; leave out one"),
    ],
)
def test_settings_that_protect_nothing_are_refused(
    repository: Repository, served: Served, tmp_path: Path, options: list[str], sentence: str
) -> None:
    (tmp_path / "broken.toml").write_text(BROKEN)
    result = serve(
        repository, *(str(tmp_path / "broken.toml") if one == "BROKEN" else one for one in options)
    )
    assert result.exit_code == 1
    assert sentence in result.output
    assert result.output.startswith("Error: ")
    assert len(result.output.splitlines()) == 1
    assert served.hosts == []


def test_build_refuses_as_the_command_does(repository: Repository) -> None:
    with pytest.raises(StartError, match="cannot be read"):
        app.build(Settings(repository=repository.path, api_keys_file=repository.path / "none.toml"))


def test_the_real_command_refuses_before_it_listens(repository: Repository) -> None:
    command = [sys.executable, "-c", "from service.cli import main; main()", "serve", "--host", EVERYWHERE]
    environment = os.environ | {"UNSURE_REPOSITORY": str(repository.path), "UNSURE_PORT": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: {REFUSED.format(host=EVERYWHERE)}\n"
