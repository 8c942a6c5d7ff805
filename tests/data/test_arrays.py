from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from steelyard.errors import DataError
from steelyard.records.data import Preprocess
from steelyard.records.model import TensorInfo

Prepare = Callable[..., Any]
Table = Callable[..., Path]
Floats = NDArray[np.float32]


def same_items(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Whether both hold the same items, in any order."""
    return sorted(item.tobytes() for item in found) == sorted(item.tobytes() for item in expected)


def test_items_are_shuffled_split_and_keep_their_labels(
    prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats
) -> None:
    outcome = prepared(table(x=twenty, labels=np.arange(20)), features, outputs=20)
    record = outcome.prepared
    assert (record.items_calibrate, record.items_select, record.items_confirm) == (2, 2, 16)
    assert outcome.labels is not None
    assert outcome.x.tolist() == twenty[outcome.labels].tolist()
    assert outcome.labels.tolist() != sorted(outcome.labels)
    assert same_items(np.concatenate([outcome.calibration["x"], outcome.x]), twenty)
    assert outcome.told == ()


def test_the_seed_decides_the_order_and_the_hash(
    prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats
) -> None:
    path = table(x=twenty, labels=np.arange(20))
    first, again, other = (prepared(path, features, seed=seed) for seed in (1, 1, 2))
    assert first.prepared.sha256 == again.prepared.sha256 != other.prepared.sha256
    assert first.x.tolist() == again.x.tolist() != other.x.tolist()


def test_the_hash_sees_values_labels_and_split(
    prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats
) -> None:
    labels = np.arange(20)
    changed = twenty.copy()
    changed[4, 0] += 1
    hashes = {
        prepared(table(x=twenty, labels=labels), features).prepared.sha256,
        prepared(table(x=changed, labels=labels), features).prepared.sha256,
        prepared(table(x=twenty, labels=labels + 1), features).prepared.sha256,
        prepared(table(x=twenty), features).prepared.sha256,
        prepared(table(x=twenty, labels=labels), features, limit=19).prepared.sha256,
    }
    assert len(hashes) == 5


def test_limit_draws_items(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    record = prepared(table(x=twenty), features, limit=10).prepared
    assert (record.items_calibrate, record.items_select, record.items_confirm) == (1, 1, 8)
    with pytest.raises(DataError, match="limit is 0"):
        prepared(table(x=twenty), features, limit=0)


def test_too_few_items(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    with pytest.raises(DataError, match="2 items can be used, of which 1 would judge"):
        prepared(table(x=twenty[:2]), features)
    smallest = prepared(table(x=twenty[:3]), features).prepared
    assert (smallest.items_calibrate, smallest.items_select, smallest.items_confirm) == (1, 1, 1)


def test_without_labels_it_is_told(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    outcome = prepared(table(x=twenty), features)
    assert outcome.prepared.labels is None
    assert "no labels" in outcome.told[0]


@pytest.mark.parametrize("name", ["x", "inputs", "images", "X", "data", "input", "anything"])
def test_the_array_is_found(prepared: Prepare, table: Table, twenty: Floats, name: str) -> None:
    path = table(**{name: twenty, "labels": np.arange(20), "weights": np.ones(20)})
    outcome = prepared(path, TensorInfo(name="pixels", dtype="float32", shape=(None, 4)))
    assert outcome.x.shape == (18, 4)
    assert list(outcome.judging) == ["pixels"]


def test_an_input_that_two_arrays_fit_must_be_named(prepared: Prepare, table: Table, twenty: Floats) -> None:
    info = TensorInfo(name="pixels", dtype="float32", shape=(None, 4))
    path = table(first=twenty, second=-twenty)
    with pytest.raises(DataError, match=r"2 arrays could be it: first .float32 20 × 4") as caught:
        prepared(path, info)
    assert '[data.inputs] pixels = "first"' in caught.value.hint
    assert prepared(path, info, inputs={"pixels": "second"}).x[0].tolist() in (-twenty).tolist()


def test_names_that_are_not_there(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    path = table(x=twenty)
    for settings, message in (
        ({"labels": "z"}, "no array 'z' for the labels"),
        ({"inputs": {"x": "z"}}, "no array 'z' for the model input 'x'"),
        ({"inputs": {"q": "x"}}, "names 'q', the model's inputs are x"),
        ({"calibration": "z"}, "no array 'z' for calibration"),
        ({"manifest": "m.csv"}, "lists pictures"),
    ):
        with pytest.raises(DataError, match=message):
            prepared(path, features, **settings)
    with pytest.raises(DataError, match="no array has its name or fits its shape"):
        prepared(table(q=twenty[:, :3]), features)


def test_several_inputs(prepared: Prepare, table: Table) -> None:
    ids = np.random.default_rng(0).integers(0, 9000, (30, 6))
    mask = (ids > 2000).astype(np.int8)
    info = [
        TensorInfo(name="input_ids", dtype="int64", shape=(None, None)),
        TensorInfo(name="attention/mask:0", dtype="int64", shape=(None, None)),
    ]
    outcome = prepared(
        table(input_ids=ids, m=mask, y=np.arange(30)), info, inputs={"attention/mask:0": "m"}, preprocess=Preprocess()
    )
    assert outcome.labels is not None
    assert outcome.judging["input_ids"].tolist() == ids[outcome.labels].tolist()
    assert outcome.judging["attention/mask:0"].tolist() == mask[outcome.labels].tolist()
    assert outcome.judging["attention/mask:0"].dtype == np.int64
    assert outcome.prepared.judging["attention/mask:0"].file == "judging/attention_mask_0.npy"


def test_arithmetic_leaves_ids_alone(prepared: Prepare, table: Table, twenty: Floats) -> None:
    ids = np.arange(40).reshape(20, 2)
    info = [TensorInfo(name="ids", dtype="int64", shape=(None, 2)), TensorInfo(name="a", dtype="float32", shape=(1, 4))]
    outcome = prepared(table(ids=ids, a=twenty, y=np.arange(20)), info, preprocess=Preprocess(std=(2,)))
    assert outcome.judging["ids"].tolist() == ids[outcome.labels].tolist()
    assert outcome.judging["a"].tolist() == (twenty[outcome.labels] / 2).tolist()


def test_an_input_that_is_called_like_labels(prepared: Prepare, table: Table, twenty: Floats) -> None:
    outcome = prepared(table(label=twenty, y=np.arange(20)), TensorInfo(name="label", dtype="float32", shape=(1, 4)))
    assert outcome.x.tolist() == twenty[outcome.labels].tolist()


def test_several_inputs_that_differ_in_number(prepared: Prepare, table: Table) -> None:
    info = [TensorInfo(name=name, dtype="float32", shape=(None, 2)) for name in ("a", "b")]
    rows = np.random.default_rng(0).normal(size=(9, 2))
    with pytest.raises(DataError, match=r"differ in their number of items \(a: 9, b: 8\)"):
        prepared(table(a=rows, b=rows[:8]), info)
    with pytest.raises(DataError, match="the labels: 7"):
        prepared(table(a=rows, b=rows, y=np.zeros(7, int)), info)
    with pytest.raises(DataError, match="the model takes 2 inputs"):
        prepared(table(a=rows, b=rows, c=rows), info, calibration="c")


def test_calibration_set_aside(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    aside = np.random.default_rng(9).normal(size=(400, 4)).astype(np.float32)
    aside[0], aside[1], aside[2, 3] = twenty[0], aside[5], np.nan
    outcome = prepared(table(x=twenty, cal=aside), features, calibration="cal")
    assert outcome.prepared.items_calibrate == 300
    assert same_items(outcome.x, twenty)
    assert same_items(outcome.calibration["x"], np.unique(outcome.calibration["x"], axis=0))
    assert outcome.told[1:] == (
        "calibration: 1 item left out: NaN or Inf in input x",
        "calibration: 1 item left out: set aside for calibration, but they are also among the items that judge",
        "calibration: 1 item left out: exact duplicates of an item that is kept",
        "calibration: 300 of 397 items set aside were drawn",
    )
    with pytest.raises(DataError, match="more than half of the items set aside for calibration"):
        prepared(table(x=twenty, cal=twenty), features, calibration="cal")


def test_integers_for_a_float_input_need_a_word(prepared: Prepare, table: Table) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (20, 3, 5, 5), dtype=np.uint8)
    info = TensorInfo(name="x", dtype="float32", shape=(None, 3, 5, 5))
    path = table(x=stored, y=np.arange(20))
    with pytest.raises(DataError, match="holds uint8 values, the model's input 'x' takes float32") as caught:
        prepared(path, info)
    assert "[preprocess] scale = 0.00392157" in caught.value.hint
    assert '[preprocess] dtype = "float32"' in caught.value.hint
    plain = prepared(path, info, preprocess=Preprocess(dtype="float32"))
    assert plain.labels is not None
    assert plain.x.tolist() == stored[plain.labels].astype(np.float32).tolist()
    computed = prepared(path, info, preprocess=Preprocess(scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2,)))
    means = np.array([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1)
    assert np.allclose(computed.x, (stored[plain.labels] / 255 - means) / 0.2, atol=1e-6)
    with pytest.raises(DataError, match="dtype is int8, the model takes float32"):
        prepared(path, info, preprocess=Preprocess(dtype="int8"))


def test_channels_lie_where_the_layout_says(prepared: Prepare, table: Table) -> None:
    stored = np.random.default_rng(0).normal(size=(20, 5, 5, 3))
    info = TensorInfo(name="x", dtype="float32", shape=(None, 5, 5, 3))
    path = table(x=stored, y=np.arange(20))
    with pytest.raises(DataError, match=r"mean has 3 numbers, the array 'x' in .* has 5 channels") as caught:
        prepared(path, info, preprocess=Preprocess(mean=(1, 2, 3)))
    assert 'layout = "nhwc"' in caught.value.hint
    outcome = prepared(path, info, preprocess=Preprocess(mean=(1, 2, 3), layout="nhwc"))
    assert np.allclose(outcome.x, stored[outcome.labels] - np.array([1, 2, 3]), atol=1e-6)


def test_features_may_each_have_a_mean(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    outcome = prepared(table(x=twenty, y=np.arange(20)), features, preprocess=Preprocess(mean=(1, 2, 3, 4)))
    assert np.allclose(outcome.x, twenty[outcome.labels] - np.array([1, 2, 3, 4]), atol=1e-6)


def test_pictures_settings_on_arrays(prepared: Prepare, table: Table, features: TensorInfo, twenty: Floats) -> None:
    with pytest.raises(DataError, match="work on pictures, not on arrays"):
        prepared(table(x=twenty), features, preprocess=Preprocess(resize=3))


def test_floats_narrow_silently_and_overflow_is_cleaned(prepared: Prepare, table: Table, features: TensorInfo) -> None:
    stored = np.random.default_rng(0).normal(size=(20, 4))
    stored[7, 1] = 1e300
    outcome = prepared(table(x=stored, y=np.arange(20)), features)
    assert outcome.x.tolist() == stored[outcome.labels].astype(np.float32).tolist()
    assert outcome.told == ("1 item left out: NaN or Inf in input x",)


def test_integer_inputs_hold_what_they_are_given(prepared: Prepare, table: Table) -> None:
    info = TensorInfo(name="x", dtype="int8", shape=(None, 2))
    whole = np.arange(40.0).reshape(20, 2)
    assert prepared(table(x=whole), info).x.dtype == np.int8
    with pytest.raises(DataError, match="numbers that are not whole"):
        prepared(table(x=whole + 0.5), info)
    with pytest.raises(DataError, match=r"int8 \(-128 to 127\), its array holds numbers from 0"):
        prepared(table(x=whole * 10), info)
    shifted = prepared(table(x=whole * 4, y=np.arange(20)), info, preprocess=Preprocess(mean=(80.4,)))
    assert shifted.x.tolist() == np.rint(whole * 4 - 80.4)[shifted.labels].tolist()


def test_other_inputs_and_arrays_than_numbers(prepared: Prepare, table: Table, features: TensorInfo) -> None:
    words = np.array([["a", "b", "c", "d"]] * 5)
    with pytest.raises(DataError, match="holds str32, the model's input 'x' takes numbers"):
        prepared(table(x=words), features)
    with pytest.raises(DataError, match="takes object; only numbers"):
        prepared(table(x=np.ones((5, 4))), TensorInfo(name="x", dtype="object", shape=(None, 4)))


def test_shapes_that_do_not_fit_say_what_would(prepared: Prepare, table: Table) -> None:
    def hint(stored: tuple[int, ...], wanted: tuple[int | None, ...]) -> str:
        with pytest.raises(DataError, match=r"one item of the array 'x' in .* is .*, the model's input 'x' takes") as e:
            prepared(table(x=np.zeros(stored)), TensorInfo(name="x", dtype="float32", shape=wanted))
        return e.value.hint

    assert "nhwc to nchw before saving: x.transpose(0, 3, 1, 2)" in hint((9, 8, 8, 3), (None, 3, None, None))
    assert "nchw to nhwc before saving: x.transpose(0, 2, 3, 1)" in hint((9, 3, 8, 8), (None, None, None, 3))
    assert "channels is missing; before saving: np.expand_dims(x, 1)" in hint((9, 8, 8), (None, 1, 8, 8))
    assert "channels is missing; before saving: np.expand_dims(x, -1)" in hint((9, 8, 8), (None, 8, 8, 1))
    assert "np.squeeze(x, 1)" in hint((9, 1, 8), (None, 8))
    assert "x.reshape(-1, 64)" in hint((9, 8, 8), (None, 64))
    assert "whose items have this shape" in hint((9, 8, 7), (None, 64))


def test_sizes_may_prove_that_channels_lie_elsewhere(prepared: Prepare, table: Table) -> None:
    stored = np.random.default_rng(0).normal(size=(20, 4, 5, 3)).astype(np.float32)
    info = TensorInfo(name="x", dtype="float32", shape=(1, 3, 4, 5))
    outcome = prepared(table(x=stored, y=np.arange(20)), info, preprocess=Preprocess(mean=(1, 2, 3)))
    assert outcome.x.shape == (18, 3, 4, 5)
    expected = stored[outcome.labels].transpose(0, 3, 1, 2) - np.array([1, 2, 3]).reshape(3, 1, 1)
    assert np.allclose(outcome.x, expected, atol=1e-6)
    assert outcome.told == ("channels of x were moved: its sizes fit the model's input 'x' only so",)


def test_empty_arrays_and_inputs_without_items(prepared: Prepare, table: Table, features: TensorInfo) -> None:
    with pytest.raises(DataError, match="is empty: 0 × 4"):
        prepared(table(x=np.zeros((0, 4))), features)
    with pytest.raises(DataError, match="is a single number"):
        prepared(table(x=np.zeros(5)), TensorInfo(name="x", dtype="float32", shape=()))
    with pytest.raises(DataError, match="no inputs"):
        prepared(table(x=np.zeros(5)), [])


@pytest.mark.parametrize("shape", [(2000, 3), (50, 2, 3, 4)])
def test_arrays_stored_column_by_column(prepared: Prepare, table: Table, shape: tuple[int, ...]) -> None:
    stored = np.asfortranarray(np.random.default_rng(0).normal(size=shape).astype(">f4"))
    info = TensorInfo(name="x", dtype="float32", shape=(None, *shape[1:]))
    outcome = prepared(table(x=stored, y=np.arange(shape[0])), info)
    assert outcome.x.tolist() == stored[outcome.labels].tolist()
