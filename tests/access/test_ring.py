"""Keys of a file: which are taken, and what happens when the file changes under the server."""

import logging
import os
from datetime import date
from pathlib import Path

import pytest

from service.access.issue import issue
from service.access.keys import Key, digest, new_key
from service.access.ring import CHECK_SECONDS, KeyRing
from service.errors import KeysError, Unauthorized


class Ring:
    """A ring over a file, with a clock that tests turn.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.now = 0.0
        self.today = date(2026, 12, 31)
        self.ring = KeyRing(path, lambda: self.now, lambda: self.today)

    def names(self, *sent: str) -> list[str | None]:
        """Ask later; tell whose each key is, None where it is refused."""
        self.now += CHECK_SECONDS
        return [self._name(key) for key in sent]

    def _name(self, sent: str) -> str | None:
        try:
            return self.ring.key(sent).name
        except Unauthorized:
            return None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def test_each_key_is_known_by_its_text_alone(path: Path) -> None:
    first, second = issue(path, "first", ["predict"]), issue(path, "second", ["review", "admin"])
    ring = Ring(path)
    assert ring.ring.key(first) == Key("first", digest(first), frozenset({"predict"}))
    assert ring.ring.key(second) == Key("second", digest(second), frozenset({"review", "admin"}))
    wrong = ["", "first", new_key(), first[:-1], f"{first} ", first.upper(), digest(first), "ÿ" * 5]
    assert ring.names(*wrong) == [None] * len(wrong)


def test_every_key_is_compared_whichever_is_sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a comparison takes must not tell which key was right, or how much of it."""
    keys = [issue(path, f"key {number}", ["predict"]) for number in range(3)]
    ring = KeyRing(path)
    compared: list[str] = []

    def compare(known: str, sent: str) -> bool:
        compared.append(known)
        return known == sent

    monkeypatch.setattr("service.access.ring.hmac.compare_digest", compare)
    for key in keys:
        compared.clear()
        ring.key(key)
        assert compared == [digest(one) for one in keys]


def test_an_error_never_repeats_the_key(path: Path) -> None:
    key = issue(path, "one", ["predict"], date(2027, 1, 1))
    ring = Ring(path)
    ring.today = date(2027, 1, 1)
    for sent in (key, new_key()):
        with pytest.raises(Unauthorized) as refused:
            ring.ring.key(sent)
        assert sent not in str(refused.value)
        assert sent[7:20] not in str(refused.value)


def test_a_key_expires_on_its_day(path: Path) -> None:
    key = issue(path, "guest", ["predict"], date(2027, 1, 1))
    ring = Ring(path)
    assert ring.names(key) == ["guest"]
    ring.today = date(2027, 1, 1)
    with pytest.raises(Unauthorized, match="the key has expired on 2027-01-01"):
        ring.ring.key(key)


def test_keys_are_added_and_revoked_while_it_runs(path: Path) -> None:
    first = issue(path, "first", ["predict"])
    ring, alone = Ring(path), path.read_text()
    second = issue(path, "second", ["predict"])
    assert ring.names(first, second) == ["first", "second"]
    path.write_text(alone)
    assert ring.names(first, second) == ["first", None]
    path.write_text("")
    assert ring.names(first, second) == [None, None]


def test_the_file_is_looked_at_once_a_second(path: Path) -> None:
    key = issue(path, "one", ["predict"])
    ring = Ring(path)
    path.write_text("")
    ring.now = CHECK_SECONDS / 2
    assert ring.ring.key(key).name == "one"
    assert ring.names(key) == [None]


def test_a_file_of_the_same_size_and_time_is_another_by_its_number(path: Path) -> None:
    first = issue(path, "one", ["predict"])
    ring, before = Ring(path), path.stat()
    path.unlink()
    (path.parent / "in the way").touch()  # it takes the number that was freed
    second = issue(path, "one", ["predict"])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert ring.names(first, second) == [None, "one"]


def _break(path: Path, how: str) -> None:
    if how == "gone":
        path.unlink()
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_text({"no TOML": "[[key", "wrong": '[[key]]\nname = "x"\n'}[how])


@pytest.mark.parametrize("how", ["gone", "a folder", "no TOML", "wrong"])
def test_a_file_that_breaks_leaves_the_keys_and_is_told_once(
    path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    key = issue(path, "one", ["predict"])
    ring = Ring(path)
    _break(path, how)
    for _ in range(3):
        assert ring.names(key) == ["one"]
    (told,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert str(path) in told.message
    assert "the 1 keys read before stay in use" in told.message
    assert key not in caplog.text
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    other = issue(path, "other", ["predict"])
    assert ring.names(key, other) == [None, "other"]


def test_what_could_not_be_read_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A permission that is given later does not change the file."""
    issue(path, "first", ["predict"])
    ring = Ring(path)
    second = issue(path, "second", ["predict"])
    with monkeypatch.context() as patched:

        def refuse(_path: Path) -> None:
            raise KeysError("not now")

        patched.setattr("service.access.ring.read_keys", refuse)
        assert ring.names(second) == [None]
    assert ring.names(second) == ["second"]


def test_a_file_that_is_wrong_at_the_start_is_an_error(path: Path) -> None:
    with pytest.raises(KeysError, match=r"keys\.toml cannot be read: No such file"):
        KeyRing(path)


def test_a_file_without_keys_lets_nobody_in_and_says_so(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("# none yet\n")
    assert Ring(path).names(new_key()) == [None]
    assert "holds no key" in caplog.text
