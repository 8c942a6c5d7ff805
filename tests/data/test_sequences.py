from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from steelyard.data.sequences import MemorySteps, Packed, cut, joined, lengths_of, ragged, read_items
from steelyard.errors import DataError
from steelyard.records.data import ArrayFile, Preprocess
from steelyard.records.model import TensorInfo

Prepare = Callable[..., Any]
Table = Callable[..., Path]
SERIES = TensorInfo(name="x", dtype="float32", shape=(None, None, 2))
LENGTHS = np.array([1 + n % 5 for n in range(20)])


def series() -> NDArray[np.float32]:
    """Twenty items of up to five steps, all different, filled up with nines."""
    values = np.arange(200, dtype=np.float32).reshape(20, 5, 2)
    for n, length in enumerate(LENGTHS):
        values[n, length:] = 999
    return values


def test_items_are_cut_to_their_lengths(prepared: Prepare, table: Table) -> None:
    outcome = prepared(table(x=series(), x_lengths=LENGTHS, y=np.arange(20)), SERIES)
    assert [item.tolist() for item in outcome.x] == [
        series()[n, : LENGTHS[n]].tolist() for n in outcome.labels.tolist()
    ]
    assert not outcome.prepared.pad
    assert outcome.told == ("items of different length: 1 to 5 steps, half of them at most 3 (x)",)
    assert len(outcome.calibration["x"]) == 2


def test_what_fills_items_up_decides_nothing(prepared: Prepare, table: Table) -> None:
    first = prepared(table(x=series(), x_lengths=LENGTHS), SERIES).prepared
    zeros = np.where(series() == 999, 0, series())
    assert prepared(table(x=zeros, lengths=LENGTHS), SERIES).prepared.sha256 == first.sha256
    assert prepared(table(x=series(), x_lengths=LENGTHS, y=np.arange(20)), SERIES).prepared.sha256 != first.sha256
    shorter = np.maximum(LENGTHS - 1, 1)
    assert prepared(table(x=series(), x_lengths=shorter), SERIES, duplicates="keep").prepared.sha256 != first.sha256


def test_channels_first(prepared: Prepare, table: Table) -> None:
    info = TensorInfo(name="x", dtype="float32", shape=(None, 2, None))
    outcome = prepared(table(x=series().transpose(0, 2, 1), x_lengths=LENGTHS, y=np.arange(20)), info)
    assert [item.tolist() for item in outcome.x] == [
        series()[n, : LENGTHS[n]].T.tolist() for n in outcome.labels.tolist()
    ]


def test_a_model_of_one_length_takes_items_as_they_are_stored(prepared: Prepare, table: Table) -> None:
    info = TensorInfo(name="x", dtype="float32", shape=(None, 5, 2))
    assert prepared(table(x=series(), x_lengths=LENGTHS), info).x.shape == (18, 5, 2)


def test_lengths_of_all_inputs(prepared: Prepare, table: Table) -> None:
    ids = TensorInfo(name="input_ids", dtype="int64", shape=(None, None))
    mask = TensorInfo(name="attention_mask", dtype="int64", shape=(None, None))
    one = np.arange(100).reshape(20, 5)
    outcome = prepared(table(input_ids=one, attention_mask=np.ones_like(one), lengths=LENGTHS), [ids, mask])
    assert outcome.prepared.pad
    assert lengths_of(outcome.judging["input_ids"]).tolist() == lengths_of(outcome.judging["attention_mask"]).tolist()
    assert not prepared(
        table(input_ids=one, attention_mask=one, lengths=LENGTHS), [ids, mask], padding=False
    ).prepared.pad


def test_padding_may_be_said_to_be_harmless(prepared: Prepare, table: Table) -> None:
    assert prepared(table(x=series(), x_lengths=LENGTHS), SERIES, padding=True).prepared.pad
    assert not prepared(table(x=series()), SERIES, padding=True).prepared.pad


def test_items_without_steps_or_with_nan_are_left_out(prepared: Prepare, table: Table) -> None:
    values, lengths = series(), LENGTHS.copy()
    lengths[3] = 0
    values[4, 0, 0] = np.nan
    values[5, 4, 1] = np.nan  # beyond its length
    outcome = prepared(table(x=values, x_lengths=lengths), SERIES)
    assert outcome.told[1:3] == ("1 item left out: no steps in input x", "1 item left out: NaN or Inf in input x")


def test_arithmetic_reaches_every_step(prepared: Prepare, table: Table) -> None:
    path = table(x=series(), x_lengths=LENGTHS)
    plain = prepared(path, SERIES)
    moved = prepared(path, SERIES, preprocess=Preprocess(mean=(1, 2)))
    for one, other in zip(plain.x, moved.x, strict=True):
        assert (one - [1, 2]).tolist() == other.tolist()


@pytest.mark.parametrize("lengths", [LENGTHS[:19], LENGTHS + 1, LENGTHS - 2])
def test_lengths_that_do_not_fit(prepared: Prepare, table: Table, lengths: NDArray[np.int64]) -> None:
    with pytest.raises(DataError, match=r"expected one for each of 20 items, from 0 to 5, of the array 'x'"):
        prepared(table(x=series(), x_lengths=lengths), SERIES)


def test_lengths_for_items_of_other_axes(prepared: Prepare, table: Table) -> None:
    with pytest.raises(DataError, match=r"one item of the array 'x' in .* is 5, the model's input 'x' takes \? × 2"):
        prepared(table(x=np.zeros((20, 5)), x_lengths=LENGTHS), SERIES)


def test_packed_items() -> None:
    items = ragged([np.arange(3), np.arange(0), np.arange(2)])
    packed = Packed(MemorySteps(joined(items)), lengths_of(items))
    assert [item.tolist() for item in packed.rows(np.array([2, 0]))] == [[0, 1], [0, 1, 2]]
    assert [item.tolist() for item in packed.read(1, 3)] == [[], [0, 1]]
    assert [item.tolist() for item in cut(joined(items), lengths_of(items))] == [[0, 1, 2], [], [0, 1]]
    assert packed.typical == pytest.approx(5 / 3)


def test_files_that_are_too_short(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 2)))
    np.save(tmp_path / "n.npy", np.array([3, 2]))
    array = ArrayFile(file="x.npy", dtype="float64", shape=(4, 2), lengths="n.npy")
    assert read_items(tmp_path, array, 0, 1)[0].shape == (3, 2)
    with pytest.raises(DataError, match="holds 4 steps, expected more"):
        read_items(tmp_path, array, 0, 2)
