"""Text becomes the numbers of its tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from made_examples import columns, texts
from steelyard.errors import DataError
from steelyard.preparation.plain import Tokens
from steelyard.preparation.tokens import PAD_ID, UNKNOWN_ID, Tokenise

SAID = texts(*["where is my card", "my card is lost", "where can I pay", "I paid my card"] * 3)


def test_a_tokenizer_is_trained_on_the_training_items() -> None:
    fitted = Tokenise(vocabulary=80, length=6).fit(SAID)
    ids, mask = (fitted.apply(texts("My CARD", "où", "")).inputs[name] for name in ("input_ids", "attention_mask"))
    assert ids.shape == mask.shape == (3, 6)
    assert ids.dtype == np.int64
    tokenizer = Tokenizer.from_str(fitted.tokenizer)
    assert [tokenizer.id_to_token(n) for n in ids[0]] == ["[CLS]", "my", "card", "[SEP]", "[PAD]", "[PAD]"]
    assert mask[0].tolist() == [1, 1, 1, 1, 0, 0]
    assert UNKNOWN_ID in ids[1]
    assert ids[2].tolist() == [2, 3, PAD_ID, PAD_ID, PAD_ID, PAD_ID]


def test_training_twice_makes_the_same_tokenizer() -> None:
    assert Tokenise(vocabulary=90).fit(SAID).tokenizer == Tokenise(vocabulary=90).fit(SAID).tokenizer


def test_the_length_is_that_of_nearly_all_texts() -> None:
    said = texts(*["my card"] * 200, "my card is lost where is my card")
    fitted = Tokenise().fit(said)
    assert fitted.length == 4
    assert "1 of 201 texts are longer, and cut" in fitted.told
    assert fitted.apply(said).inputs["input_ids"].shape == (201, 4)


def test_a_tokenizer_that_is_given(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text(Tokenise(vocabulary=60).fit(SAID).tokenizer)
    fitted = Tokenise(tokenizer=str(file), length=5).fit(texts("my card", "other"))
    assert fitted.apply(texts("my card")).inputs["input_ids"].shape == (1, 5)
    assert fitted.serving == {"text": (Tokens(tokenizer=fitted.tokenizer, length=5),)}
    file.write_text("{}")
    with pytest.raises(DataError, match=r"is no tokenizer\.json"):
        Tokenise(tokenizer=str(file)).fit(SAID)
    with pytest.raises(DataError, match="there is no tokenizer nowhere"):
        Tokenise(tokenizer="nowhere").fit(SAID)


def test_text_must_be_there() -> None:
    with pytest.raises(DataError, match="the text is missing in 1 items, the first is item 1"):
        Tokenise().fit(texts("a", None))
    with pytest.raises(DataError, match="found no text, only a"):
        Tokenise().fit(columns(a=[1.0, 2.0]))
