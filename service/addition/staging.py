"""From what is wanted to a version: built in a hidden folder, tried, and put into its place."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.addition.hidden import hidden_folder
from service.addition.manifest_text import manifest_text
from service.addition.wanted import Wanted, contradictions
from service.errors import AdditionRefused, LoadError
from service.files import open_file, read_file
from service.predictor.execution import Execution
from service.predictor.served_model import ServedModel, prepare
from service.repository.folder import MANIFEST_FILE, ModelFolder
from service.repository.manifest import MODEL_NAME

_FILE, _FOLDER = 0o644, 0o755  # mkdtemp and safetensors write for their user alone; the server may be another


@contextmanager
def added(
    repository: Path, wanted: Wanted, factories: tuple[str, ...], execution: Execution
) -> Iterator[ServedModel]:
    """Build a version, load it as the server would, and give it to be tried; then it takes its place.

    Where anything fails, in here or while it is tried, the repository is as it was.

    Args:
        repository: its folder; made if it is missing.
        wanted: what to add.
        factories: packages whose functions may build models.
        execution: how it is run, and measured for the server's next start.

    Raises:
        AdditionRefused: there is such a version, another model of that name, or a file that cannot be read.
        LoadError: it cannot be served.
    """
    _check_name(wanted.name)
    place = repository / wanted.name
    with hidden_folder(repository) as hidden:
        with _seen_from_outside(hidden, repository, wanted):
            version = _staged(place, hidden / wanted.name, wanted)
            folder = ModelFolder(hidden / wanted.name)
            yield prepare(folder.read(folder.manifest(), int(version.name), factories), execution)
        _put_in_place(version, place)


@contextmanager
def _seen_from_outside(hidden: Path, repository: Path, wanted: Wanted) -> Iterator[None]:
    """Have errors name the files that somebody has, and not their copies, which are gone by then."""
    try:
        yield
    except LoadError as cause:
        text, version = str(cause), rf"{re.escape(str(hidden / wanted.name))}/\d+"
        for name, source in wanted.files.items():
            text = _named(text, rf"{version}/{re.escape(name)}\b", source)
        if wanted.folder is not None:
            text = _named(text, rf"{version}\b", wanted.folder)
        raise type(cause)(text.replace(str(hidden), str(repository))) from cause


def _named(text: str, pattern: str, path: Path) -> str:
    return re.sub(pattern, lambda _: str(path), text)


def _check_name(name: str) -> None:
    if not MODEL_NAME.fullmatch(name):
        raise AdditionRefused(f"{name!r} is no name of a model: it must match {MODEL_NAME.pattern}")


def _staged(place: Path, staging: Path, wanted: Wanted) -> Path:
    """Write the model's folder with the one version that is added; gives the version's folder."""
    try:
        version = staging / str(_number(place, wanted.version))
        version.mkdir(parents=True)
        for folder in (staging, version):
            folder.chmod(_FOLDER)
        _write_manifest(place, staging, wanted)
    except OSError as cause:
        raise AdditionRefused(f"{place} cannot be written or read: {cause.strerror}") from cause
    for name, source in wanted.files.items():
        _copy(source, version / name)
    return version


def _number(place: Path, wanted: int | None) -> int:
    if not os.path.lexists(place):
        return wanted or 1
    if not (place / MANIFEST_FILE).is_file():
        raise AdditionRefused(
            f"{place} is there and has no {MANIFEST_FILE}; take it away, or name another model"
        )
    there = [int(path.name) for path in place.iterdir() if path.name.isdecimal()]
    number = wanted or max(there, default=0) + 1
    if number in there:
        raise AdditionRefused(f"{place / str(number)} is there already, and no version is ever overwritten")
    return number


def _write_manifest(place: Path, staging: Path, wanted: Wanted) -> None:
    """Take the manifest that is there, which must say what is said now; or write one."""
    path = staging / MANIFEST_FILE
    if not place.exists():
        path.write_text(manifest_text(_complete(wanted)), "utf-8")
        path.chmod(_FILE)
        return
    path.write_bytes(read_file(place / MANIFEST_FILE))
    wrong = contradictions(wanted.keys, ModelFolder(staging).manifest())
    if wrong:
        raise AdditionRefused(
            f"{place / MANIFEST_FILE} says otherwise of {', '.join(wrong)}: all versions of a model have one "
            "manifest; leave these out, change the file, or name another model"
        )


def _complete(wanted: Wanted) -> dict[str, Any]:
    """Give the keys of a new manifest in the order of the documentation."""
    if "task" not in wanted.keys:
        raise AdditionRefused(
            f"model {wanted.name!r} is new and --task is missing: say with --task, --factory and --input "
            "what it is, or name a model that is there"
        )
    is_told = wanted.folder is not None or "labels" in wanted.keys.get("output", {})
    if wanted.keys["task"] != "regression" and not is_told:
        raise AdditionRefused("--labels is missing: name the classes, in the order of the model's outputs")
    policy = {**wanted.defaults.get("policy", {}), **wanted.keys.get("policy", {})}
    if "threshold" not in policy:
        raise AdditionRefused(
            f"--threshold is missing: say above which {policy['measure']} a row shall be flagged"
        )
    said: Mapping[str, Any] = {"name": wanted.name, **wanted.keys, "policy": policy}
    order = ("name", "task", "source", "input", "columns", "tokenizer", "tokens", "output", "sampling")
    return {key: said[key] for key in (*order, "policy") if said.get(key)}


def _copy(source: Path, place: Path) -> None:
    try:
        with open_file(source) as original, place.open("wb") as copy:
            shutil.copyfileobj(original, copy)
        place.chmod(_FILE)
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as cause:
        raise AdditionRefused(f"{source} cannot be copied: {cause.strerror or cause}") from cause
    record = place.with_name(f"{place.name}.sha256")
    record.write_text(f"{digest}  {place.name}\n")
    record.chmod(_FILE)


def _put_in_place(version: Path, place: Path) -> None:
    """Rename, which nobody sees half done: the model's folder, or the version's where the model is there."""
    source, target = (version, place / version.name) if place.exists() else (version.parent, place)
    try:
        if target.exists():  # a rename would replace an empty folder
            raise FileExistsError(0, "it is there already")
        source.rename(target)
    except OSError as cause:
        raise AdditionRefused(f"{target} cannot be put into its place: {cause.strerror}") from cause
