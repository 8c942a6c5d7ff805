"""What is given from Python, written down as files that child processes read: models as objects, data as arrays."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from steelyard.data.examples import Example, Takes, examples
from steelyard.data.match import LABEL_NAMES
from steelyard.errors import DataError, ModelError
from steelyard.loop import order
from steelyard.records.base import digest
from steelyard.records.engine import Array


class Given(NamedTuple):
    """A weighing as the command line could order it."""

    model: str
    data: str
    words: dict[str, Any]
    """Settings that follow from the model itself."""
    told: tuple[str, ...] = ()


def written_down(model: Any, data: Any, words: Mapping[str, Any], work: Path) -> Given:
    """The paths of model and data in the folder `work`; objects are exported and verified first.

    Raises ModelError for an object that cannot be exported with its answers kept, DataError for data that is none or
    does not fit it.
    """
    kinds = type(model).__mro__
    if _named(kinds, "sklearn.base.BaseEstimator"):
        return _estimator(model, data, words, work)
    source = data_source(data, work)
    place = _place(type(model).__name__, work)
    return Given(_file_of(model, source, words, place), source, _variants(words, source, work))


def _variants(words: Mapping[str, Any], source: str, work: Path) -> dict[str, Any]:
    """The models that are given as variants, by name; objects are exported with the same items of the data."""
    said = words.get("variants", {})
    if not isinstance(said, Mapping):
        return {}
    files = {name: _file_of(one, source, words, _place(f"variant-{name}", work)) for name, one in said.items()}
    return {"variants": files} if files else {}


def _file_of(model: Any, source: str, words: Mapping[str, Any], place: Path) -> str:
    """The file of a model, which is exported to `place` if it is an object."""
    kinds = type(model).__mro__
    if any(kind.__module__.startswith("keras.src.") and kind.__name__ == "Model" for kind in kinds):
        return str(_network(model, source, words, place, _by_keras))
    if _named(kinds, "torch.nn.modules.module.Module"):
        return str(_network(model, source, words, place, _by_torch))
    if isinstance(model, str | Path):
        return str(model)
    raise ModelError(
        f"expected a model's file or object, got {type(model).__name__}",
        "give an .onnx or .xml file, a torch module, a Keras 3 model, or a scikit-learn estimator",
    )


def _named(kinds: Sequence[type], dotted: str) -> bool:
    """Whether one of these classes is called so, told without importing it."""
    return any(f"{kind.__module__}.{kind.__name__}" == dotted for kind in kinds)


# --- data -----------------------------------------------------------------------------------------------------------


def data_source(data: Any, work: Path) -> str:
    """What `--data` would be; arrays and tables are written into `work` first."""
    if isinstance(data, str | Path):
        return str(data)
    if isinstance(data, Mapping):
        return _written({str(name): np.asarray(array) for name, array in data.items()}, work)
    if _is_table(data):
        return _written_table(data, work)
    if isinstance(data, Sequence) and len(data) == 2:
        return _written({"x": np.asarray(data[0]), "labels": np.asarray(data[1])}, work)
    if callable(data) and "<" not in data.__qualname__:
        return f"{data.__module__}:{data.__qualname__}"
    raise DataError(
        f"data is a path, a table, arrays (inputs, labels), a mapping of arrays, or a function; got "
        f"{type(data).__name__}",
        "a lambda or a nested function cannot be found by a child process: define it in a module",
    )


def _is_table(data: Any) -> bool:
    """A DataFrame of pandas or polars."""
    return hasattr(data, "columns") and (hasattr(data, "to_csv") or hasattr(data, "write_csv"))


def _written_table(data: Any, work: Path) -> str:
    """A DataFrame as a .csv in the work folder, named by its contents."""
    text: str = data.to_csv(index=False) if hasattr(data, "to_csv") else data.write_csv()
    raw = text.encode()
    return _kept(work, f"{digest(hashlib.sha256(raw).hexdigest())}.csv", lambda file: file.write_bytes(raw))


def _written(arrays: dict[str, Array], work: Path) -> str:
    """Arrays as a .npz in the work folder, named by their contents."""
    if any(array.dtype == object for array in arrays.values()):
        raise DataError("an array holds Python objects", "give numbers, or labels as text")
    key = digest(*((n, a.shape, str(a.dtype), _contents(a)) for n, a in arrays.items()))
    return _kept(work, f"{key}.npz", lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]


def _kept(work: Path, name: str, write: Callable[[Path], object]) -> str:
    """The file of this name in the work folder; written, whole or not at all, unless it is there."""
    place = work / "given" / name
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_stem(f"{place.stem}.unfinished")
        write(unfinished)
        unfinished.replace(place)
    return str(place)


def _contents(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"").hexdigest()


# --- networks -------------------------------------------------------------------------------------------------------


def _network(
    model: Any, source: str, words: Mapping[str, Any], place: Path, export: Callable[[Any, list[Example], Path], Path]
) -> Path:
    """The network as ONNX at `place`, verified against its own answers to some of the data."""
    if not source.endswith(".npz"):
        raise ModelError(
            f"a {type(model).__name__} object can only be weighed on arrays: its inputs must be known to export it",
            "give data=(inputs, labels) or a mapping of arrays, or export it yourself and give the .onnx file",
        )
    aside: set[Any] = {*LABEL_NAMES, words.get("labels"), words.get("calibration")}
    inputs, preprocess = order.pairs(words.get("inputs", {})), order.preprocess(words)
    with np.load(source, allow_pickle=False) as arrays:
        found = examples(arrays, aside, _takes(model), inputs, preprocess)
    place.parent.mkdir(parents=True, exist_ok=True)
    return export(model, found, place)


def _takes(model: Any) -> Takes:
    """The arguments of a torch module's `forward`, the inputs of a Keras model; none when they are not told."""
    known = [str(tensor.name) for tensor in getattr(model, "inputs", None) or []]
    if known:
        nameless = known[0].startswith("keras_tensor")
        return Takes(tuple(known) if not nameless else ("input",) if len(known) == 1 else ())
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    arguments = [a for a in inspect.signature(model.forward).parameters.values() if a.kind in kinds]
    needed = [argument.default is inspect.Parameter.empty for argument in arguments]
    names = [argument.name for argument in arguments]
    return Takes(
        tuple(name for name, need in zip(names, needed, strict=True) if need),
        tuple(name for name, need in zip(names, needed, strict=True) if not need),
    )


