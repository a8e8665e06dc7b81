"""Texts as the tensors that a tokenizer makes of them, and how a wrong one is told."""

import json
from typing import Any

import numpy as np
import pytest
import texts
from repositories import Repository
from tokenizers import Tokenizer
from tritonclient.utils import serialize_byte_tensor

from service.errors import InvalidInput, LoadError, ManifestError
from service.predictor.execution import Execution
from service.predictor.given_tensors import GivenTensor
from service.predictor.served_model import ServedModel, prepare
from service.predictor.texts import TextReader
from service.repository.folder import ModelFolder
from service.repository.manifest import InputSpec

NAMES = ("input_ids", "attention_mask", "token_type_ids")
SPECS = [InputSpec(name, "int64", (-1,)) for name in NAMES]


@pytest.fixture(scope="module")
def reader() -> TextReader:
    tokenizer = Tokenizer.from_str(texts.tokenizer().to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return TextReader(texts.MAX_TOKENS, SPECS, tokenizer)


def given(values: list[Any], **changes: Any) -> list[GivenTensor]:
    said = {"name": "text", "datatype": "BYTES", "shape": (len(values),), "binary": False}
    return [GivenTensor(**said | {"data": json.dumps(values).encode()} | changes)]


def in_binary(*values: bytes) -> list[GivenTensor]:
    data = serialize_byte_tensor(np.array(values, dtype=object)).item()
    return given([*map(str, values)], data=data, binary=True)


def test_texts_become_tokens_unpadded_and_those_of_one_length_are_together(reader: TextReader) -> None:
    rows = reader.read(b'["a good film", "bad", "NOT bad films"]')
    assert [tuple(group.numbers) for group in rows.groups] == [(0,), (1,), (2,)]
    assert [group.inputs[0].tolist() for group in rows.groups] == [
        [[2, 10, 4, 6, 3]],
        [[2, 5, 3]],
        [[2, 8, 5, 6, 7, 3]],
    ]
    (group,) = reader.read('["very good", "schön bad"]'.encode()).groups
    ids, mask, types = (tensor.tolist() for tensor in group.inputs)
    assert (ids, mask, types) == ([[2, 9, 4, 3], [2, 1, 5, 3]], [[1] * 4] * 2, [[0] * 4] * 2)


@pytest.mark.parametrize(
    "inputs",
    [
        b'{"text": ["a film", "bad"]}',
        given(["a film", "bad"]),
        in_binary(b"a film", b"bad"),
    ],
)
def test_every_way_of_sending_gives_the_same(reader: TextReader, inputs: Any) -> None:
    expected = reader.read(b'["a film", "bad"]')
    found = reader.read(inputs)
    pairs = zip(found.groups, expected.groups, strict=True)
    assert all(one.inputs[0].tolist() == other.inputs[0].tolist() for one, other in pairs)


def test_more_texts_than_are_encoded_at_once_keep_their_order(reader: TextReader) -> None:
    many = [["a", "bad film", "very very good"][row % 3] for row in range(200)]
    found = {
        number: tokens
        for group in reader.read(json.dumps(many).encode()).groups
        for number, tokens in zip(group.numbers, group.inputs[0].tolist(), strict=True)
    }
    alone = {text: reader.read(json.dumps([text]).encode()).groups[0].inputs[0][0].tolist() for text in many}
    assert [found[row] for row in range(200)] == [alone[text] for text in many]


WRONG: list[tuple[Any, str]] = [
    (b'["a", 3]', "inputs text: row 1 must be a string: expected `str`, got `int`"),
    (b'["a", null]', "row 1 must be a string: expected `str`, got `null`"),
    (b'["a", ["b"]]', "row 1 must be a string: expected `str`, got `array`"),
    (b"[]", "inputs text must be an array of at least one text"),
    (b'"a"', "inputs text must be an array of at least one text"),
    (b'{"texts": ["a"]}', "inputs must have text, and has texts"),
    (b'["a", ""]', "row 1 has nothing that the tokenizer makes a token of"),
    (b'["a", "bad", " \\n\\t"]', "row 2 has nothing that the tokenizer makes a token of"),
    (b'["a", "\\u0000"]', "row 1 has nothing that the tokenizer makes a token of"),
    (b'["a", "\xff\xfe"]', "inputs text: row 1: 'utf-8' codec can't decode"),
    (b'["a", "\\ud800"]', "inputs text: "),
    (json.dumps(["a", "bad " * 11]).encode(), "row 1 has 13 tokens, and the model takes 12 at most; shorten"),
    (json.dumps(["a", " " * 769]).encode(), "row 1 has 769 characters, more than the 768 that are read"),
    ([], "inputs must be text, once, and are none"),
    (given(["a"], name="input_ids"), "inputs must be text, once, and are input_ids"),
    (given(["a"], datatype="INT64"), "input text must have datatype BYTES, and has INT64"),
    (given(["a"], shape=(1, 1)), r"input text must have shape \[rows\], not 0, and has \[1, 1\]"),
    (given(["a"], shape=(2,)), r"input text of shape \[2\] takes as many texts, and has 1 of them"),
    (given(["a", 3]), "input text: data must be an array of strings: Expected `str`"),
    (given(["a", ""]), "row 1 has nothing that the tokenizer makes a token of"),
    (in_binary(b"a", b"\xff"), "input text: row 1 is not UTF-8: invalid start byte"),
    (given(["a"], binary=True, data=b"\x01\x00\x00\x00a\x09"), "input text: row 1 takes more bytes than"),
    (given(["a"], binary=True, data=b"\x09\x00\x00\x00a"), "input text: row 0 takes more bytes than"),
    (given(["a"], binary=True, data=b"\xff\xff\xff\xffa"), "input text: row 0 takes more bytes than"),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "message"), WRONG)
def test_a_wrong_text_is_told_with_its_row(reader: TextReader, inputs: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        reader.read(inputs)


def test_a_text_may_have_as_many_tokens_as_the_model_takes(reader: TextReader) -> None:
    (group,) = reader.read(json.dumps(["bad " * 10]).encode()).groups
    assert group.inputs[0].shape == (1, 12)


def prepared(repository: Repository, **changes: Any) -> ServedModel:
    texts.add(repository, **changes)
    folder = ModelFolder(repository.path / "films")
    return prepare(folder.read(folder.manifest(), 1, ("texts",)), Execution(plan="vmap"))


def test_a_model_must_take_every_token_and_as_many_as_are_said(repository: Repository) -> None:
    model = prepared(repository)
    assert model.inputs.ranges == ((0, 10), (1, 1))
    with pytest.raises(
        ManifestError, match=r"films/model.toml: tokenizer.max_tokens: the model failed on a text of 13"
    ):
        prepared(repository, tokenizer={"max_tokens": 13})


def test_a_tokenizer_of_other_words_is_refused(repository: Repository) -> None:
    folder = texts.add(repository)
    more = texts.tokenizer()
    more.add_tokens(["another"])
    more.save(str(folder / "tokenizer.json"))
    models = ModelFolder(repository.path / "films")
    with pytest.raises(LoadError, match=r"IndexError|input\.range"):
        prepare(models.read(models.manifest(), 1, ("texts",)), Execution(plan="vmap"))
