"""`unsure keys`: the key on stdout once, all else on stderr, and mistakes in one sentence."""

import re
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.access.key_file import read_keys
from service.access.keys import Key, digest
from service.cli import main


def keys(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments], env=environment)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def test_a_key_is_printed_once_and_its_hash_is_kept(path: Path) -> None:
    asked = ["--scope", "predict", "--scope", "review", "--expires", "2027-01-01", "--file", str(path)]
    made = keys("create", "ward", *asked)
    assert made.exit_code == 0
    assert re.fullmatch(r"unsure_[\w-]{43}\n", made.stdout)
    key = made.stdout.strip()
    assert read_keys(path) == (Key("ward", digest(key), frozenset({"predict", "review"}), date(2027, 1, 1)),)
    assert key not in path.read_text()
    assert key not in made.stderr
    assert f"Added 'ward' to {path}" in made.stderr
    assert "Authorization: Bearer <key>" in made.stderr


def test_the_file_is_the_servers_if_that_is_known(path: Path) -> None:
    assert keys("create", "ward", "--scope", "admin", UNSURE_API_KEYS_FILE=str(path)).exit_code == 0
    listed = keys("list", UNSURE_API_KEYS_FILE=str(path))
    assert (listed.stdout, listed.stderr) == ("ward  admin\n", "")


def test_a_file_in_the_working_folder_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNSURE_API_KEYS_FILE", raising=False)
    assert keys("create", "ward", "--scope", "admin").exit_code == 0
    assert [key.name for key in read_keys(Path("keys.toml"))] == ["ward"]


def test_a_name_that_is_taken_is_refused(path: Path) -> None:
    asked = ["create", "ward", "--scope", "predict", "--file", str(path)]
    keys(*asked)
    before = path.read_text()
    again = keys(*asked)
    assert (again.exit_code, again.stdout) == (1, "")
    sentence = f"Error: the keys file {path} has a key of the name 'ward'; choose another, or delete that\n"
    assert again.stderr == sentence
    assert path.read_text() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "ward"],
        ["create", "ward", "--scope", "root"],
        ["create", "ward", "--scope", "predict", "--expires", "soon"],
        ["create"],
        ["list"],
        ["create", "", "--scope", "predict"],
    ],
)
def test_what_is_wrong_makes_no_key(path: Path, arguments: list[str]) -> None:
    result = keys(*arguments, "--file", str(path))
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    assert "Error: " in result.stderr
    assert not path.exists()


@pytest.mark.parametrize("command", ["create", "list"])
def test_each_command_helps_with_an_example(command: str) -> None:
    assert f"Example: unsure keys {command}" in keys(command, "--help").stdout
