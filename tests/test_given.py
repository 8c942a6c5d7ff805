"""What is given from Python becomes files: objects are exported, arrays and tables written down."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from steelyard.errors import DataError, ModelError
from steelyard.given import Given, written_down

os.environ["KERAS_BACKEND"] = "torch"  # read when Keras is imported

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame({"a": RNG.normal(size=60), "b": RNG.normal(size=60)})
WORDS = np.where(TABLE["a"] > 0, "yes", "no")
CLASSIFIER = LogisticRegression().fit(TABLE, WORDS)


def arrays(given: Given) -> dict[str, Any]:
    with np.load(given.data, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((TABLE, WORDS), {}),
        ((TABLE.to_numpy(), list(WORDS)), {}),
        (TABLE.assign(answer=WORDS), {"labels": "answer"}),
        (TABLE.assign(label=WORDS), {}),
        (TABLE.assign(target=WORDS), {}),
        ({"a": TABLE["a"].to_numpy(), "b": TABLE["b"].to_numpy(), "y": WORDS}, {}),
        ({"X": TABLE.to_numpy(), "y": WORDS}, {}),
        (lambda: (TABLE, WORDS), {}),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_an_estimator_and_its_data_in_every_form(data: Any, words: dict[str, Any], tmp_path: Path) -> None:
    given = written_down(CLASSIFIER, data, words, tmp_path)
    stored = arrays(given)
    np.testing.assert_array_equal(stored["X"], TABLE.to_numpy().astype(np.float32))
    assert stored["labels"].tolist() == [int(word == "yes") for word in WORDS]
    assert given.words == {"labels": "labels", "classes": ["no", "yes"]}
    assert Path(given.model).is_file()


def test_tables_in_files(tmp_path: Path) -> None:
    TABLE.assign(answer=WORDS).to_csv(tmp_path / "t.csv", index=False)
    given = written_down(CLASSIFIER, tmp_path / "t.csv", {"labels": "answer"}, tmp_path)
    assert arrays(given)["labels"].sum() == (WORDS == "yes").sum()
    with pytest.raises(DataError, match="there is no column 'answer' for the labels"):
        written_down(CLASSIFIER, TABLE, {"labels": "answer"}, tmp_path)
    (tmp_path / "t.npz").touch()
    with pytest.raises(DataError, match=r"expected a table, \.csv or \.parquet, got t\.npz"):
        written_down(CLASSIFIER, tmp_path / "t.npz", {}, tmp_path)
    with pytest.raises(DataError, match="there is no file"):
        written_down(CLASSIFIER, tmp_path / "nowhere.csv", {}, tmp_path)


def test_a_regressor_keeps_its_measured_values(tmp_path: Path) -> None:
    values = TABLE["a"] * 2.5
    given = written_down(LinearRegression().fit(TABLE, values), (TABLE, values), {}, tmp_path)
    np.testing.assert_array_equal(arrays(given)["labels"], values)
    assert given.words == {"labels": "labels"}


def test_labels_that_the_estimator_does_not_know_are_named(tmp_path: Path) -> None:
    odd = np.where(np.arange(60) < 2, "perhaps", WORDS)
    with pytest.raises(DataError, match="none of the estimator's classes: perhaps") as caught:
        written_down(CLASSIFIER, (TABLE, odd), {}, tmp_path)
    assert "no, yes" in caught.value.hint


def test_without_labels_there_are_none(tmp_path: Path) -> None:
    given = written_down(CLASSIFIER, TABLE, {}, tmp_path)
    assert set(arrays(given)) == {"X"}
    assert "labels" not in given.words


def test_a_table_for_a_model_file_becomes_a_csv(tmp_path: Path) -> None:
    given = written_down("model.onnx", TABLE, {}, tmp_path)
    assert given.model == "model.onnx"
    pd.testing.assert_frame_equal(pd.read_csv(given.data), TABLE)


def test_a_keras_model_is_exported_as_one_although_it_is_a_torch_module_too(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.layers.Dense(3, activation="softmax")])
    given = written_down(model, (RNG.random((20, 4)), RNG.integers(0, 3, 20)), {}, tmp_path)
    assert Path(given.model).name == "Sequential.onnx"
    with pytest.raises(ModelError, match="a Sequential object can only be weighed on arrays"):
        written_down(model, "val.csv", {}, tmp_path)


def test_anything_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected a model's file or object, got dict"):
        written_down({}, (np.zeros((2, 2)), np.zeros(2)), {}, tmp_path)
    with pytest.raises(DataError, match="a scikit-learn object is weighed on a table or on arrays, got int"):
        written_down(CLASSIFIER, 3, {}, tmp_path)
    with pytest.raises(DataError, match="data is a path, a table, arrays"):
        written_down("model.onnx", 3, {}, tmp_path)


def test_of_a_torch_module_spare_arrays_are_left_and_lengths_may_vary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    class Last(torch.nn.Module):  # type: ignore[misc]
        def forward(self, series: Any, start: Any = None) -> Any:
            return series[:, -1]

    asked: dict[str, Any] = {}

    def export(module: Any, tensors: list[Any], place: Path, **settings: Any) -> Path:
        asked.update(settings, shapes=[tuple(each.shape) for each in tensors], dtypes=[each.dtype for each in tensors])
        return place

    monkeypatch.setattr("steelyard.models.torch_module.export_module", export)
    arrays = {
        "x": np.full((20, 6, 3), 200, np.uint8),
        "x_lengths": np.arange(20) % 6 + 1,
        "spare": np.zeros((20, 6, 3)),
        "labels": np.zeros(20, int),
    }
    written_down(Last(), arrays, {"preprocess.scale": 1 / 255}, tmp_path)
    assert asked == {
        "input_names": ["series"],
        "dynamic_shapes": {"series": {1: "length"}},
        "shapes": [(8, 6, 3)],
        "dtypes": [torch.float32],
    }
