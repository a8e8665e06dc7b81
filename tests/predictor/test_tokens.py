"""Texts whose tokens are labelled: what is read of them."""

import json

import pytest
import texts
from tokenizers import Tokenizer, models, pre_tokenizers

from service.errors import InvalidInput
from service.predictor.rows import Rows
from service.predictor.tokenized import TokenizedText, check_alike
from service.predictor.tokens import TokenReader
from service.repository.manifest import InputSpec

IDS = InputSpec("input_ids", "int64", (-1,))


def read(*some: str, tokenizer: Tokenizer | None = None, words: bool = False) -> Rows:
    made = tokenizer or texts.tokenizer()
    made.no_truncation()
    made.no_padding()
    return TokenReader(12, (IDS,), made, words=words).read(json.dumps(some).encode())


def test_tokens_are_places_of_the_text_in_code_points() -> None:
    rows = read("Émile 😀 films", "good", "a [SEP] film")
    tokens = [[text.token(place) for place in range(len(text.spans))] for text in rows.texts]
    assert tokens == [["Émile", "😀", "film", "s"], ["good"], ["a", "[SEP]", "film"]]
    assert rows.texts[0].spans == ((0, 5), (6, 7), (8, 12), (12, 13))


def test_the_last_tensor_leaves_out_what_the_tokenizer_adds() -> None:
    rows = read("good film", "bad", "not bad")
    for group in rows.groups:
        ids, counted = group.inputs
        assert counted.shape == ids.shape
        assert counted[:, 1:-1].all()
        assert not counted[:, [0, -1]].any()
    assert [text.text for text in rows.texts] == ["good film", "bad", "not bad"]


def test_the_first_token_of_a_word_stands_for_it() -> None:
    rows = read("bad films , films", "good", words=True)
    assert rows.texts[0].spans == ((0, 3), (4, 9), (10, 11), (12, 17))
    ids, counted = rows.groups[0].inputs
    assert counted[0].tolist() == [False, True, True, False, True, True, False, False]
    assert [texts.WORDS[number] for number in ids[0, counted[0]]] == ["bad", "film", "[UNK]", "film"]


PIECES = [("<unk>", -9.0), ("▁", -2.0), ("▁Ann", -1.0), ("Paris", -1.0), ("▁in", -1.0), (",", -1.0)]


def test_white_space_before_a_word_is_none_of_it() -> None:
    """As of tokenizers of sentence pieces, which make it a part of the word, or a piece of its own."""
    pieces = Tokenizer(models.Unigram(PIECES, unk_id=0))
    pieces.pre_tokenizer = pre_tokenizers.Metaspace()
    every, words = (read("Ann  in Paris,", tokenizer=pieces, words=words) for words in (False, True))
    ids, counted = every.groups[0].inputs
    assert [PIECES[number][0] for number in ids[0]] == ["▁Ann", "▁", "▁in", "▁", "Paris", ","]
    assert counted[0].tolist() == [True, False, True, False, True, True]
    assert every.texts[0].spans == ((0, 3), (5, 7), (8, 13), (13, 14))
    assert words.texts[0].spans == ((0, 3), (5, 7), (8, 14))
    assert words.groups[0].inputs[1][0].tolist() == [True, False, True, True, False, False]


def test_a_text_without_a_token_of_its_own_is_refused() -> None:
    with pytest.raises(InvalidInput, match="row 1 has nothing that the tokenizer makes a token of"):
        read("good", "  ")
    empty = Tokenizer(models.WordLevel({"": 0, "a": 1}, unk_token=""))
    empty.pre_tokenizer = pre_tokenizers.Whitespace()
    assert [text.spans for text in read("a b", tokenizer=empty).texts] == [((0, 1), (2, 3))]


def test_the_worst_token_is_named_with_its_place() -> None:
    text = TokenizedText("I saw Paris", ((0, 1), (2, 5), (6, 11)))
    assert text.worst([0.1, 0.2, 0.5]) == "'Paris' (6 to 11)"
    assert text.without_text().worst([0.1, 0.7, 0.5]) == "2 to 5"
    assert TokenizedText("x" * 50, ((0, 50),)).worst([1.0]) == f"'{'x' * 40}…' (0 to 50)"


def test_texts_of_other_numbers_of_tokens_fit_no_tensor() -> None:
    one, two = TokenizedText("a", ((0, 1),)), TokenizedText("a b", ((0, 1), (2, 3)))
    check_alike([])
    check_alike([two, two])
    with pytest.raises(InvalidInput, match="row 0 has 1 tokens with an answer, and row 2 has 2"):
        check_alike([one, one, two])
