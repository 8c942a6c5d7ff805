"""Make a portable model from a Keras 3 model, and prove that it gives the model's answers before it is handed on.

https://keras.io/api/models/model_saving_apis/export/. Of every input only the batch may vary in the file: with
lengths that vary Keras exports recurrent layers that answer wrongly, without a word, and fails on attention.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.errors import ModelError
from steelyard.models.torch_cases import Case, verify
from steelyard.models.torch_module import quiet
from steelyard.records.engine import Array

_BATCHES = (1, 3)
"""Batches that are compared beside the examples as given."""
_UNNAMED = "keras_tensor"


def export_keras(model: Any, examples: Mapping[str, Array], path: str | Path) -> Path:
    """Write the Keras 3 `model` as ONNX to `path`, verified, and return the absolute path.

    `examples` are some items per input (first axis = items), by the names of the model's inputs; with a single input
    any name will do. All axes but the first keep the size that they have there. The file is compared in ONNX Runtime
    with the model's own answers (`training=False`) to the examples and to batches of 1 and 3; see `verify`.

    Raises ModelError when the model does not take the examples, cannot be exported, or the file answers otherwise;
    nothing is left at `path` then.
    """
    target = Path(path).expanduser().absolute()
    wanted = _matched(model, examples)
    cases = [_case(model, wanted, "the example items", None)]
    cases += [_case(model, wanted, f"a batch of {size}", size) for size in _BATCHES]
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
        file = Path(folder) / target.name
        _export(model, wanted, file)
        verify(file, list(wanted), cases)
        file.replace(target)
    return target


def _matched(model: Any, examples: Mapping[str, Array]) -> dict[str, Array]:
    """The examples by the names that the file's inputs shall have, in the model's order and of its types."""
    known = [(str(tensor.name), str(tensor.dtype)) for tensor in getattr(model, "inputs", None) or []]
    if len(examples) == 1 and len(known) <= 1:
        (value,) = examples.values()
        name, dtype = known[0] if known else (_UNNAMED, "")
        return {"input" if name.startswith(_UNNAMED) else name: _typed(value, dtype)}
    missing = [name for name, _ in known if name not in examples]
    if missing or not known:
        raise ModelError(
            f"the Keras model takes the inputs {', '.join(name for name, _ in known) or '(unnamed)'}, "
            f"the data has {', '.join(examples)}",
            "name the inputs, keras.Input(shape, name='left'), and give data={'left': …, 'labels': …}",
        )
    return {name: _typed(examples[name], dtype) for name, dtype in known}


def _typed(value: Array, dtype: str) -> Array:
    """At least three items, of the input's type: what Keras would turn them into itself."""
    items = np.concatenate([value] * -(-max(_BATCHES) // max(len(value), 1))) if len(value) < max(_BATCHES) else value
    return items.astype(dtype or ("float32" if value.dtype.kind == "f" else value.dtype))


def _case(model: Any, examples: Mapping[str, Array], label: str, size: int | None) -> Case:
    import keras

    inputs = {name: value[:size] for name, value in examples.items()}
    try:
        with quiet():
            answers = keras.tree.flatten(model(_structured(model, inputs), training=False))
            expected = tuple(np.asarray(keras.ops.convert_to_numpy(answer)) for answer in answers)
    except Exception as error:  # a model may raise anything
        shapes = {name: value.shape for name, value in inputs.items()}
        raise ModelError(
            f"the Keras model itself fails with {label} (shapes {shapes}): {type(error).__name__}: {str(error)[:300]}",
            "give data of the shape that the model was trained on",
        ) from error
    return Case(label, tuple(inputs.values()), expected)


def _structured(model: Any, inputs: Mapping[str, Any]) -> Any:
    """One value as it is; several as the model was built to take them: by name or in order."""
    if len(inputs) == 1:
        return next(iter(inputs.values()))
    return dict(inputs) if isinstance(getattr(model, "_inputs_struct", None), dict) else list(inputs.values())


def _export(model: Any, examples: Mapping[str, Array], file: Path) -> None:
    import keras

    specs = {
        name: keras.InputSpec(shape=(None, *value.shape[1:]), dtype=str(value.dtype), name=name)
        for name, value in examples.items()
    }
    try:
        with quiet():
            model.export(str(file), format="onnx", verbose=False, input_signature=[_structured(model, specs)])
    except Exception as error:  # exporters raise whatever their many layers raise
        raise ModelError(
            f"{type(model).__name__} could not be exported to ONNX by Keras on the {keras.backend.backend()} "
            f"backend: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
            "KERAS_BACKEND=torch exports most; or export it yourself and give the .onnx file",
        ) from error
