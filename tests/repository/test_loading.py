"""From a folder to a network with its weights, or a refusal that names the file."""

import gzip
import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import networks
import pytest
import torch
from repositories import Repository
from safetensors.torch import load_file, save_file
from torch import nn

from service.calibration.checks import trained_rows
from service.errors import CalibrationError, FactoryError, ManifestError, WeightsError
from service.files import open_file, read_file
from service.repository.calibration import read_calibration
from service.repository.factory import build
from service.repository.findings import read_findings
from service.repository.folder import ModelFolder, model_folders
from service.repository.manifest import FactorySource
from service.repository.weights import load_weights


def read(repository: Repository, name: str = "small") -> nn.Module:
    folder = ModelFolder(repository.path / name)
    return folder.read(folder.manifest(), folder.versions()[0], ("networks",)).module


def test_a_network_comes_with_its_weights(repository: Repository) -> None:
    folder = repository.add()
    module = read(repository)
    weights = load_file(folder / "weights.safetensors")
    assert weights
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in weights.items())


def test_tied_weights_stay_tied(repository: Repository) -> None:
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    folder = repository.add(network=tied)
    again = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    again[1].weight = again[0].weight
    load_weights(again, folder / "weights.safetensors")
    assert torch.equal(again[1].weight, tied[0].weight)
    assert again[1].weight is again[0].weight


def weights_of(repository: Repository) -> Path:
    return repository.add() / "weights.safetensors"


def refused(repository: Repository, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        read(repository)


def test_missing_weights(repository: Repository) -> None:
    weights_of(repository).unlink()
    refused(repository, "weights.safetensors cannot be read: No such file")


def test_no_version(repository: Repository) -> None:
    path = weights_of(repository)
    path.unlink()
    path.parent.rmdir()
    refused(repository, "has no version: put the weights into .*small/1/weights.safetensors")


def test_a_pickle_is_never_opened(repository: Repository) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (pytest.fail, ("the pickle was opened",))

    weights_of(repository).write_bytes(pickle.dumps(Bomb()))
    refused(repository, "is not a safetensors file: it is a pickle, which could run code when opened")


def test_what_torch_saves_is_refused(repository: Repository) -> None:
    torch.save(networks.mlp().state_dict(), weights_of(repository))
    refused(repository, "is not a safetensors file: it is a zip archive, as torch.save writes it")


def test_an_archive_is_refused(repository: Repository) -> None:
    path = weights_of(repository)
    path.write_bytes(gzip.compress(path.read_bytes()))
    refused(repository, "is not a safetensors file: it is a gzip archive")


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 100])
def test_garbage(repository: Repository, content: bytes) -> None:
    weights_of(repository).write_bytes(content)
    refused(repository, "is not a safetensors file")


def test_a_truncated_file(repository: Repository) -> None:
    path = weights_of(repository)
    path.write_bytes(path.read_bytes()[:-100])
    refused(repository, "is not a safetensors file")


def test_an_altered_file_is_known_by_its_checksum(repository: Repository) -> None:
    path = weights_of(repository)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    record = path.with_name("weights.safetensors.sha256")
    record.write_text(f"{digest}  weights.safetensors\n")
    read(repository)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused(
        repository, rf"weights.safetensors was altered: its SHA-256 is .*, and {record.name} says {digest}"
    )
    record.write_text("")
    refused(repository, "says nothing")


def test_tensors_that_are_missing_or_too_many(repository: Repository) -> None:
    path = weights_of(repository)
    weights = load_file(path)
    save_file({name: tensor for name, tensor in weights.items() if name != "6.bias"}, path)
    refused(repository, r"weights.safetensors lacks 6.bias")
    save_file(weights | {f"extra{number}": torch.zeros(1) for number in range(5)}, path)
    refused(repository, r"has more than the model: extra0, extra1, extra2 and 2 more")
    save_file({f"module.{name}": tensor for name, tensor in weights.items()}, path)
    refused(repository, r"lacks .*; the file has them under 'module.': save the module that is wrapped")


def test_a_wrong_shape(repository: Repository) -> None:
    path = weights_of(repository)
    save_file(load_file(path) | {"6.bias": torch.zeros(9)}, path)
    refused(repository, r"does not fit the model: size mismatch for 6.bias")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(repository: Repository, value: float) -> None:
    path = weights_of(repository)
    save_file(load_file(path) | {"6.bias": torch.tensor([0.0, value, 0.0])}, path)
    refused(repository, r"6.bias holds NaN or infinity")


