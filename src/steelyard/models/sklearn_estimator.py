"""Make a portable model from a fitted scikit-learn estimator or pipeline, and prove that it gives its answers.

The conversion is skl2onnx's (https://onnx.ai/sklearn-onnx/). Of a classifier the file gives one output [items,
classes], in the order of `classes_`: probabilities, or scores where it has none; of a regressor its predictions.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from steelyard.errors import ModelError
from steelyard.models.sklearn_columns import prepared
from steelyard.models.torch_module import quiet
from steelyard.records.engine import Array

ITEMS = 512
"""At most so many of the given items are compared."""
_TOLERANCE = 1e-3
_STRAY = 0.01
"""Share of the items that may differ: in 32 bits a value falls on the other side of a tree's threshold now and then."""
_OPSETS = {"": 17, "ai.onnx.ml": 3}
_SPECIAL = {"LinearClassifier", "LinearRegressor", "Normalizer", "OneHotEncoder", "Scaler"}
"""Operators of ONNX's own extension for classical models that plain ones can replace: any runtime knows those."""


class Exported(NamedTuple):
    """A verified file, and what it takes and gives."""

    path: Path
    inputs: dict[str, Array]
    """The given data as the file takes it: input name → [items, columns]."""
    classes: tuple[Any, ...]
    """In the order of the output's columns; empty for a regressor."""
    told: tuple[str, ...]


def export_estimator(estimator: Any, data: Any, path: str | Path) -> Exported:
    """Write the fitted `estimator` as ONNX to `path`, verified on `data` (a table, or a matrix [items, columns]).

    The file must answer all but one in a hundred items as the estimator does, within 1e-3 of the largest magnitude (or
    of 1), and with the class that `predict` gives; all at once and one alone. Raises ModelError for an estimator that
    is not fitted, neither classifier nor regressor, or cannot be converted with its answers kept; DataError for data
    that does not fit it.
    """
    estimator = _fitted(estimator)
    source = prepared(estimator, data)
    with quiet():
        model = _converted(source.estimator, source.inputs)
    # skl2onnx makes its own names of columns that are called otherwise than ONNX allows, but keeps their order.
    inputs = dict(zip((each.name for each in model.graph.input), source.inputs.values(), strict=True))
    model = _with_one_output(model, estimator)
    some = {name: values[:ITEMS] for name, values in inputs.items()}
    _verify(model, estimator, data[:ITEMS], some)
    target = Path(path).expanduser().absolute()
    unfinished = target.with_suffix(".unfinished")
    unfinished.write_bytes(model.SerializeToString())
    unfinished.replace(target)
    kept = {each.name: inputs[each.name] for each in model.graph.input}
    return Exported(target, kept, tuple(getattr(estimator, "classes_", ())), source.told)


def _fitted(estimator: Any) -> Any:
    from sklearn.base import is_classifier, is_regressor
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if not (is_classifier(estimator) or is_regressor(estimator)):
        raise ModelError(
            f"{type(estimator).__name__} is neither a classifier nor a regressor: there is nothing to judge",
            "give the whole pipeline, with the estimator that predicts at its end",
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise ModelError(f"the {type(estimator).__name__} is not fitted", "call fit first") from error
    return getattr(estimator, "best_estimator_", estimator)


def _converted(estimator: Any, inputs: Mapping[str, Array]) -> Any:
    """The ONNX model as skl2onnx makes it; of plain operators where that is possible."""
    with contextlib.suppress(Exception):  # whatever it is, the second attempt tells
        return _by_skl2onnx(estimator, inputs, _SPECIAL)
    try:
        return _by_skl2onnx(estimator, inputs, None)
    except Exception as error:  # converters raise whatever their many layers raise
        raise _unconverted(estimator, error) from error


def _by_skl2onnx(estimator: Any, inputs: Mapping[str, Array], instead: set[str] | None) -> Any:
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    kinds = {"f": FloatTensorType, "i": Int64TensorType}
    types = [(name, kinds[values.dtype.kind]([None, values.shape[1]])) for name, values in inputs.items()]
    with _numbers_for_booleans():
        return skl2onnx.convert_sklearn(estimator, initial_types=types, target_opset=_OPSETS, black_op=instead)


@contextlib.contextmanager
def _numbers_for_booleans() -> Iterator[None]:
    """skl2onnx 1.20 gives booleans (of histogram gradient boosting) where onnx has come to insist on numbers."""
    from skl2onnx.common import _container

    make_node = _container.make_node

    def with_numbers(*names: Any, **attributes: Any) -> Any:
        return make_node(*names, **{name: _numbers(value) for name, value in attributes.items()})

    _container.make_node = with_numbers
    try:
        yield
    finally:
        _container.make_node = make_node


def _numbers(value: Any) -> Any:
    if isinstance(value, list | np.ndarray) and any(isinstance(each, bool | np.bool_) for each in value):
        return [int(each) for each in value]
    return value


def _with_one_output(model: Any, estimator: Any) -> Any:
    """Only what is judged goes out; inputs that nothing reads are left out."""
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

    outputs = [output.name for output in model.graph.output]
    if len(outputs) > 2 or isinstance(getattr(estimator, "classes_", ()), list):
        raise ModelError(f"{type(estimator).__name__} gives {len(outputs)} outputs", "weigh one target at a time")
    chosen = select_model_inputs_outputs(model, outputs=outputs[-1:]) if len(outputs) > 1 else model
    _without_maps(chosen)
    read = {name for node in chosen.graph.node for name in node.input}
    for unread in [each for each in chosen.graph.input if each.name not in read]:
        chosen.graph.input.remove(unread)
    return chosen


def _without_maps(model: Any) -> None:
    """The probabilities themselves, not a dictionary per item made of them."""
    last = model.graph.node[-1]
    if last.op_type == "ZipMap":
        from onnx import TensorProto, helper

        name = last.input[0]
        model.graph.node.remove(last)
        del model.graph.output[:]
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]))


