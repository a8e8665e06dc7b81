"""What a folder of Hugging Face says about its model, read without running anything of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from service.errors import PretrainedError
from service.files import MOST_BYTES
from service.repository.files import bound_content
from service.repository.manifest import Task

CONFIG_FILE = "config.json"

TOKENS = "ForTokenClassification"
"""How the names end of classes that label each token."""

_FETCHED = {
    "auto_map": "it names code that would come with the folder or from the network, and none is ever run",
    "quantization_config": "quantised weights are not served; save the model in full precision",
    "use_pretrained_backbone": "it has weights fetched from the network; save the whole model",
}
# The library makes lists as long as these say, before a network is built.
_COUNTS = re.compile(r"(layers?|depths?|blocks|experts|heads|num_labels)$")
_MOST_COUNTED = 1_000_000
_ATTENTION = (None, "eager", "sdpa")


@dataclass(frozen=True)
class PretrainedConfig:
    """config.json.

    Args:
        path: of the file.
        values: all that it says.
        digest: SHA-256 of the file.
    """

    path: Path
    values: Mapping[str, Any]
    digest: str

    @property
    def model_type(self) -> str:
        """The family, such as "bert"."""
        kind = self.values.get("model_type")
        if not isinstance(kind, str):
            raise PretrainedError(f"{self.path} has no model_type; save the folder with save_pretrained")
        return kind

    @property
    def architecture(self) -> str:
        """The class whose weights they are."""
        match self.values.get("architectures"):
            case [str(name)]:
                return name
            case other:
                raise PretrainedError(
                    f"{self.path}: architectures must name one class, and is {other}; save the folder with "
                    "save_pretrained of the model that is served"
                )

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the outputs, in their order."""
        named = self.values.get("id2label")
        if named is None:
            return tuple(f"LABEL_{place}" for place in range(int(self.values.get("num_labels", 2))))
        places = [str(place) for place in range(len(named))] if isinstance(named, dict) else []
        if not places or set(named) != set(places):
            raise PretrainedError(f"{self.path}: id2label must name the outputs from 0, and is {named}")
        return tuple(str(named[place]) for place in places)

    @property
    def task(self) -> Task:
        """What the outputs are: one kind for all of them."""
        problem = self.values.get("problem_type")
        if problem == "multi_label_classification":
            raise PretrainedError(
                f"{self.path}: problem_type is {problem}, where several labels may hold at once; a served "
                "classifier has one label a row"
            )
        if self.architecture.endswith(TOKENS):
            return "token_classification"
        return "regression" if problem == "regression" or len(self.labels) == 1 else "classification"


def read_config(folder: Path) -> PretrainedConfig:
    """Read config.json.

    Raises:
        PretrainedError: it cannot be read, or serving it would run or fetch what is not in the folder.
    """
    if (folder / "adapter_config.json").exists():
        raise PretrainedError(
            f"{folder} has an adapter, for a model that lies elsewhere; merge the two (merge_and_unload) and "
            "save the whole model"
        )
    path = folder / CONFIG_FILE
    config = PretrainedConfig(path, *read_json(path))
    _check_nothing_is_fetched(config)
    return config


def read_json(path: Path) -> tuple[dict[str, Any], str]:
    """Read a JSON object; gives the SHA-256 of its file too.

    Raises:
        PretrainedError: it cannot be read, was altered, or is none.
    """
    content, digest = bound_content(path, PretrainedError, MOST_BYTES)
    try:
        return msgspec.json.decode(content, type=dict[str, Any]), digest
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as cause:
        raise PretrainedError(f"{path} is no JSON object: {cause}") from cause


def _check_nothing_is_fetched(config: PretrainedConfig) -> None:
    for key, value in _entries(config.values):
        counted = value if isinstance(value, list) else [value]
        if _COUNTS.search(key) and any(
            isinstance(one, int | float) and one > _MOST_COUNTED for one in counted
        ):
            raise PretrainedError(
                f"{config.path}: {key} is {value}, and {_MOST_COUNTED} is the most that is read"
            )
        if key in _FETCHED and value:
            raise PretrainedError(f"{config.path} has {key}: {_FETCHED[key]}")
        if key.endswith("attn_implementation") and value not in _ATTENTION:
            raise PretrainedError(
                f"{config.path}: {key} is {value!r}, which would be fetched; it may be eager or sdpa"
            )


def _entries(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give every key and its value, those of tables within tables too."""
    for key, value in values.items():
        yield key, value
        if isinstance(value, Mapping):
            yield from _entries(value)
