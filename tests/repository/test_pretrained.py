"""Folders of Hugging Face: read without running or fetching anything, or refused with their file."""

import pickle
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pretrained
import pytest
import torch
from pretrained import change_json
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
)

from service.errors import LoadError, ManifestError, PretrainedError, TokenizerError, WeightsError
from service.repository.folder import ModelFolder, ReadModel


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        pytest.fail("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    for name in ("bert", "distilbert", "gpt2"):
        pretrained.save_text(folder / name, name)
    pretrained.save_image(folder / "vit")
    return folder


@pytest.fixture
def version(saved: Path, tmp_path: Path) -> Callable[..., Path]:
    """Make a repository's version of what was saved."""

    def made(name: str = "bert", **changes: Any) -> Path:
        folder = tmp_path / "model" / "1"
        shutil.copytree(saved / name, folder)
        pretrained.write_manifest(folder, **changes)
        return folder

    return made


def read(folder: Path) -> ReadModel:
    model = ModelFolder(folder.parent)
    return model.read(model.manifest(), 1, ())


@pytest.mark.parametrize("name", ["bert", "distilbert", "gpt2"])
def test_a_classifier_of_texts_is_the_librarys_own(version: Callable[..., Path], name: str) -> None:
    folder = version(name)
    found = read(folder)
    theirs = AutoModelForSequenceClassification.from_pretrained(folder)
    assert type(found.module) is type(theirs)
    weights = found.module.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in theirs.state_dict().items())
    assert found.manifest.output.labels == ("poor", "fair", "good")
    assert [tensor.name for tensor in found.manifest.input] == ["input_ids", "attention_mask"]
    assert found.manifest.tokenizer is not None
    assert found.manifest.tokenizer.max_tokens == pretrained.MAX_TOKENS
    assert list(found.files_sha256) == ["model.safetensors", "config.json", "tokenizer.json"]


def test_labels_and_tokens_of_the_manifest_win(version: Callable[..., Path]) -> None:
    found = read(version(output={"labels": ["a", "b", "c"]}, tokenizer={"max_tokens": 9})).manifest
    assert found.output.labels == ("a", "b", "c")
    assert found.tokenizer is not None
    assert found.tokenizer.max_tokens == 9


def test_without_a_limit_of_the_tokenizer_the_models_places_are_the_limit(
    version: Callable[..., Path],
) -> None:
    folder = version()
    (folder / "tokenizer_config.json").unlink()
    tokenizer = read(folder).manifest.tokenizer
    assert tokenizer is not None
    assert tokenizer.max_tokens == 16
    change_json(folder / "config.json", max_position_embeddings=None)
    with pytest.raises(WeightsError, match="does not fit the model"):
        read(folder)


def test_pixels_are_scaled_as_the_processor_says(version: Callable[..., Path]) -> None:
    folder = version("vit")
    found = read(folder)
    (image,) = found.manifest.input
    assert (image.name, image.shape, image.range) == ("pixel_values", (3, 8, 8), (0.0, 255.0))
    theirs = AutoModelForImageClassification.from_pretrained(folder)
    pixels = torch.randint(0, 256, (2, 3, 8, 8), generator=torch.Generator().manual_seed(0)).float()
    mean, deviation = (
        torch.tensor(numbers).reshape(3, 1, 1) for numbers in (pretrained.MEAN, pretrained.DEVIATION)
    )
    with torch.no_grad():
        expected = theirs(pixel_values=(pixels / 255 - mean) / deviation).logits
        torch.testing.assert_close(found.module.eval()(pixels).logits, expected)


