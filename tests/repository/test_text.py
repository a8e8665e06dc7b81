"""A text model's tokenizer: read, bound to what is recorded of it, or refused with its file."""

import builtins
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import texts
from repositories import Repository

from service.errors import TokenizerError
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
