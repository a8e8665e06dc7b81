"""A text model's tokenizer: read, bound to what is recorded of it, or refused with its file."""

import base64
import builtins
import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import texts
from repositories import Repository

from service.errors import ModelError, TokenizerError
from service.predictor.texts import TextReader
from service.repository.folder import ModelFolder, ReadModel


def read(repository: Repository) -> ReadModel:
    folder = ModelFolder(repository.path / "films")
    return folder.read(folder.manifest(), 1, ("texts",))


def test_a_tokenizer_comes_with_its_digest_and_neither_cuts_nor_pads(repository: Repository) -> None:
    path = texts.add(repository) / "tokenizer.json"
    found = read(repository)
    assert found.files_sha256["tokenizer.json"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.tokenizer is not None
    assert len(found.tokenizer.encode("bad " * 20).ids) == 22
    assert len(found.tokenizer.encode("bad").ids) == 3


def _missing(path: Path) -> None:
    path.unlink()


def _linked(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("elsewhere.json")))


def _altered(path: Path) -> None:
    path.with_name("tokenizer.json.sha256").write_text(f"{'0' * 64}  tokenizer.json\n")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_missing, "cannot be read: No such file"),
        (_linked, "is a symbolic link; it must lie in the repository itself"),
        (_altered, r"was altered: its SHA-256 is [0-9a-f]{64}, and tokenizer.json.sha256 says 0000"),
        (_folder, "is not a file"),
        (lambda path: path.write_text("{}"), "is no file of the library tokenizers: "),
        (lambda path: path.write_bytes(b"\xff\xfe"), "is no file of the library tokenizers: "),
    ],
)
def test_a_damaged_tokenizer_is_refused(
    repository: Repository, damage: Callable[[Path], Any], message: str
) -> None:
    damage(texts.add(repository) / "tokenizer.json")
    with pytest.raises(TokenizerError, match=rf"films/1/tokenizer\.json {message}"):
        read(repository)


CHARMAPS = {
    "panics": struct.pack("<I", 8) + bytes(8),
    "asks for 4 GiB": struct.pack("<I", 2**31) + bytes(100),
}


@pytest.mark.parametrize(
    ("charmap", "message"),
    [("panics", "index out of bounds"), ("asks for 4 GiB", r"memory allocation of \d+ bytes failed")],
)
def test_a_tokenizer_that_would_end_the_process_is_refused(
    repository: Repository, charmap: str, message: str
) -> None:
    path = texts.add(repository) / "tokenizer.json"
    encoded = base64.b64encode(CHARMAPS[charmap]).decode()
    normalizer = {"type": "Precompiled", "precompiled_charsmap": encoded}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalizer": normalizer}))
    with pytest.raises(TokenizerError, match=rf"films/1/tokenizer\.json .*{message}"):
        read(repository)


def test_a_tokenizer_that_takes_too_long_is_refused(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts.add(repository)
    monkeypatch.setattr("service.repository.text._tried", set())
    monkeypatch.setattr("service.repository.text._TRIAL_SECONDS", 0)
    with pytest.raises(TokenizerError, match="the library tokenizers took more than 0 s"):
        read(repository)


def test_a_tokenizer_that_panics_on_one_text_fails_for_that_text_alone(repository: Repository) -> None:
    """A pattern that can match in many ways ends in a panic where a text has it try them all."""
    path = texts.add(repository) / "tokenizer.json"
    split = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pre_tokenizer": split}))
    found = read(repository)
    assert found.tokenizer is not None
    reader = TextReader(12, found.manifest.input, found.tokenizer)
    with pytest.raises(ModelError, match="the model's tokenizer failed on a text"):
        reader.read(json.dumps(["a" * 200 + "!"]).encode())
    assert len(reader.read(b'["good film"]')) == 1


def test_without_the_library_the_way_out_is_told(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts.add(repository)
    usual = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "tokenizers":
            raise ImportError(name)
        return usual(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TokenizerError, match=r"pip install 'unsure\[text\]'"):
        read(repository)