@pytest.mark.parametrize(
    "linked", ["", "model.toml", "1", "1/weights.safetensors", "1/weights.safetensors.sha256"]
)
def test_a_symbolic_link_is_refused(repository: Repository, tmp_path: Path, linked: str) -> None:
    weights = weights_of(repository)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    weights.with_name("weights.safetensors.sha256").write_text(digest)
    read(repository)
    path = repository.path / "small" / linked
    path.symlink_to(path.rename(tmp_path / "elsewhere"))
    with pytest.raises((WeightsError, ManifestError), match=f"{path} is a symbolic link"):
        read(repository)


def test_a_buffer_may_hold_infinity_and_a_parameter_not(tmp_path: Path) -> None:
    module = nn.Linear(2, 2)
    module.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    save_file(module.state_dict(), tmp_path / "weights.safetensors")
    load_weights(module, tmp_path / "weights.safetensors")
    module.get_buffer("mask")[0] = torch.nan
    save_file(module.state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match="mask holds NaN"):
        load_weights(module, tmp_path / "weights.safetensors")


def test_a_factory_that_ends_the_program_ends_itself_alone() -> None:
    with pytest.raises(
        FactoryError, match=r"networks:leaving with source.arguments {} raised SystemExit: bye"
    ):
        build(FactorySource("networks:leaving"), ("networks",))


def test_folders_and_versions_are_told_from_the_rest(repository: Repository) -> None:
    for version in (1, 2, 10):
        repository.add(version=version)
    for other in ("v3", "03", "tmp", ".4"):
        (repository.path / "small" / other).mkdir()
    (repository.path / ".hidden").mkdir()
    (repository.path / "notes.txt").write_text("")
    (folder,) = model_folders(repository.path)
    assert folder.versions() == [10, 2, 1]


@pytest.mark.parametrize("name", ["-x", "a b", "ä", "_x"])
def test_a_name_that_is_none(repository: Repository, name: str) -> None:
    repository.add(name)
    with pytest.raises(ManifestError, match="a model's name must match"):
        ModelFolder(repository.path / name).manifest()


@pytest.mark.parametrize(
    ("factory", "allowed", "message"),
    [
        ("os:system", ("networks",), "is not in an allowed package .networks.; .* UNSURE_FACTORIES"),
        ("networks_evil:build", ("networks",), "is not in an allowed package"),
        ("networks:mlp", (), "is not in an allowed package .none."),
        ("networks:nowhere", ("networks",), "networks defines no function nowhere"),
        ("networks:torch", ("networks",), "networks defines no function torch"),
        ("networks.more:build", ("networks",), "importing networks.more raised"),
        ("networks:SAMPLED", ("networks",), "networks defines no function SAMPLED"),
    ],
)
def test_a_factory_outside_the_list_is_never_called(
    factory: str, allowed: tuple[str, ...], message: str
) -> None:
    with pytest.raises(FactoryError, match=message):
        build(FactorySource(factory), allowed)


def test_a_module_that_is_not_found_is_told_with_where_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imports_another.py").write_text("import nowhere_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        FactoryError, match=r"nowhere_at_all.*; install its package here, or name its folder in"
    ):
        build(FactorySource(factory="nowhere_at_all.networks:build"), ("nowhere_at_all",))
    with pytest.raises(FactoryError, match=r"No module named 'nowhere_at_all'\"\)$"):
        build(FactorySource(factory="imports_another:build"), ("imports_another",))


def test_a_factory_that_raises_says_so_with_its_arguments() -> None:
    with pytest.raises(
        FactoryError, match=r"networks:mlp with source.arguments {'depth': 3} raised TypeError"
    ):
        build(FactorySource("networks:mlp", {"depth": 3}), ("networks",))


def test_a_factory_must_give_a_module() -> None:
    with pytest.raises(FactoryError, match=r"gave a str, not a torch.nn.Module"):
        build(FactorySource("networks:no_module"), ("networks",))


@pytest.mark.parametrize("name", ["model.toml", "1/weights.safetensors", "1/weights.safetensors.sha256"])
def test_what_is_no_file_is_refused_and_not_waited_for(repository: Repository, name: str) -> None:
    weights_of(repository)
    path = repository.path / "small" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises((WeightsError, ManifestError), match=f"{name} is not a file"):
        read(repository)