@pytest.mark.parametrize(
    ("changes", "scale", "shift", "limits"),
    [
        ({"do_rescale": False}, [2.0, 2.5, 1 / 0.3], [0.4, 1.25, 2.0], None),
        ({"do_normalize": False}, [1 / 255] * 3, [0.0] * 3, (0.0, 255.0)),
        ({"image_mean": 0.5, "image_std": 0.5}, [2 / 255] * 3, [1.0] * 3, (0.0, 255.0)),
    ],
)
def test_each_step_of_a_processor_may_be_left_out(
    version: Callable[..., Path], changes: Any, scale: list[float], shift: list[float], limits: Any
) -> None:
    folder = version("vit")
    change_json(folder / "preprocessor_config.json", **changes)
    found = read(folder)
    assert found.manifest.input[0].range == limits
    assert found.module.get_buffer("scale").flatten().tolist() == pytest.approx(scale)
    assert found.module.get_buffer("shift").flatten().tolist() == pytest.approx(shift)


def test_without_a_processor_the_network_takes_what_is_sent(version: Callable[..., Path]) -> None:
    folder = version("vit")
    (folder / "preprocessor_config.json").unlink()
    found = read(folder)
    assert found.manifest.input[0].range is None
    assert type(found.module).__name__ == "ViTForImageClassification"


def test_weights_of_half_precision_are_served_in_full(version: Callable[..., Path]) -> None:
    folder = version()
    path = folder / "model.safetensors"
    half = {key: value.bfloat16() for key, value in load_file(path).items()}
    save_file(half, path, {"format": "pt"})
    change_json(folder / "config.json", dtype="bfloat16")
    assert {weight.dtype for weight in read(folder).module.parameters()} == {torch.float32}


def config(**changes: Any) -> Callable[[Path], Any]:
    return lambda folder: change_json(folder / "config.json", **changes)


def _weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], Any]:
    def changed(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})

    return changed


def _only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def _in_parts(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text("{}")


def _linked(folder: Path) -> None:
    path = folder / "config.json"
    path.symlink_to(path.rename(folder / "elsewhere.json"))


def _altered(folder: Path) -> None:
    (folder / "config.json.sha256").write_text("0" * 64)


TOKENS = "is of a model for token_classification, and the manifest's task is classification"
REFUSED: list[tuple[Callable[[Path], Any], type[LoadError], str]] = [
    (config(auto_map={"AutoConfig": "mine.Config"}), PretrainedError, "has auto_map: .* none is ever run"),
    (config(text_config={"auto_map": {"AutoModel": "a--b"}}), PretrainedError, "config.json has auto_map"),
    (config(quantization_config={"bits": 4}), PretrainedError, "quantised weights are not served"),
    (config(use_pretrained_backbone=True), PretrainedError, "from the network"),
    (config(_attn_implementation="some/kernels"), PretrainedError, "'some/kernels', which would be fetched"),
    (config(model_type=None), PretrainedError, "config.json has no model_type"),
    (config(model_type="brand-new"), PretrainedError, "has no model_type brand-new"),
    (config(architectures=None), PretrainedError, "architectures must name one class"),
    (config(architectures=["BertModel"]), PretrainedError, "BertModel is a model for"),
    (config(architectures=["BertForTokenClassification"]), PretrainedError, TOKENS),
    (config(architectures=["GPT2ForSequenceClassification"]), PretrainedError, "is no class of bert"),
    (
        config(architectures=["Wav2Vec2ForSequenceClassification"], model_type="wav2vec2"),
        PretrainedError,
        "Wav2Vec2ForSeq.* is a model for audio classification, which is not served; served are",
    ),
    (config(problem_type="multi_label_classification"), PretrainedError, "several labels may hold at once"),
    (config(problem_type="regression"), PretrainedError, "is of a model for regression"),
    (config(id2label={"0": "a", "2": "b"}), PretrainedError, "id2label must name the outputs from 0"),
    (config(hidden_size="wide"), PretrainedError, "is refused by transformers"),
    (config(num_hidden_layers=10**6), WeightsError, "the network is far larger than model.safetensors"),
    (config(num_hidden_layers=10**9), PretrainedError, "num_hidden_layers is 1000000000, and 1000000 is"),
    (config(hidden_size=14), WeightsError, "model.safetensors does not fit the model"),
    (lambda folder: (folder / "config.json").write_text("[]"), PretrainedError, "is no JSON object"),
    (lambda folder: (folder / "config.json").unlink(), PretrainedError, "cannot be read"),
    (lambda folder: (folder / "adapter_config.json").write_text("{}"), PretrainedError, "has an adapter"),
    (_linked, PretrainedError, "config.json is a symbolic link"),
    (_altered, PretrainedError, "config.json was altered"),
    (_only_a_pickle, WeightsError, "has no model.safetensors but a pickle, which could run code"),
    (_in_parts, WeightsError, "has weights in several files; save them in one file"),
    (lambda folder: (folder / "model.safetensors").unlink(), WeightsError, "cannot be read"),
    (_weights(lambda weights: weights.pop("classifier.bias")), WeightsError, "lacks classifier.bias"),
    (_weights(lambda weights: weights.update(more=torch.ones(1))), WeightsError, "more than the model: more"),
    (_weights(lambda weights: weights["classifier.bias"].fill_(torch.nan)), WeightsError, "holds NaN"),
    (lambda folder: (folder / "tokenizer.json").unlink(), PretrainedError, "has no tokenizer.json"),
    (lambda folder: (folder / "tokenizer.json").write_text("{}"), TokenizerError, "is no file of"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "error", "message"), REFUSED)
def test_what_cannot_be_served_is_refused(
    version: Callable[..., Path], damage: Callable[[Path], Any], error: type[LoadError], message: str
) -> None:
    folder = version()
    damage(folder)
    with pytest.raises(error, match=message) as refusal:
        read(folder)
    assert str(refusal.value).startswith(str(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"do_pad": True}, "do_pad is a step that the server does not do"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order is a step"),
        ({"rescale_offset": True}, "rescale_offset is a step"),
        ({"image_mean": [0.5]}, "image_mean must have 3 numbers"),
        ({"image_std": [0.5, 0.0, 0.5]}, "image_std is .*, and divides"),
    ],
)
def test_a_step_that_is_not_done_is_refused(version: Callable[..., Path], changes: Any, message: str) -> None:
    folder = version("vit")
    change_json(folder / "preprocessor_config.json", **changes)
    with pytest.raises(PretrainedError, match=rf"preprocessor_config.json: {message}"):
        read(folder)


