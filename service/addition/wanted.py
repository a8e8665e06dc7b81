"""What somebody wants to add: the keys of a manifest, and the files of a version."""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from typing import Any

import msgspec

from service.errors import AdditionRefused
from service.json_names import doubled_name
from service.repository.folder import WEIGHTS_FILE
from service.repository.huggingface import FILES, check_weights_are_there
from service.repository.manifest import InputSpec, Manifest
from service.repository.pretrained import read_config

_INPUT = re.compile(
    r"(?P<name>[^:]+):(?P<dtype>[a-z0-9]+):(?P<shape>(-?\d+(,-?\d+)*)?)(:(?P<low>%s)\.\.(?P<high>%s))?"
    % ((r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?",) * 2)
)
_SHOWN = 200


@dataclass(frozen=True)
class Wanted:
    """A version to add.

    Args:
        name: of the model.
        keys: of model.toml, as far as they are said; of tables too.
        files: of the version, by the names that they shall have.
        version: its number; the next if left out.
        defaults: keys of a new model.toml that nobody has said.
        folder: of Hugging Face that the files are from; None for others.
    """

    name: str
    keys: Mapping[str, Any]
    files: Mapping[str, Path]
    version: int | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None


def wanted(name: str, **options: Any) -> Wanted:
    """Make out of the options of `unsure add` what is wanted.

    Raises:
        AdditionRefused: they contradict each other, or one is written in another way.
        LoadError: a folder of Hugging Face is not of a model that can be served.
    """
    said = {
        key: value
        for key, value in options.items()
        if value is not None and value != () and value is not False
    }
    folder = said.pop("huggingface", None)
    version = said.pop("version", None)
    keys = _keys(said)
    if folder is None:
        return _of_weights(name, keys, version, said.get("weights"), said.get("tokenizer"))
    foreign = sorted(_OF_A_FACTORY & set(said))
    if foreign:
        names = ", ".join(f"--{_SPELT.get(option, option)}" for option in foreign)
        raise AdditionRefused(f"--huggingface says what {names} would; leave it out")
    return _of_huggingface(name, keys, version, folder)


def _keys(said: Mapping[str, Any]) -> dict[str, Any]:
    """Give the keys of model.toml that options say."""
    keys: dict[str, Any] = {}
    for option, (table, key) in _PLACES.items():
        if option in said:
            read = _READ.get(option)
            keys.setdefault(table, {})[key] = read(said[option]) if read else said[option]
    if "factory" in said:
        keys["source"] = {"kind": "factory"} | keys["source"]
    if "task" in said:
        keys["task"] = said["task"]
    if "inputs" in said:
        keys["input"] = [input_table(text) for text in said["inputs"]]
    if "columns" in said:
        keys["columns"] = _columns(said["columns"], keys.get("input", []))
    return keys


def _columns(text: str, inputs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Name the numbers of the one input."""
    if len(inputs) != 1:
        raise AdditionRefused(
            f"--columns names the numbers of one --input, and {len(inputs)} are given; of several, write "
            "[columns] into model.toml"
        )
    names = next(csv.reader([text]), [])
    if not all(names):
        raise AdditionRefused(f"--columns {text[:_SHOWN]}: a name is empty; give each number of a row a name")
    return {inputs[0]["name"]: names}


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as cause:
        raise AdditionRefused(f"--arguments {text[:_SHOWN]}: it must be a JSON object: {cause}") from cause
    twice = doubled_name(text.encode())
    if twice is not None:
        raise AdditionRefused(f"--arguments {text[:_SHOWN]}: {twice!r} stands twice; give it once")
    return arguments


def _labels(text: str) -> list[str]:
    labels = [label.strip() for label in text.split(",")]
    if not all(labels):
        raise AdditionRefused(f"--labels {text}: a label is empty; give each class a name")
    return labels


_OF_A_FACTORY = {"factory", "arguments", "weights", "inputs", "columns", "tokenizer", "output"}
_SPELT = {"inputs": "input"}  # one --input is one of several
_READ: dict[str, Callable[[str], Any]] = {
    "arguments": _arguments,
    "labels": _labels,
    "words": lambda _: "first_of_word",
}
_PLACES = {
    "factory": ("source", "factory"),
    "arguments": ("source", "arguments"),
    "max_tokens": ("tokenizer", "max_tokens"),
    "words": ("tokens", "labelled"),
    "labels": ("output", "labels"),
    "output": ("output", "name"),
    "activation": ("output", "activation"),
    "variance_head": ("output", "variance_head"),
    "samples": ("sampling", "samples"),
    "measure": ("policy", "measure"),
    "threshold": ("policy", "threshold"),
}
"""Where in model.toml an option's value stands: its table and key."""


def _of_weights(
    name: str, keys: Mapping[str, Any], version: int | None, weights: Path | None, tokenizer: Path | None
) -> Wanted:
    if weights is None:
        raise AdditionRefused("give the weights by --weights FILE, or a folder by --huggingface FOLDER")
    files = {WEIGHTS_FILE: weights} | ({"tokenizer.json": tokenizer} if tokenizer else {})
    labels = keys.get("output", {}).get("labels", ())
    return Wanted(name, keys, files, version, _policy(keys.get("task"), len(labels)))


def _of_huggingface(name: str, keys: Mapping[str, Any], version: int | None, folder: Path) -> Wanted:
    config = read_config(folder)
    check_weights_are_there(folder)
    files = {file: folder / file for file in FILES if (folder / file).exists()}
    said = {"task": config.task, "source": {"kind": "huggingface"}} | dict(keys)
    return Wanted(name, said, files, version, _policy(config.task, len(config.labels)), folder)


def input_table(text: str) -> dict[str, Any]:
    """Read NAME:DTYPE:SHAPE, as image:float32:1,8,8, with :LOWEST..HIGHEST behind it for a range.

    Raises:
        AdditionRefused: it is written otherwise.
    """
    found = _INPUT.fullmatch(text)
    if found is None:
        raise AdditionRefused(
            f"--input {text}: write NAME:DTYPE:SHAPE, such as image:float32:1,8,8, ids:int64:-1:0..99 with "
            "a range, or x:float32: where a row is one number"
        )
    shape = [int(size) for size in found["shape"].split(",") if size]
    table = {"name": found["name"], "dtype": found["dtype"], "shape": shape}
    if found["low"] is None:
        return table
    return table | {"range": [_number(found["low"]), _number(found["high"])]}


def contradictions(keys: Mapping[str, Any], manifest: Manifest) -> Sequence[str]:
    """Name the keys that say something else than a manifest that is there."""
    present, wrong = _plain(manifest), []
    for key, value in keys.items():
        if isinstance(value, Mapping):
            table = present.get(key) or {}
            wrong += [f"{key}.{one}" for one, said in value.items() if table.get(one) != said]
        elif present.get(key) != _said(key, value):
            wrong.append(key)
    return wrong


def _said(key: str, value: Any) -> Any:
    """Give a key's value as a manifest has it, with what is left out."""
    return _plain([msgspec.convert(table, InputSpec) for table in value]) if key == "input" else value


def _plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def _policy(task: str | None, labels: int) -> dict[str, Any]:
    """Flag rows of a classifier that are half as uncertain as can be, until its owner says otherwise."""
    if task == "regression":
        return {"policy": {"measure": "standard_deviation"}}
    if labels < 2:  # a class alone is never uncertain
        return {"policy": {"measure": "predictive_entropy"}}
    return {"policy": {"measure": "predictive_entropy", "threshold": round(log(labels) / 2, 3)}}


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number
