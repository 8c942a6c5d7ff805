from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.data.texts import fields
from steelyard.errors import DataError, UsageError
from steelyard.records.data import DataSpec
from steelyard.records.model import TensorInfo

Prepare = Callable[..., Any]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d"]


def tokens(*names: str, length: int | None = None, dtype: str = "int64") -> list[TensorInfo]:
    return [TensorInfo(name=name, dtype=dtype, shape=(None, length)) for name in names]


BERT = tokens("input_ids", "attention_mask", "token_type_ids")


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """Words of one letter; [CLS] a [SEP] b [SEP] as BERT has it; padded and cut as such files often say."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_truncation(max_length=6)
    made.enable_padding(length=6, pad_id=0)
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """Twenty texts of one to four words, some of which the tokenizer cuts."""
    rows = [("abcd"[n % 4] + " a b c d"[: 2 * (n // 4)], "abcd"[n // 4 % 4], n % 3) for n in range(20)]
    with (tmp_path / "letters.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("text", "other", "label"), *rows])
    return tmp_path / "letters.csv"


def expected(text: str, most: int) -> list[int]:
    whole = [2, *(WORDS.index(word) for word in text.split())]
    return [*whole[: most - 1], 3]


def texts_of(letters: Path) -> list[str]:
    with letters.open(newline="") as rows:
        return [row["text"] for row in csv.DictReader(rows)]


def test_each_text_at_its_own_length(prepared: Prepare, letters: Path, tokenizer: Path) -> None:
    outcome = prepared(letters, BERT, tokenizer=str(tokenizer), text=("text",), duplicates="keep")
    found = sorted(item.tolist() for item in outcome.judging["input_ids"])
    all_items = [*outcome.judging["input_ids"], *outcome.calibration["input_ids"]]
    assert sorted(item.tolist() for item in all_items) == sorted(expected(text, 6) for text in texts_of(letters))
    assert [len(item) for item in outcome.judging["attention_mask"]] == [len(i) for i in outcome.judging["input_ids"]]
    assert all(item.all() for item in outcome.judging["attention_mask"])
    assert {len(item) for item in found} == {3, 4, 5, 6}
    assert outcome.prepared.pad
    assert outcome.prepared.judging["input_ids"].axis == 1
    assert outcome.told == (
        "about 20% of the texts are longer than 6 tokens, and cut",
        "items of different length: 3 to 6 steps, half of them at most 5 (input_ids, attention_mask, token_type_ids)",
    )


def test_longer_and_shorter_than_the_file_says(prepared: Prepare, letters: Path, tokenizer: Path) -> None:
    whole = prepared(letters, BERT, tokenizer=str(tokenizer), max_tokens=20)
    assert max(len(item) for item in whole.judging["input_ids"]) == 7
    short = prepared(letters, BERT, tokenizer=str(tokenizer), max_tokens=3, duplicates="keep")
    assert {len(item) for item in short.judging["input_ids"]} == {3}
    with pytest.raises(DataError, match="max_tokens is 0, expected 1 to"):
        prepared(letters, BERT, tokenizer=str(tokenizer), max_tokens=0)


def test_a_model_of_one_length_gets_that_length(prepared: Prepare, letters: Path, tokenizer: Path) -> None:
    inputs = tokens("input_ids", "attention_mask", length=8, dtype="int32")
    outcome = prepared(letters, inputs, tokenizer=str(tokenizer), duplicates="keep")
    assert outcome.judging["input_ids"].shape == (18, 8)
    assert outcome.judging["input_ids"].dtype == np.int32
    assert (outcome.judging["attention_mask"] == (outcome.judging["input_ids"] != 0)).all()
    assert not outcome.prepared.pad
    with pytest.raises(DataError, match="max_tokens is 9, expected 1 to 8"):
        prepared(letters, inputs, tokenizer=str(tokenizer), max_tokens=9)


def test_pairs(prepared: Prepare, letters: Path, tokenizer: Path) -> None:
    outcome = prepared(letters, BERT, tokenizer=str(tokenizer), text=("text", "other"), max_tokens=20)
    for ids, types in zip(outcome.judging["input_ids"], outcome.judging["token_type_ids"], strict=True):
        second = ids.tolist().index(3) + 1
        assert types.tolist() == [0] * second + [1] * (len(ids) - second)
        assert len(ids) - second == 2


def test_texts_that_are_missing(prepared: Prepare, letters: Path, tokenizer: Path) -> None:
    letters.write_text(letters.read_text() + ',a,1\n"  ",b,1\n')
    outcome = prepared(letters, BERT, tokenizer=str(tokenizer), text=("text",), max_tokens=20)
    assert "2 items left out: no text in the column 'text' (row 21, row 22)" in outcome.told


def test_text_beside_numbers(prepared: Prepare, letters: Path, tokenizer: Path) -> None:
    extra = TensorInfo(name="extra", dtype="float32", shape=(None, 1))
    lines = letters.read_text().splitlines()
    letters.write_text("\n".join([f"{lines[0]},extra", *(f"{line},{n}.5" for n, line in enumerate(lines[1:]))]))
    outcome = prepared(letters, [*BERT[:2], extra], tokenizer=str(tokenizer), text=("text",))
    by_row = dict(enumerate(expected(text, 6) for text in texts_of(letters)))
    for ids, number in zip(outcome.judging["input_ids"], outcome.judging["extra"][:, 0], strict=True):
        assert by_row[int(number)] == ids.tolist()


@pytest.mark.parametrize(
    ("inputs", "said", "found"),
    [
        (BERT, {}, ["input_ids", "attention_mask", "token_type_ids"]),
        (tokens("input_word_ids", "input_mask", "segment_ids"), {}, ["input_ids", "attention_mask", "token_type_ids"]),
        (tokens("input_ids", "position_ids"), {}, ["input_ids", "position_ids"]),
        (tokens("x"), {}, ["input_ids"]),
        (tokens("x", "y"), {"x": "attention_mask", "y": "input_ids"}, ["attention_mask", "input_ids"]),
    ],
)
def test_which_input_takes_what(inputs: Sequence[TensorInfo], said: dict[str, str], found: list[str]) -> None:
    assert list(fields(inputs, DataSpec(source="", inputs=said)).values()) == found


def test_no_input_takes_tokens(prepared: Prepare, letters: Path, tokenizer: Path) -> None:
    with pytest.raises(DataError, match=r"none of the model's inputs takes tokens: x \(\? × 4, float32\)"):
        prepared(letters, tokens("x", length=4, dtype="float32"), tokenizer=str(tokenizer))


def test_which_column_is_the_text(prepared: Prepare, letters: Path, tokenizer: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'words'; columns of text in .*: text, other"):
        prepared(letters, BERT, tokenizer=str(tokenizer), text=("words",))
    letters.write_text(letters.read_text().replace("text,", "first,", 1))
    with pytest.raises(DataError, match=r"which column is the text\?; columns of text in .*: first, other"):
        prepared(letters, BERT, tokenizer=str(tokenizer))
    with pytest.raises(DataError, match="`text` names columns for a tokenizer, and none was given"):
        prepared(letters, BERT, text=("first",))


def test_files_that_are_no_tokenizer(prepared: Prepare, letters: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no tokenizer at nowhere"):
        prepared(letters, BERT, tokenizer="nowhere.json")
    for raw in (b"{}", b"\x00\xff", b'{"version": "1.0", "model": {"type": "Unheard"}}'):
        (tmp_path / "t.json").write_bytes(raw)
        with pytest.raises(DataError, match=r"t.json is no tokenizer.json"):
            prepared(letters, BERT, tokenizer=str(tmp_path / "t.json"))


def test_without_the_package(
    prepared: Prepare, letters: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UsageError, match="needs the package tokenizers") as caught:
        prepared(letters, BERT, tokenizer=str(tokenizer))
    assert caught.value.hint == 'pip install "steelyard[text]"'
