from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from steelyard.errors import DataError
from steelyard.records.model import TensorInfo

Prepare = Callable[..., Any]
Table = Callable[..., Path]
Floats = NDArray[np.float32]


def kept(outcome: Any) -> int:
    record = outcome.prepared
    return int(record.items_calibrate + record.items_select + record.items_confirm)


def test_nan_and_inf_are_left_out(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    twenty[3, 0], twenty[4, 1], twenty[5, 2] = np.nan, np.inf, -np.inf
    outcome = prepared(table(x=twenty, y=np.arange(20)), features)
    assert outcome.told == ("3 items left out: NaN or Inf in input x",)
    assert kept(outcome) == 17
    assert np.isfinite(outcome.x).all()
    assert not {3, 4, 5} & set(outcome.labels)


def test_duplicates_are_kept_once(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    twenty[[8, 12]] = twenty[2]
    labels = np.arange(20) % 2
    outcome = prepared(table(x=twenty, y=labels), features)
    assert outcome.told == ("2 items left out: exact duplicates of an item that is kept",)
    assert kept(outcome) == 18


def test_duplicates_that_contradict_each_other_are_both_dropped(
    prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats
) -> None:
    twenty[8], twenty[9] = twenty[2], twenty[1]
    labels = np.zeros(20, int)
    labels[8] = 1
    outcome = prepared(table(x=twenty, y=labels), features)
    assert outcome.told == (
        "2 items left out: exact duplicates of each other whose labels differ",
        "1 item left out: exact duplicates of an item that is kept",
    )
    assert twenty[2].tolist() not in outcome.x.tolist()


def test_duplicates_are_equal_in_all_inputs(prepared: Prepare, table: Table, twenty: Floats) -> None:
    info = [TensorInfo(name=name, dtype="float32", shape=(None, 4)) for name in ("a", "b")]
    other = twenty.copy()
    twenty[5] = twenty[6]
    assert prepared(table(a=twenty, b=other), info).told[1:] == ()
    other[5] = other[6]
    assert prepared(table(a=twenty, b=other), info).told[1:] == (
        "1 item left out: exact duplicates of an item that is kept",
    )


def test_a_label_that_is_missing_does_not_make_a_duplicate_contradict(
    prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats
) -> None:
    twenty[8] = twenty[2]
    labels = np.arange(20.0)
    labels[2] = np.nan
    outcome = prepared(table(x=twenty, y=labels), features)
    assert outcome.told == ("1 item left out: the label is missing",)


def test_labels_out_of_range_are_counted(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    labels = np.arange(20) % 5
    labels[0], labels[1], labels[2] = -1, 5, 77
    outcome = prepared(table(x=twenty, y=labels), features, outputs=5)
    assert outcome.told == (
        "1 item left out: the label is negative",
        "2 items left out: the label is above 4, the last output",
    )
    assert outcome.labels.min() >= 0
    assert outcome.labels.max() <= 4
    unbounded = prepared(table(x=twenty, y=labels), features)
    assert unbounded.told == ("1 item left out: the label is negative",)


def test_labels_that_count_from_one(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    path = table(x=twenty, y=np.arange(20) % 5 + 1)
    with pytest.raises(
        DataError, match="labels count from one: they run from 1 to 5, the model's outputs from 0 to 4"
    ) as e:
        prepared(path, features, outputs=5)
    assert e.value.hint == "--label-offset -1"
    outcome = prepared(path, features, outputs=5, label_offset=-1)
    assert outcome.told == ()
    assert sorted(set(outcome.labels)) == [0, 1, 2, 3, 4]
    with pytest.raises(DataError) as caught:
        prepared(path, features, outputs=6, label_offset=1)
    assert caught.value.hint == "--label-offset 0"


def test_labels_of_another_model(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    with pytest.raises(DataError, match=r"12 of 20 labels are outside of the model's outputs 0 to 7.* from 0 to 19"):
        prepared(table(x=twenty, y=np.arange(20)), features, outputs=8)
    with pytest.raises(DataError, match=r"11 of 20 labels are outside .* from 1 to 20"):
        prepared(table(x=twenty, y=np.arange(1, 21)), features, outputs=10)


def test_more_than_half_is_an_error(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    twenty[:10, 0] = np.nan
    assert kept(prepared(table(x=twenty), features)) == 10
    twenty[10] = twenty[11]
    with pytest.raises(
        DataError, match=r"more than half of the items cannot be used \(11 of 20\): 10 items .*; 1 item"
    ):
        prepared(table(x=twenty), features)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "float32", "float64", "bool"])
def test_labels_of_many_dtypes(
    prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats, dtype: str
) -> None:
    plain = np.arange(20) % 2
    for labels in (plain.astype(dtype), plain.astype(dtype)[:, None]):
        outcome = prepared(table(x=twenty, y=labels), features, outputs=2)
        assert outcome.labels.dtype == np.int64
        assert outcome.labels.tolist() == [plain[twenty.tolist().index(row)] for row in outcome.x.tolist()]


def test_one_hot_labels(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    one_hot = np.eye(4)[np.arange(20) % 4]
    one_hot[7] = 0
    outcome = prepared(table(x=twenty, y=one_hot), features)
    assert outcome.told == (
        "labels were one-hot in 4 columns: the place of the one was taken",
        "1 item left out: the label is missing",
    )
    assert outcome.labels.tolist() == [twenty.tolist().index(row) % 4 for row in outcome.x.tolist()]
    one_hot[3] = [1, 1, 0, 0]
    with pytest.raises(DataError, match="4 columns but is not one-hot"):
        prepared(table(x=twenty, y=one_hot), features)
    one_hot[3] = [0.6, 0.4, 0, 0]
    measured = prepared(table(x=twenty, y=one_hot), features)
    assert measured.labels.tolist() == [one_hot[twenty.tolist().index(row)].tolist() for row in measured.x.tolist()]


def test_words_need_classes(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    words = np.array(["cat", "dog", "", "eel"] * 5)
    words[0] = "emu"
    path = table(x=twenty, y=words)
    with pytest.raises(DataError, match="holds words") as caught:
        prepared(path, features)
    assert "classes = ['cat', 'dog', 'eel', 'emu']" in caught.value.hint


def test_words_are_numbered_by_classes(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    words = np.array(["cat", "dog", "eel", "dog"] * 5)
    words[0], words[1] = "emu", ""
    for labels in (words, words.astype(bytes)):
        outcome = prepared(table(x=twenty, y=labels), features, classes=("eel", "dog", "cat"))
        assert outcome.prepared.classes == ("eel", "dog", "cat")
        assert outcome.told == (
            "1 item left out: the label is missing",
            "1 item left out: the label is not among the classes",
        )
        numbers = {"eel": 0, "dog": 1, "cat": 2}
        assert outcome.labels.tolist() == [numbers[words[twenty.tolist().index(row)]] for row in outcome.x.tolist()]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(20, np.inf), "the label is NaN or Inf"),
        (np.zeros(20, "datetime64[s]"), "holds datetime64"),
        (np.zeros(20, complex), "holds complex128"),
        (np.zeros((20, 2, 2), int), r"has the shape \(20, 2, 2\)"),
        (np.array([["a", "b"]] * 20), "holds str32, expected class numbers"),
    ],
)
def test_labels_that_are_none(
    prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats, labels: NDArray[Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        prepared(table(x=twenty, y=labels), features)
