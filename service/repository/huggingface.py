"""Classifiers of Hugging Face, from a folder that their own library has saved.

Nothing of the folder is run and nothing is fetched: the classes are those of the library that is installed,
and of the folder only JSON, safetensors and the tokenizer's file are read.
"""

import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from msgspec.structs import replace
from safetensors.torch import load_file
from torch import nn

from service.errors import PretrainedError, WeightsError, words_of
from service.repository.files import bound_digest
from service.repository.manifest import InputSpec, Manifest
from service.repository.pixels import PREPROCESSOR_FILE, image_shape, read_preprocessor
from service.repository.pretrained import CONFIG_FILE, TOKENS, PretrainedConfig, read_config, read_json
from service.repository.proportion import in_proportion
from service.repository.text import TokenizerSpec
from service.repository.weights import READ, check_finite, check_names, looks_like

WEIGHTS_FILE = "model.safetensors"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
FILES = (CONFIG_FILE, WEIGHTS_FILE, "tokenizer.json", TOKENIZER_CONFIG_FILE, PREPROCESSOR_FILE)
"""All that is read of a folder."""

MOST_TOKENS = 512
"""Of a text, where the manifest does not say."""

_OUTPUT = "logits"
_TEXT, _IMAGE = "ForSequenceClassification", "ForImageClassification"


@dataclass(frozen=True)
class Pretrained:
    """A model as its folder has it.

    Args:
        module: the network, on the CPU.
        manifest: with all that the folder says of inputs and labels.
        digests: SHA-256 of the files read, by their names.
    """

    module: nn.Module
    manifest: Manifest
    digests: dict[str, str]


def read_pretrained(folder: Path, manifest: Manifest) -> Pretrained:
    """Build a model and load its weights.

    Raises:
        PretrainedError: the folder is not of a model that can be served, or the library is not installed.
        WeightsError: its weights cannot be loaded.
    """
    config = read_config(folder)
    if manifest.task != config.task:
        raise PretrainedError(
            f"{config.path} is of a model for {config.task}, and the manifest's task is {manifest.task}"
        )
    settings, kind = _built(config)
    check_weights_are_there(folder)
    digest = bound_digest(folder / WEIGHTS_FILE, WeightsError)
    digests = {WEIGHTS_FILE: digest, CONFIG_FILE: config.digest}
    network = _loaded(kind, settings, folder / WEIGHTS_FILE)
    labels = manifest.output.labels or (config.labels if manifest.classifies else ())
    said = replace(manifest, output=replace(manifest.output, name=_OUTPUT, labels=labels))
    if kind.__name__.endswith(_IMAGE):
        return _of_images(folder, network, said, config, digests)
    return _of_texts(folder, network, said, settings, digests)


def _of_images(
    folder: Path, network: nn.Module, manifest: Manifest, config: PretrainedConfig, digests: dict[str, str]
) -> Pretrained:
    preprocessor = read_preprocessor(folder)
    shape = image_shape(config, preprocessor)
    if preprocessor.digest:
        digests = digests | {PREPROCESSOR_FILE: preprocessor.digest}
    module = preprocessor.before(network, channels=shape[0])
    image = InputSpec("pixel_values", "float32", shape, preprocessor.range)
    return Pretrained(module, replace(manifest, input=(image,), tokenizer=None), digests)


def _of_texts(
    folder: Path, network: nn.Module, manifest: Manifest, settings: Any, digests: dict[str, str]
) -> Pretrained:
    if not (folder / "tokenizer.json").exists():
        raise PretrainedError(
            f"{folder} has no tokenizer.json; AutoTokenizer.from_pretrained(…).save_pretrained(…) writes one"
        )
    takes = inspect.signature(network.forward).parameters
    names = [name for name in ("input_ids", "attention_mask") if name in takes]
    tokens = tuple(InputSpec(name, "int64", (-1,)) for name in names)
    tokenizer = manifest.tokenizer or TokenizerSpec(_most_tokens(folder, settings))
    return Pretrained(network, replace(manifest, input=tokens, tokenizer=tokenizer), digests)


