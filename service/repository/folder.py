"""The folders of a model repository."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from service.errors import LoadError, ManifestError, ModelRefused, UnsureError, WeightsError, words_of
from service.repository.factory import build
from service.repository.huggingface import read_pretrained
from service.repository.manifest import MODEL_NAME, FactorySource, HuggingFaceSource, Manifest
from service.repository.manifest_file import read_manifest
from service.repository.proportion import in_proportion
from service.repository.text import read_tokenizer
from service.repository.weights import load_weights
from service.shared_settings import preserve_settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MANIFEST_FILE = "model.toml"
WEIGHTS_FILE = "weights.safetensors"


@dataclass(frozen=True)
class ReadModel:
    """One version of a model, with its weights.

    Args:
        manifest: of the model, with what a folder of Hugging Face says beside it.
        version: its number.
        module: the network, on the CPU.
        files_sha256: of the version's files that were read, by their names; the weights' first.
        folder: of the version.
        tokenizer: of a text model.
    """

    manifest: Manifest
    version: int
    module: nn.Module
    files_sha256: dict[str, str]
    folder: Path
    tokenizer: "Tokenizer | None" = None

    @property
    def weights_sha256(self) -> str:
        """Of the weights' file, in hexadecimal."""
        return next(iter(self.files_sha256.values()))

    @property
    def others_sha256(self) -> dict[str, str]:
        """Of the files that were read beside the weights, by their names."""
        weights = next(iter(self.files_sha256))
        return {name: digest for name, digest in self.files_sha256.items() if name != weights}

    @property
    def manifest_path(self) -> Path:
        """Where the manifest was read from."""
        return self.folder.parent / MANIFEST_FILE


@dataclass(frozen=True)
class ModelFolder:
    """`<repository>/<model>`; its name is the model's."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def versions(self) -> list[int]:
        """List the version folders, the highest first.

        Raises:
            WeightsError: there is none, or the folder cannot be read.
        """
        try:
            found = sorted(
                (int(path.name) for path in self.path.iterdir() if _is_version(path)), reverse=True
            )
        except OSError as cause:
            raise WeightsError(f"{self.path} cannot be read: {cause.strerror}") from cause
        if not found:
            raise WeightsError(
                f"{self.path} has no version: put the weights into {self.path / '1' / WEIGHTS_FILE}"
            )
        return found

    def manifest(self) -> Manifest:
        """Read model.toml; a ManifestError tells what is wrong with it, or with the folder's name."""
        if not MODEL_NAME.fullmatch(self.name):
            raise ManifestError(f"{self.path}: a model's name must match {MODEL_NAME.pattern}")
        if self.path.is_symlink():
            raise ManifestError(f"{self.path} is a symbolic link; a model must lie in the repository itself")
        return read_manifest(self.path / MANIFEST_FILE)

    def read(self, manifest: Manifest, version: int, allowed_factories: tuple[str, ...]) -> ReadModel:
        """Build a version's network and load its weights.

        Raises:
            FactoryError: the network cannot be built.
            WeightsError: its weights cannot be loaded.
            PretrainedError: its folder is of Hugging Face, and cannot be served.
            TokenizerError: it takes text, and its tokenizer cannot be read.
            ModelRefused: the network's own code raised something.
        """
        folder = self.path / str(version)
        with models_errors(folder):
            return self._read(folder, manifest, version, allowed_factories)

    def _read(
        self, folder: Path, manifest: Manifest, version: int, allowed_factories: tuple[str, ...]
    ) -> ReadModel:
        if folder.is_symlink():
            raise WeightsError(f"{folder} is a symbolic link; a version must lie in the repository itself")
        if isinstance(manifest.source, HuggingFaceSource):
            read = read_pretrained(folder, manifest)
            module, manifest, digests = read.module, read.manifest, read.digests
        else:
            with in_proportion(folder / WEIGHTS_FILE):
                module = self._built(manifest.source, allowed_factories)
            digests = {WEIGHTS_FILE: load_weights(module, folder / WEIGHTS_FILE)}
        tokenizer = None
        if manifest.tokenizer:
            tokenizer, digests[manifest.tokenizer.file] = read_tokenizer(folder / manifest.tokenizer.file)
        return ReadModel(manifest, version, module, digests, folder, tokenizer)

    def _built(self, source: FactorySource, allowed: tuple[str, ...]) -> nn.Module:
        try:
            return build(source, allowed)
        except LoadError as cause:
            raise type(cause)(f"{self.path / MANIFEST_FILE}: {cause}") from cause


@contextmanager
def models_errors(folder: Path) -> Iterator[None]:
    """Make what a model's own code raises, whatever it is, that model's error in one sentence.

    Raises:
        ModelRefused: in the place of what is no error of ours, or it has set what all models share.
    """
    try:
        with preserve_settings(f"{folder}: the model's code"):
            yield
    except (UnsureError, MemoryError):  # memory is the server's
        raise
    except (Exception, SystemExit) as cause:
        raise ModelRefused(f"{folder}: the model raised {words_of(cause)}") from cause


def model_folders(repository: Path) -> list[ModelFolder]:
    """List the models of a repository by name; hidden folders and files are no models.

    Raises:
        ManifestError: there is no such folder.
    """
    try:
        return [ModelFolder(path) for path in sorted(repository.iterdir()) if _is_model(path)]
    except OSError as cause:
        raise ManifestError(f"the model repository {repository} cannot be read: {cause.strerror}") from cause


def _is_model(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _is_version(path: Path) -> bool:
    return path.is_dir() and path.name.isascii() and path.name.isdigit() and path.name == str(int(path.name))
