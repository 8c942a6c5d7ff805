"""A Keras model becomes an ONNX file that gives its answers, or no file at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from steelyard.errors import ModelError
from steelyard.models import keras_model
from steelyard.models.keras_model import export_keras
from steelyard.models.torch_module import quiet

os.environ["KERAS_BACKEND"] = "torch"  # read when Keras is imported

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def keras() -> Any:
    imported = pytest.importorskip("keras")
    imported.utils.set_random_seed(0)
    return imported


def own(keras: Any, model: Any, x: Any) -> Any:
    with quiet():  # Keras on torch warns of itself
        return keras.ops.convert_to_numpy(model(x))


def answered(path: Path, *inputs: Any) -> Any:
    session = onnxruntime.InferenceSession(path)
    return session.run(None, {each.name: x for each, x in zip(session.get_inputs(), inputs, strict=True)})[0]


def test_a_network_that_was_never_called_takes_any_batch(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    model = keras.Sequential([layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)])
    pictures = RNG.random((7, 8, 8, 1))
    path = export_keras(model, {"x": pictures[:2]}, tmp_path / "m.onnx")
    expected = own(keras, model, pictures)
    np.testing.assert_allclose(answered(path, pictures.astype(np.float32)), expected, atol=1e-5)


def test_a_recurrent_network_of_any_length_is_right_at_the_datas_length(keras: Any, tmp_path: Path) -> None:
    """Left to itself Keras exports this one so that it answers wrongly."""
    model = keras.Sequential([keras.Input((None, 4)), keras.layers.LSTM(5), keras.layers.Dense(2)])
    steps = RNG.random((5, 6, 4)).astype(np.float32)
    path = export_keras(model, {"steps": steps}, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(path)
    assert session.get_inputs()[0].shape[1:] == [6, 4]
    np.testing.assert_allclose(answered(path, steps), own(keras, model, steps), atol=1e-5)


def test_several_inputs_are_found_by_name(keras: Any, tmp_path: Path) -> None:
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    model = keras.Model([left, right], keras.layers.Dense(2)(keras.layers.Concatenate()([left, right])))
    given = {"right": RNG.random((4, 2)).astype(np.float32), "left": RNG.random((4, 3)).astype(np.float32)}
    path = export_keras(model, given, tmp_path / "m.onnx")
    expected = own(keras, model, [given["left"], given["right"]])
    np.testing.assert_allclose(answered(path, given["left"], given["right"]), expected, atol=1e-5)
    with pytest.raises(ModelError, match="takes the inputs left, right, the data has left, other"):
        export_keras(model, {"left": given["left"], "other": given["right"]}, tmp_path / "m.onnx")


def test_data_that_the_model_does_not_take_is_told_with_its_shape(keras: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ModelError, match=r"the Keras model itself fails with the example items.*\(5, 3\)"):
        export_keras(model, {"x": RNG.random((5, 3))}, tmp_path / "m.onnx")


def test_a_file_that_answers_otherwise_is_not_left_behind(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    export = keras_model._export
    monkeypatch.setattr(keras_model, "_export", lambda _, examples, file: export(other, examples, file))
    with pytest.raises(ModelError, match="lies up to"):
        export_keras(model, {"x": RNG.random((5, 4))}, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
