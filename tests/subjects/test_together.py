"""Whether a model bears several items at once: found out by asking it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from made_networks import Floats, centred, lstm, normal, one_at_a_time, reader, save, two_inputs
from steelyard.errors import CandidateFailure, ModelError
from steelyard.records.data import ArrayFile
from steelyard.subjects.company import Company
from steelyard.subjects.together import ALONE, APART, RANDOM, look


def stored(folder: Path, name: str, values: Any, lengths: list[int] | None = None) -> ArrayFile:
    np.save(folder / f"{name}.npy", values)
    if lengths is not None:
        np.save(folder / f"{name}.n.npy", np.array(lengths))
    return ArrayFile(
        file=str(folder / f"{name}.npy"),
        dtype=str(values.dtype),
        shape=values.shape,
        lengths=None if lengths is None else str(folder / f"{name}.n.npy"),
    )


def asked(model: Path, items: int, pad: bool = False, **settings: Any) -> Company:
    argument: dict[str, Any] = {"model": str(model), "format": "onnx", "operators": [], "fixed_batch": None}
    return look(argument | {"items": items, "pad": pad} | settings)


def test_most_models_bear_company(tmp_path: Path) -> None:
    inputs = {"a": stored(tmp_path, "a", normal(20, 8)), "b": stored(tmp_path, "b", normal(20, 4))}
    assert asked(two_inputs(tmp_path / "m.onnx"), 20, inputs=inputs) == Company(alone=False, pad=False)


@pytest.mark.parametrize("make", [centred, one_at_a_time])
def test_a_model_that_depends_on_the_batch_is_asked_one_at_a_time(tmp_path: Path, make: Any) -> None:
    found = asked(make(tmp_path / "m.onnx"), 20, inputs={"x": stored(tmp_path, "x", normal(20, 4))})
    assert found == Company(alone=True, pad=False, told=(ALONE,))


def test_a_fixed_batch_in_which_items_change_each_other_is_refused(tmp_path: Path) -> None:
    model = centred(tmp_path / "m.onnx", batch=4)
    with pytest.raises(ModelError, match="insists on batches of 4, and its answer to an item depends on the others"):
        asked(model, 20, inputs={"x": stored(tmp_path, "x", normal(20, 4))}, fixed_batch=4)


def sentences(folder: Path, lengths: list[int]) -> dict[str, ArrayFile]:
    total = sum(lengths)
    ids = np.random.default_rng(0).integers(1, 8, total)
    return {
        "input_ids": stored(folder, "ids", ids, lengths),
        "attention_mask": stored(folder, "mask", np.ones(total, np.int64), lengths),
    }


LENGTHS = [2, 5, 3, 5, 2, 7, 5, 4, 5, 5]


def test_a_mask_that_is_heeded_lets_items_be_filled_up(tmp_path: Path) -> None:
    found = asked(reader(tmp_path / "m.onnx"), 10, pad=True, inputs=sentences(tmp_path, LENGTHS))
    assert found == Company(alone=False, pad=True)


def test_a_mask_that_is_not_heeded_keeps_lengths_apart(tmp_path: Path) -> None:
    found = asked(reader(tmp_path / "m.onnx", heeds_mask=False), 10, pad=True, inputs=sentences(tmp_path, LENGTHS))
    assert found == Company(alone=False, pad=False, told=(APART,))


@pytest.mark.parametrize("pad", [False, True])
def test_an_lstm_without_a_mask(tmp_path: Path, pad: bool) -> None:
    inputs = {"x": stored(tmp_path, "x", normal(sum(LENGTHS), 2), LENGTHS)}
    found = asked(lstm(tmp_path / "m.onnx"), 10, pad=pad, inputs=inputs)
    assert found == Company(alone=False, pad=False, told=(APART,) if pad else ())


def test_answers_by_luck_are_told(tmp_path: Path) -> None:
    nodes = [helper.make_node("RandomNormalLike", ["x"], ["r"]), helper.make_node("Add", ["x", "r"], ["y"])]
    model = save(tmp_path / "m.onnx", nodes, {"x": ("float", ("n", 4))}, {"y": ("float", ("n", 4))})
    found = asked(model, 20, inputs={"x": stored(tmp_path, "x", normal(20, 4))})
    assert found == Company(alone=False, pad=False, told=(RANDOM,))


def test_scales_of_8_bits_that_are_set_anew_for_each_batch_are_no_dependence(tmp_path: Path) -> None:
    found = asked(
        centred(tmp_path / "m.onnx"),
        20,
        inputs={"x": stored(tmp_path, "x", normal(20, 4))},
        operators=["DynamicQuantizeLinear"],
    )
    assert found == Company(alone=False, pad=False)


def test_what_fails_on_a_single_item_is_told_by_the_first_look(tmp_path: Path) -> None:
    wrong: Floats = normal(20, 5)
    with pytest.raises(CandidateFailure):
        asked(centred(tmp_path / "m.onnx"), 20, inputs={"x": stored(tmp_path, "x", wrong)})
