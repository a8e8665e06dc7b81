"""The file of keys: every mistake is named, and no key is ever repeated."""

import errno
import os
import re
import stat
import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.issue import issue, listed
from service.access.key_file import read_keys
from service.access.keys import Key, digest, new_key
from service.errors import KeysError

HASH = f"sha256:{'ab' * 32}"
GOOD = f'[[key]]\nname = "radiology"\nhash = "{HASH}"\nscopes = ["predict", "review"]\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def test_a_good_file_is_read_as_it_stands(path: Path) -> None:
    second = GOOD.replace("radiology", "ward 7").replace("ab", "cd") + "expires = 2027-01-01\n"
    path.write_text(GOOD + second)
    both = frozenset({"predict", "review"})
    assert read_keys(path) == (
        Key("radiology", "ab" * 32, both),
        Key("ward 7", "cd" * 32, both, date(2027, 1, 1)),
    )


MISTAKES = {
    "no TOML": ("[[key", "is not valid TOML"),
    "depth": ("x = " + "[" * 5000, "is not valid TOML"),
    "top": (f"keys = 1\n{GOOD}", "unknown key keys"),
    "unknown": (f"{GOOD}scope = []", "unknown key key[0].scope; known are name, hash, scopes, expires"),
    "one table": (GOOD.replace("[[key]]", "[key]"), "key: expected `array`, got `object`"),
    "no name": (GOOD.replace('name = "radiology"', ""), "key[0]: object missing required field `name`"),
    "empty name": (GOOD.replace("radiology", ""), "must be 1 to 64 printable characters, and is ''"),
    "long name": (GOOD.replace("radiology", "x" * 65), "must be 1 to 64 printable characters"),
    "two lines": (GOOD.replace("radiology", "a\\nb"), r"printable characters, and is 'a\nb'"),
    "twice": (GOOD + GOOD, "two keys have the name 'radiology'"),
    "same hash": (GOOD + GOOD.replace("radiology", "other"), "two keys have the hash"),
    "short hash": (
        GOOD.replace("ab", "a", 1),
        "the hash of key 'radiology' must be sha256: and 64 of 0-9a-f",
    ),
    "capitals": (GOOD.replace("ab", "AB"), "the hash of key 'radiology' must be"),
    "other hash": (GOOD.replace("sha256", "md5"), "the hash of key 'radiology' must be"),
    "line after": (GOOD.replace('ab"', 'ab\\n"'), "the hash of key 'radiology' must be"),
    "no scopes": (GOOD.replace('"predict", "review"', ""), "key 'radiology' has no scopes"),
    "scope": (GOOD.replace("review", "root"), "invalid enum value 'root'; scopes are predict, review, admin"),
    "a string": (GOOD.replace('["predict", "review"]', '"predict"'), "key[0].scopes: expected `array`"),
    "expires": (f'{GOOD}expires = "soon"', "key[0].expires: "),
    "a time": (f"{GOOD}expires = 2027-01-01T00:00:00Z", "key[0].expires: expected `date | null`"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named_with_its_place(path: Path, case: str) -> None:
    text, message = MISTAKES[case]
    path.write_text(text)
    with pytest.raises(KeysError, match=re.escape(message)) as wrong:
        read_keys(path)
    assert f"the keys file {path}" in str(wrong.value)


def test_a_key_that_stands_in_place_of_its_hash_is_not_repeated(path: Path) -> None:
    key = new_key()
    path.write_text(GOOD.replace(HASH, key))
    with pytest.raises(KeysError) as wrong:
        read_keys(path)
    assert key not in str(wrong.value)


def test_a_pipe_is_refused_and_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    for read in (read_keys, lambda pipe: issue(pipe, "ward", ["predict"])):
        with pytest.raises(KeysError, match=r"keys\.toml is not a file"):
            read(path)


def test_what_is_no_text_is_refused(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(KeysError, match="is not UTF-8 text"):
        read_keys(path)


def test_a_key_is_random_and_long() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"unsure_[A-Za-z0-9_-]{43}", key) for key in keys)


def test_a_key_is_issued_into_a_file_of_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keys.toml"
    key = issue(path, "ward", ["review", "predict", "predict"], date(2027, 1, 1))
    expected = frozenset({"predict", "review"})
    assert read_keys(path) == (Key("ward", digest(key), expected, date(2027, 1, 1)),)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key not in path.read_text()
    assert [one.name for one in path.parent.iterdir()] == ["keys.toml"]


def test_what_a_file_holds_stays(path: Path) -> None:
    path.write_text(f"# of the hospital\n{GOOD}# the last line, unended")
    path.chmod(0o644)
    issue(path, "ward", ["admin"])
    assert path.read_text().startswith(f"# of the hospital\n{GOOD}# the last line, unended\n\n[[key]]\n")
    assert [key.name for key in read_keys(path)] == ["radiology", "ward"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_link_to_the_file_stays_a_link(path: Path, tmp_path: Path) -> None:
    path.write_text(GOOD)
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    issue(link, "ward", ["admin"])
    assert link.is_symlink()
    assert len(read_keys(path)) == 2


@pytest.mark.parametrize(
    ("before", "name", "message"),
    [
        (GOOD, "radiology", "has a key of the name 'radiology'; choose another, or delete that"),
        ("[[key", "ward", "is not valid TOML"),
        ("key = []\n", "ward", "is not valid TOML"),
        (GOOD, "a\nb", "must be 1 to 64 printable characters"),
        (GOOD, "\udc80", "must be 1 to 64 printable characters"),
    ],
)
def test_what_cannot_be_added_changes_nothing(path: Path, before: str, name: str, message: str) -> None:
    path.write_text(before)
    with pytest.raises(KeysError, match=message):
        issue(path, name, ["predict"])
    assert path.read_text() == before
    assert [one.name for one in path.parent.iterdir()] == ["keys.toml"]


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeysError, match="cannot be written: "):
        issue(tmp_path / "file" / "keys.toml", "ward", ["predict"])


printable = st.text(st.characters(blacklist_categories=("C", "Zl", "Zp")), min_size=1, max_size=64)


@given(name=printable.filter(lambda name: bool(name.strip()) and name.isprintable()))
def test_any_printable_name_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    issue(path, name, ["predict"])
    assert [key.name for key in read_keys(path)] == [name]
    assert len(tomllib.loads(path.read_text("utf-8"))["key"][0]) == 3


@pytest.mark.parametrize("name", ['"', "\\", '\\"', 'x"\\nscopes = ["admin"]', "ä 日本 🩻", "'''", '"""'])
def test_a_name_cannot_leave_its_string(path: Path, name: str) -> None:
    issue(path, name, ["predict"])
    assert [(key.name, key.scopes) for key in read_keys(path)] == [(name, frozenset({"predict"}))]


def test_the_list_tells_names_scopes_and_expiry_and_no_hash(path: Path) -> None:
    issue(path, "ward", ["admin", "predict"])
    issue(path, "radiology", ["review"], date(2027, 1, 1))
    assert listed(path) == ["ward       predict admin", "radiology  review  expires 2027-01-01"]


def test_a_write_that_fails_leaves_the_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(GOOD)

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("service.access.issue.os.fsync", full)
    with pytest.raises(KeysError, match=r"keys\.toml cannot be written: No space left on device"):
        issue(path, "ward", ["predict"])
    assert path.read_text() == GOOD
    assert [one.name for one in path.parent.iterdir()] == ["keys.toml"]