def test_code_beside_the_model_is_never_imported(version: Callable[..., Path]) -> None:
    folder = version()
    (folder / "modeling_bert.py").write_text("raise SystemExit('code of the folder ran')")
    (folder / "configuration_bert.py").write_text("raise SystemExit('code of the folder ran')")
    (folder / "training_args.bin").write_bytes(b"\x80\x04no pickle that anybody opens")
    assert read(folder).manifest.output.labels == ("poor", "fair", "good")


@pytest.mark.parametrize("kind", [BertForQuestionAnswering, BertForMaskedLM])
def test_other_heads_are_refused_as_they_are_saved(tmp_path: Path, kind: Any) -> None:
    small = BertConfig(
        vocab_size=11, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    folder = tmp_path / "model" / "1"
    kind(small).save_pretrained(folder)
    pretrained.write_manifest(folder)
    with pytest.raises(PretrainedError, match=rf"config.json: {kind.__name__} "):
        read(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"source": {"kind": "huggingface", "revision": "main"}},
            "unknown key source.revision; there is none",
        ),
        ({"input": [{"name": "x", "dtype": "int64", "shape": [-1]}]}, "input: is what the folder .* says"),
        ({"output": {"name": "logits"}}, "output.name: is what the folder"),
        ({"output": {"labels": ["a"]}}, "output.labels: classification needs 2 or more"),
    ],
)
def test_what_the_folder_says_is_not_said_again(
    version: Callable[..., Path], changes: Any, message: str
) -> None:
    with pytest.raises(ManifestError, match=rf"model.toml: {message}"):
        read(version(**changes))


def test_without_the_library_the_way_out_is_told(
    version: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(PretrainedError, match=r"config.json: .*pip install 'unsure\[huggingface\]'"):
        read(version())
