"""A tokenizer made from texts: bytes, and the pairs of them that are frequent (Sennrich et al. 2016)."""

import os
from collections.abc import Sequence

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads take the cores, and order nothing

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from models.training.fit import TrainingError

PADDING_TOKEN = "[PAD]"  # noqa: S105
PADDING = 0
MOST_TOKENS, LEAST_TOKENS = 512, 64
"""Of a text: more are refused; so many at least have a place."""

_VOCABULARY = 4000
_LEAST_FREQUENCY = 2


def tokenizer_of(texts: Sequence[str]) -> Tokenizer:
    """Make a tokenizer: lower case, whatever letters; the same texts in any order give the same.

    Bytes rather than letters, so that no text has anything unknown, and nothing depends on the order in which
    the library meets letters.
    """
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase(), normalizers.Strip()])
    made.pre_tokenizer = pre_tokenizers.ByteLevel()
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        min_frequency=_LEAST_FREQUENCY,
        special_tokens=[PADDING_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return made


def encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """Give the tokens of texts, [texts, the most that one has], with 0 behind the shorter ones.

    Raises:
        TrainingError: a text has no tokens, or too many.
    """
    rows = [one.ids for one in tokenizer.encode_batch(list(texts))]
    for number, row in enumerate(rows, 1):
        if not row:
            raise TrainingError(f"the text of row {number} is empty; write one, or leave the row out")
        if len(row) > MOST_TOKENS:
            raise TrainingError(
                f"the text of row {number} has {len(row)} tokens, and {MOST_TOKENS} are the most; "
                "shorten it, or make several rows of it"
            )
    tensors = [torch.tensor(row) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=PADDING)


def places_for(tokens: Tensor) -> int:
    """Give a number of tokens that all texts keep to, with room: a power of two."""
    return max(LEAST_TOKENS, 1 << (tokens.shape[1] - 1).bit_length())
