"""Variants that calibrate make do with what there is: one item, items of different length."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pytest

from made_networks import lstm, normal, reader, two_inputs
from steelyard.records.data import ArrayFile
from steelyard.subjects.model_child import build
from steelyard.variants.calibration import Batches, as_one


def built(folder: Path, variant: str, model: Path, items: int, **files: ArrayFile) -> Path:
    into = folder / "into"
    into.mkdir()
    calibration = {name: msgspec.to_builtins(file) for name, file in files.items()}
    argument = {"variant": variant, "source": str(model), "into": str(into), "items": items, "calibration": calibration}
    return into / build(argument)["main"]


def stored(folder: Path, name: str, values: np.ndarray, lengths: list[int] | None = None) -> ArrayFile:
    np.save(folder / f"{name}.npy", values)
    np.save(folder / f"{name}.n.npy", np.array(lengths or [], np.int64))
    return ArrayFile(
        file=str(folder / f"{name}.npy"),
        dtype=str(values.dtype),
        shape=values.shape,
        lengths=str(folder / f"{name}.n.npy") if lengths else None,
    )


@pytest.mark.parametrize("variant", ["int8-static", "int8-nncf"])
def test_a_calibration_set_of_one_item(tmp_path: Path, variant: str) -> None:
    model = two_inputs(tmp_path / "m.onnx")
    a, b = stored(tmp_path, "a", normal(1, 8)), stored(tmp_path, "b", normal(1, 4))
    assert built(tmp_path, variant, model, 1, a=a, b=b).is_file()


def test_items_of_different_length_are_seen_at_their_length(tmp_path: Path) -> None:
    lengths = [2, 5, 3]
    ids = stored(tmp_path, "ids", np.random.default_rng(0).integers(1, 8, 10), lengths)
    mask = stored(tmp_path, "mask", np.ones(10, np.int64), lengths)
    model = reader(tmp_path / "m.onnx")
    made = built(tmp_path, "int8-static", model, 3, input_ids=ids, attention_mask=mask)
    asked = {"input_ids": np.array([[1, 2, 3, 4, 5, 6]]), "attention_mask": np.ones((1, 6), np.int64)}
    [exact] = onnxruntime.InferenceSession(str(model)).run(None, asked)
    [close] = onnxruntime.InferenceSession(str(made)).run(None, asked)
    assert 0 < np.abs(exact - close).max() < 0.2 * np.abs(exact).max()


def test_series_of_different_length(tmp_path: Path) -> None:
    series = stored(tmp_path, "x", normal(10, 2), [2, 5, 3])
    assert built(tmp_path, "int8-nncf", lstm(tmp_path / "m.onnx"), 3, x=series).is_file()


def test_items_that_go_in_together_are_cut_to_the_shortest() -> None:
    items = np.empty(2, object)
    items[0], items[1] = np.ones((2, 5)), np.zeros((2, 3))
    assert as_one(items).tolist() == [[[1, 1, 1]] * 2, [[0, 0, 0]] * 2]
    assert [batch["x"].shape for batch in Batches({"x": items}, 1)] == [(1, 2, 5), (1, 2, 3)]
    assert [batch["x"].shape for batch in Batches({"x": items}, 2)] == [(2, 2, 3)]