@pytest.mark.parametrize("name", ["calibration.json", "plans.json", "training_rows.txt"])
def test_what_is_read_beside_the_weights_is_not_waited_for_either(repository: Repository, name: str) -> None:
    folder = repository.add()
    os.mkfifo(folder / name)
    assert read_findings(folder, {}) is None
    if name != "plans.json":  # which only costs to measure again
        with pytest.raises(CalibrationError, match=f"{name} cannot be read: .*it is not a file"):
            read_calibration(folder) if name == "calibration.json" else trained_rows(["1"], folder)


def test_a_device_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="it is not a file"):
        open_file(Path("/dev/zero"))
    (tmp_path / "four").write_bytes(b"1234")
    with pytest.raises(OSError, match="more than the 3 bytes"):
        read_file(tmp_path / "four", 3)


def test_weights_larger_than_the_memory_are_not_read(repository: Repository) -> None:
    with weights_of(repository).open("r+b") as file:
        file.truncate(2**43)
    refused(repository, "has 8,796,093,022,208 bytes, and this machine .* of memory")


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="the system does not tell what is mapped")
def test_no_weights_stay_mapped_or_are_ever(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """To touch a mapped file that was cut off ends the process."""
    folder, mapped = repository.add(), []
    usual = nn.Module.load_state_dict

    def loading(*arguments: Any, **more: Any) -> Any:
        mapped.append(Path("/proc/self/maps").read_text())
        return usual(*arguments, **more)

    monkeypatch.setattr(nn.Module, "load_state_dict", loading)
    module = read(repository)
    mapped.append(Path("/proc/self/maps").read_text())
    assert module is not None
    assert len(mapped) > 1
    assert not any(str(folder) in one for one in mapped)


def deep() -> nn.Module:
    return nn.Sequential(*(nn.Linear(2, 2) for _ in range(10**6)))


def wide() -> nn.Module:
    return nn.Sequential(*(nn.Linear(2**13, 2**13, device="meta") for _ in range(10)))


@pytest.mark.parametrize("factory", [deep, wide])
def test_a_network_far_larger_than_its_weights_is_not_built_to_its_end(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, factory: Any
) -> None:
    built = []

    def counted() -> nn.Module:
        built.append("begun")
        module = factory()
        built.append("done")
        return module

    counted.__module__ = "networks"
    monkeypatch.setattr(networks, "counted", counted, raising=False)
    repository.add(factory="counted", network=networks.mlp())
    with pytest.raises(FactoryError, match=r"far larger than weights.safetensors, which has \d tensors"):
        read(repository)
    assert built == ["begun"]
    nn.Sequential(*(nn.Linear(2, 2) for _ in range(5001)))  # elsewhere nothing is counted


def test_a_factory_that_gives_one_module_twice_gives_two_models(repository: Repository) -> None:
    """Each version has its own weights, though the factory keeps the module."""
    for version in (1, 2):
        repository.add(version=version, factory="kept", network=networks.mlp())
    folder = ModelFolder(repository.path / "small")
    first, second = (folder.read(folder.manifest(), version, ("networks",)).module for version in (1, 2))
    weights = load_file(repository.path / "small" / "1" / "weights.safetensors")
    assert all(torch.equal(first.state_dict()[name], tensor) for name, tensor in weights.items())
    assert not torch.equal(first.state_dict()["0.weight"], second.state_dict()["0.weight"])


@pytest.mark.parametrize("factory", ["kept", "kept_part", "kept_memory"])
def test_what_a_factory_gives_twice_even_in_part_is_each_versions_own(
    repository: Repository, factory: str
) -> None:
    """A network, a layer or the memory of a tensor that the factory keeps: also when it is loaded again."""
    for version in (1, 2):
        repository.add(version=version, factory=factory, network=networks.mlp())
    folder = ModelFolder(repository.path / "small")
    read = [folder.read(folder.manifest(), version, ("networks",)).module for version in (1, 2, 1)]
    for module, version in zip(read, (1, 2, 1), strict=True):
        weights = load_file(repository.path / "small" / str(version) / "weights.safetensors")
        assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in weights.items())
    assert not torch.equal(read[0].state_dict()["0.weight"], read[1].state_dict()["0.weight"])


def test_what_a_factory_gives_is_not_copied() -> None:
    """A copy is never quite what was written: functions go on holding the original."""
    assert build(FactorySource("networks:given_last"), ("networks",)) is networks.GIVEN[-1]
