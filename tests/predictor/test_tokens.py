"""Texts whose tokens are labelled: what is read of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import taggers
import texts
import torch
from pretrained import write_manifest
from tokenizers import Tokenizer, models, pre_tokenizers

from service.errors import InvalidInput, ModelError
from service.predictor.execution import Execution
from service.predictor.outputs import TokenOutputs
from service.predictor.rows import Rows
from service.predictor.sampled_rows import SampledRows
from service.predictor.served_model import prepare
from service.predictor.together import Asked, Draw
from service.predictor.tokenized import TokenizedText, check_alike
from service.predictor.tokens import TokenReader
from service.repository.folder import ModelFolder
from service.repository.manifest import InputSpec
from service.uncertainty.sequential import Rounds
from service.uncertainty.tokens import TokenMeasures

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


def test_requests_that_run_together_have_what_they_have_alone(tmp_path: Path) -> None:
    """Texts of one length with other tokens that have no answer; one request has rounds of its own."""
    folder = taggers.save(tmp_path / "tags" / "1")
    write_manifest(folder, task="token_classification")
    of = ModelFolder(folder.parent)
    model = prepare(of.read(of.manifest(), 1, ()), Execution(plan="vmap"))
    one, other = (
        model.inputs.read(json.dumps(some).encode()).groups[0].inputs
        for some in (["a good film", "bad  bad bad"], ["not bad film", "very good a", "a a a"])
    )
    other[-1][1, 2] = False  # as of a tokenizer whose token of this text is white space
    asked = [Asked(one, Draw(Rounds(20, 20), 1.0)), Asked(other, Draw(Rounds(8, 60, 0.05), 1.0))]
    together = model.sample(asked, 3, lambda: None)
    for own, found in zip(asked, together, strict=True):
        (alone,) = model.sample([own], 3, lambda: None)
        assert found.scores == pytest.approx(alone.scores, abs=1e-5)
        assert found.measures.samples.tolist() == alone.measures.samples.tolist()
        assert isinstance(found.measures, TokenMeasures)
        assert isinstance(alone.measures, TokenMeasures)
        for row, expected in zip(found.measures.tokens, alone.measures.tokens, strict=True):
            assert np.allclose(row.mean, expected.mean, atol=1e-5)
    assert [len(tokens.mean) for tokens in together[1].measures.tokens] == [3, 2, 3]


def test_which_tokens_of_made_up_rows_have_an_answer_lies_in_memory() -> None:
    """As of rows that were read, wherever the made-up rows lie: numpy takes nothing from another device."""
    *_, counted = TokenOutputs(logits=True, classes=3).as_read((torch.zeros(2, 3, device="meta"),))
    assert counted.numpy().tolist() == [[True] * 3] * 2


def test_numbers_that_are_infinite_are_told_by_their_text() -> None:
    outputs = TokenOutputs(logits=True, classes=3)
    counted = torch.tensor([[False, True, True]] * 4)
    logits = torch.zeros(5, 4, 9)
    logits[3, 2, 4] = torch.inf
    rows = SampledRows(
        np.zeros(4),
        outputs.moments((counted,), 1.0),
        "variation_ratio",
        Rounds(5, 5),
        outputs=False,
        quantiles=False,
    )
    rows.update(logits, outputs.shown)
    with pytest.raises(ModelError, match="row 2"):
        rows.end_round(0, 5)
    with pytest.raises(ModelError, match="row 2"):
        outputs.prediction(logits[3], (counted,))
    TokenOutputs(logits=False, classes=3).check(torch.full((1, 2, 6), 1 / 3))
    with pytest.raises(ModelError, match="row 1"):
        TokenOutputs(logits=False, classes=3).check(torch.tensor([[[1.0, 0, 0] * 2, [1, 0, 0, 1, 1, 0]]]))