def _unconverted(estimator: Any, error: Exception) -> ModelError:
    named = re.search(r"type '?<class '([\w.]+)'>", str(error))
    what = named[1].rpartition(".")[2] if named else type(estimator).__name__
    return ModelError(
        f"{what} cannot be converted to ONNX: {type(error).__name__}: {' '.join(str(error).split())[:200]}",
        "https://onnx.ai/sklearn-onnx/supported.html lists what can; put another estimator in its place",
    )


def _verify(model: Any, estimator: Any, data: Any, inputs: Mapping[str, Array]) -> None:
    """Raises ModelError unless ONNX Runtime answers as the estimator: all items at once, and the first alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    taken = {each.name for each in session.get_inputs()}
    with quiet():
        expected, classes = _expected(estimator, data)
    for count in {len(next(iter(inputs.values()))), 1}:
        got = session.run(None, {name: values[:count] for name, values in inputs.items() if name in taken})[0]
        where = f"with {count} items at once"
        if classes is not None:
            _compare_classes(got, classes[:count], where)
        if expected is not None:
            _compare_values(got, expected[:count], where)


def _expected(estimator: Any, data: Any) -> tuple[Array | None, Array | None]:
    """What the estimator answers, [items, columns] or [items], and the places of the predicted classes.

    Scores have no scale of their own: without probabilities the classes are all that can be compared.
    """
    predicted = np.asarray(estimator.predict(data))
    if not hasattr(estimator, "classes_"):
        return predicted, None
    values = np.asarray(estimator.predict_proba(data)) if hasattr(estimator, "predict_proba") else None
    return values, np.searchsorted(estimator.classes_, predicted)


def _compare_classes(got: Array, classes: Array, where: str) -> None:
    if got.ndim != 2 or got.shape[1] < 2:
        raise ModelError(f"expected one column per class, the converted model gives {list(got.shape)}")
    _require_few(got.argmax(axis=1) != classes, f"{where}, the largest output is another class than predict's")


def _compare_values(got: Array, expected: Array, where: str) -> None:
    rows = got.reshape(len(expected), -1).astype(np.float64), expected.reshape(len(expected), -1)
    if rows[0].shape != rows[1].shape:
        raise ModelError(f"{where}, the converted model gives {list(got.shape)}, expected {list(expected.shape)}")
    allowed = _TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0)))
    _require_few(~(np.abs(rows[0] - rows[1]) <= allowed).all(axis=1), f"{where}, the answers differ")


def _require_few(wrong: Any, what: str) -> None:
    if np.mean(wrong) > _STRAY:
        raise ModelError(
            f"the converted model does not answer as the estimator: {what} in {np.mean(wrong):.1%} of the items",
            "large or finely graded numbers do not fit into 32 bits: scale them before fitting",
        )