def _most_tokens(folder: Path, settings: Any) -> int:
    """Tell how many tokens a text may have, where the manifest does not."""
    path = folder / TOKENIZER_CONFIG_FILE
    said = read_json(path)[0].get("model_max_length") if path.exists() else None
    limits = [said, getattr(settings, "max_position_embeddings", None), MOST_TOKENS]
    return int(min(limit for limit in limits if isinstance(limit, (int, float)) and limit > 0))


def _built(config: PretrainedConfig) -> tuple[Any, type[Any]]:
    """Give the library's configuration, and its class."""
    transformers = _library(config.path)
    if config.model_type not in transformers.CONFIG_MAPPING:
        raise PretrainedError(
            f"{config.path}: the installed transformers {transformers.__version__} has no model_type "
            f"{config.model_type}"
        )
    try:
        settings = transformers.CONFIG_MAPPING[config.model_type].from_dict(dict(config.values))
    except Exception as cause:  # its checks have no error of their own
        raise PretrainedError(f"{config.path} is refused by transformers: {words_of(cause)}") from cause
    mappings = [
        transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
        transformers.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
        transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
    ]
    kinds = [mapping[type(settings)] for mapping in mappings if type(settings) in mapping]
    kind = next((kind for kind in kinds if kind.__name__ == config.architecture), None)
    if kind is None:
        task = _task_words(transformers, settings, config.architecture)
        raise PretrainedError(
            f"{config.path}: {config.architecture} is {task}, which is not served; served are classifiers "
            f"of texts, tokens and images (…{_TEXT}, …{TOKENS}, …{_IMAGE}), and other networks by a factory "
            "that takes numbers and gives one tensor"
        )
    return settings, kind


def _task_words(transformers: Any, settings: Any, architecture: str) -> str:
    """Say what the library takes a class for."""
    for name in sorted(dir(transformers)):
        if name.startswith("MODEL_FOR_") and name.endswith("_MAPPING"):
            kind = getattr(transformers, name).get(type(settings), None)
            if architecture in {
                one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)) if one
            }:
                return f"a model for {name[len('MODEL_FOR_') : -len('_MAPPING')].lower().replace('_', ' ')}"
    return f"no class of {settings.model_type} by the library's lists"


def _library(path: Path) -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"  # nothing here asks for the network; this is the second wall
    try:
        import transformers
    except ImportError as cause:
        raise PretrainedError(
            f"{path}: it takes the library transformers, which is not installed: "
            "pip install 'unsure[huggingface]'"
        ) from cause
    logs: Any = transformers.utils.logging
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    return transformers


def check_weights_are_there(folder: Path) -> None:
    """Refuse weights that lie in a pickle or in several files, with the way out."""
    if (folder / WEIGHTS_FILE).exists():
        return
    if (folder / f"{WEIGHTS_FILE}.index.json").exists():
        way_out = "save them in one file: save_pretrained(folder, max_shard_size='100GB')"
        raise WeightsError(f"{folder} has weights in several files; {way_out}")
    if any(folder.glob("*.bin")):
        raise WeightsError(
            f"{folder} has no {WEIGHTS_FILE} but a pickle, which could run code when opened; save the model "
            "with save_pretrained, which writes safetensors"
        )


def _loaded(kind: type[Any], settings: Any, path: Path) -> nn.Module:
    try:
        weights = load_file(path, backend=READ)
    except safetensors.SafetensorError as cause:
        raise WeightsError(f"{path} is not a safetensors file: {looks_like(path) or cause}") from cause
    try:
        module: nn.Module
        with in_proportion(path):
            module, told = kind.from_pretrained(
                None, config=settings, state_dict=weights, dtype=torch.float32, output_loading_info=True
            )
    except Exception as cause:  # a wrong shape is a RuntimeError, and a missing library an ImportError
        raise WeightsError(f"{path} does not fit the model: {words_of(cause)}") from cause
    check_names(path, told["missing_keys"], told["unexpected_keys"])
    check_finite(path, module)
    return module
