"""Models whose input is text: what their manifest says, and their tokenizer."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from service.errors import TokenizerError
from service.repository.files import bound_content

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from service.repository.manifest import InputSpec

FILLED = ("input_ids", "attention_mask", "token_type_ids")
"""The tensors that a tokenizer fills."""

_MOST_BYTES = 2**28
_TRIAL_SECONDS = 60
_TRIAL_BYTES, _TRIAL_BYTES_PER_BYTE = 2**30, 64  # address space; the largest that are common take 25 a byte
_REFUSED = 1  # the exit status of the trial; a traceback has it too, and its words say no less

_MEMORY = "memory allocation"

_tried: set[str] = set()  # digests of files that did no harm


class TokenizerSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows are texts, and a tokenizer fills the inputs.

    Args:
        max_tokens: of a text, with those that the tokenizer adds; a longer one is refused, never cut.
        file: in the version's folder, as the library tokenizers writes it.
    """

    max_tokens: Annotated[int, Meta(ge=1, le=2**20)]
    file: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")] = "tokenizer.json"


class TokensSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Which tokens of a text have an answer, of a model that labels tokens.

    Args:
        labelled: "every" one, or the "first_of_word" alone, which then stands for its whole word: all that
            a model can say that has learnt from one label a word.
    """

    labelled: Literal["every", "first_of_word"] = "every"


def input_rules(tensors: Sequence["InputSpec"]) -> list[tuple[bool, str, str]]:
    """Check the inputs of a text model: give whether a rule is broken, its key, and what it says."""
    names = [tensor.name for tensor in tensors]
    fills = f"a tokenizer fills {', '.join(FILLED)}"
    return [
        (not set(names) <= set(FILLED), "input.name", f"{fills}, and the names are {', '.join(names)}"),
        ("input_ids" not in names, "input.name", f"{fills}, and there is no input_ids"),
        (any(tensor.shape != (-1,) for tensor in tensors), "input.shape", "is [-1] for tokens"),
        (
            not {tensor.dtype for tensor in tensors} <= {"int32", "int64"},
            "input.dtype",
            "is int64 or int32 for tokens",
        ),
        (any(tensor.range for tensor in tensors), "input.range", "is the tokenizer's to say; leave it out"),
    ]


def read_tokenizer(path: Path) -> tuple["Tokenizer", str]:
    """Read a tokenizer's file; it neither cuts nor pads, whatever the file says.

    Returns:
        The tokenizer, and the SHA-256 of the file.

    Raises:
        TokenizerError: missing, altered, or no tokenizer; or the library is not installed.
    """
    content, digest = bound_content(path, TokenizerError, _MOST_BYTES)
    # Its own threads would take the cores that the models compute on.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        from tokenizers import Tokenizer
    except ImportError as cause:
        raise TokenizerError(
            f"{path}: text takes the library tokenizers, which is not installed: pip install 'unsure[text]'"
        ) from cause
    _try(content, digest, path)
    try:
        tokenizer = Tokenizer.from_str(content.decode())
    except KeyboardInterrupt:
        raise
    except BaseException as cause:  # it has no narrower error, and a panic is none of Exception
        raise TokenizerError(f"{path} is no file of the library tokenizers: {cause}") from cause
    if not tokenizer.get_vocab_size():
        raise TokenizerError(f"{path} has no tokens")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, digest


def _try(content: bytes, digest: str, path: Path) -> None:
    """Have another process read a file first: what a broken one does to the library is done there.

    Raises:
        TokenizerError: it failed, or took more memory or time than any tokenizer does.
    """
    if digest in _tried:
        return
    memory = _TRIAL_BYTES + _TRIAL_BYTES_PER_BYTE * len(content)
    program = [sys.executable, "-P", str(Path(__file__).with_name("tokenizer_trial.py"))]
    try:
        ended = subprocess.run(  # noqa: S603  # our own program
            [*program, str(memory), str(_TRIAL_SECONDS)],
            input=content,
            capture_output=True,
            timeout=_TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as cause:
        raise TokenizerError(
            f"{path} cannot be served: the library tokenizers took more than {_TRIAL_SECONDS} s to read it "
            "and encode a few texts"
        ) from cause
    if ended.returncode == _REFUSED:
        words = ended.stdout.decode(errors="replace")
        raise TokenizerError(f"{path} is no file of the library tokenizers: {words}")
    if ended.returncode:
        lines = ended.stderr.decode(errors="replace").splitlines()
        words = next((line for line in lines if _MEMORY in line), f"status {ended.returncode}")
        raise TokenizerError(
            f"{path} cannot be served: to read it and encode a few texts ended the process of "
            f"{memory >> 20} MiB that tried it first ({words})"
        )
    _tried.add(digest)
