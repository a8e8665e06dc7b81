"""Texts as the tensors that a tokenizer makes of them, and how a wrong one is told."""

import json
from typing import Any

import numpy as np
import pytest
import texts
from hypothesis import given
from hypothesis import strategies as st
from repositories import Repository
from tokenizers import Tokenizer
from tritonclient.utils import serialize_byte_tensor

from service.errors import InvalidInput, LoadError, ManifestError
from service.predictor.certificate import entry_sha256
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


def sent(values: list[Any], **changes: Any) -> list[GivenTensor]:
    said = {"name": "text", "datatype": "BYTES", "shape": (len(values),), "binary": False}
    return [GivenTensor(**said | {"data": json.dumps(values).encode()} | changes)]


def in_binary(*values: bytes) -> list[GivenTensor]:
    data = serialize_byte_tensor(np.array(values, dtype=object)).item()
    return sent([*map(str, values)], data=data, binary=True)


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
        sent(["a film", "bad"]),
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
    (sent(["a"], name="input_ids"), "inputs must be text, once, and are input_ids"),
    (sent(["a"], datatype="INT64"), "input text must have datatype BYTES, and has INT64"),
    (sent(["a"], shape=(1, 1)), r"input text must have shape \[rows\], not 0, and has \[1, 1\]"),
    (sent(["a"], shape=(2,)), r"input text of shape \[2\] takes as many texts, and has 1 of them"),
    (sent(["a", 3]), "input text: data must be an array of strings: Expected `str`"),
    (sent(["a", ""]), "row 1 has nothing that the tokenizer makes a token of"),
    (in_binary(b"a", b"\xff"), "input text: row 1 is not UTF-8: invalid start byte"),
    (sent(["a"], binary=True, data=b"\x01\x00\x00\x00a\x09"), "input text: row 1 takes more bytes than"),
    (sent(["a"], binary=True, data=b"\x09\x00\x00\x00a"), "input text: row 0 takes more bytes than"),
    (sent(["a"], binary=True, data=b"\xff\xff\xff\xffa"), "input text: row 0 takes more bytes than"),
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


def test_what_holds_of_one_tokenizer_holds_of_no_other(repository: Repository) -> None:
    """Measured plans and calibrations are both bound to it, as they are to weights."""
    folder = texts.add(repository)
    models = ModelFolder(repository.path / "films")

    def bound() -> tuple[dict[str, str], str]:
        read = models.read(models.manifest(), 1, ("texts",))
        return Execution().circumstances(read), entry_sha256(read)

    before = bound()
    assert bound() == before
    other = texts.tokenizer()
    other.normalizer = None
    other.save(str(folder / "tokenizer.json"))
    assert all(now != then for now, then in zip(bound(), before, strict=True))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
)


def never_but_refused(reader: TextReader, inputs: Any) -> None:
    """Read rows, or hear why not; nothing else may happen, and no row may be lost."""
    try:
        rows = reader.read(inputs)
    except InvalidInput:
        return
    numbers = sorted(number for group in rows.groups for number in group.numbers)
    assert numbers == list(range(len(rows)))
    for group in rows.groups:
        ids, mask, types = group.inputs
        assert ids.shape == mask.shape == types.shape == (len(group), ids.shape[1])
        assert 1 <= ids.shape[1] <= texts.MAX_TOKENS
        assert int(ids.max()) <= reader.highest


@given(JSON | st.lists(st.text(max_size=30), max_size=5))
def test_any_json_is_read_or_refused(reader: TextReader, value: Any) -> None:
    never_but_refused(reader, json.dumps(value).encode())


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(reader: TextReader, data: bytes) -> None:
    never_but_refused(reader, data)
    never_but_refused(reader, b'["' + data + b'"]')


@given(st.binary(max_size=60), st.integers(1, 4), st.booleans())
def test_any_tensor_is_read_or_refused(reader: TextReader, data: bytes, rows: int, binary: bool) -> None:
    never_but_refused(reader, [GivenTensor("text", "BYTES", (rows,), data, binary=binary)])


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=4))
def test_both_faces_read_the_same_of_any_texts(reader: TextReader, some: list[str]) -> None:
    def read(inputs: Any) -> Any:
        try:
            return [group.inputs[0].tolist() for group in reader.read(inputs).groups]
        except InvalidInput as refused:
            return str(refused)

    expected = read(json.dumps(some, ensure_ascii=False).encode())
    assert read(sent(some)) == expected
    assert read(in_binary(*(text.encode() for text in some))) == expected