def _place(name: str, work: Path) -> Path:
    return work / "exported" / f"{name}.onnx"


def _by_torch(model: Any, found: list[Example], place: Path) -> Path:
    import torch

    from steelyard.models.torch_module import export_module

    tensors = [torch.from_numpy(example.values) for example in found]
    grows = {example.name: {1: "length"} for example in found if example.grows}
    names = [example.name for example in found]
    return export_module(model, tensors, place, input_names=names, dynamic_shapes=grows)


def _by_keras(model: Any, found: list[Example], place: Path) -> Path:
    from steelyard.models.keras_model import export_keras

    return export_keras(model, {example.name: example.values for example in found}, place)


# --- scikit-learn ---------------------------------------------------------------------------------------------------


def _estimator(model: Any, data: Any, words: Mapping[str, Any], work: Path) -> Given:
    """A fitted estimator as ONNX, its data as the file takes it, and labels as class numbers."""
    try:
        from steelyard.models.sklearn_estimator import export_estimator
    except ModuleNotFoundError as error:
        raise ModelError("a scikit-learn object needs skl2onnx", "pip install 'steelyard[sklearn]'") from error
    table, labels = _apart(data() if callable(data) else data, words.get("labels"))
    place = _place(type(model).__name__, work)
    place.parent.mkdir(parents=True, exist_ok=True)
    exported = export_estimator(model, table, place)
    arrays = dict(exported.inputs)
    if labels is not None:
        arrays["labels"] = _numbered(labels, exported.classes) if exported.classes else np.asarray(labels, np.float64)
    follows: dict[str, Any] = {"labels": "labels"} if labels is not None else {}
    if exported.classes:
        follows["classes"] = [str(each) for each in exported.classes]
    return Given(str(exported.path), _written(arrays, work), follows, exported.told)


def _apart(data: Any, named: str | None) -> tuple[Any, Any]:
    """Inputs and labels: `(inputs, labels)`, or a table (or its file) with a column of labels."""
    if isinstance(data, str | Path):
        data = _read_table(Path(data))
    if _is_table(data) or isinstance(data, Mapping):
        columns = list(data.columns) if _is_table(data) else list(data)
        label = named or next((name for name in LABEL_NAMES if name in columns), None)
        if label is not None and label not in columns:
            raise DataError(f"there is no column '{label}' for the labels", f"the columns are {', '.join(columns)}")
        rest = [name for name in columns if name != label]
        table = data[rest] if _is_table(data) else _together({name: np.asarray(data[name]) for name in rest})
        return table, None if label is None else np.asarray(data[label])
    if isinstance(data, Sequence) and len(data) == 2:
        return data[0], np.asarray(data[1])
    if isinstance(data, np.ndarray):
        return data, None
    raise DataError(
        f"a scikit-learn object is weighed on a table or on arrays, got {type(data).__name__}",
        "give data=(X, y), a DataFrame with labels='COLUMN', or the path of a .csv or .parquet file",
    )


def _together(arrays: dict[str, Array]) -> Any:
    """The one matrix among the arrays, or a table of them as columns."""
    if len(arrays) == 1 and next(iter(arrays.values())).ndim == 2:
        return next(iter(arrays.values()))
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise DataError("columns as arrays need pandas", "pip install pandas, or give data=(X, y)") from error
    return pandas.DataFrame(arrays)


def _read_table(path: Path) -> Any:
    """A .csv or .parquet by whichever of pandas and polars is installed."""
    if not path.is_file():
        raise DataError(f"there is no file {path}", "check the spelling; relative paths count from where you are")
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("csv", "parquet"):
        raise DataError(f"expected a table, .csv or .parquet, got {path.name}", "or give data=(X, y)")
    for package in ("pandas", "polars"):
        try:
            module = __import__(package)
        except ModuleNotFoundError:
            continue
        return getattr(module, f"read_{kind}")(path)
    raise DataError(f"reading {path.name} needs pandas or polars", "pip install pandas, or give data=(X, y)")


def _numbered(labels: Array, classes: Sequence[Any]) -> Array:
    """int64: the place of each label among the estimator's classes."""
    place = {each: number for number, each in enumerate(classes)}
    if unknown := sorted({str(label) for label in labels.tolist() if label not in place}):
        raise DataError(
            f"{len(unknown)} labels are none of the estimator's classes: {', '.join(unknown[:8])}",
            f"its classes are {', '.join(map(str, classes[:8]))}",
        )
    return np.array([place[label] for label in labels.tolist()], np.int64)
