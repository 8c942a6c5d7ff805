"""A user's own function as the source of data: `package.module:function`, called without arguments."""

from __future__ import annotations

import site
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.data.items import Array
from steelyard.errors import DataError
from steelyard.records.dotted import NoFunction, users_function
from steelyard.records.model import TensorInfo

_EXPECTED = "return inputs, or (inputs, labels): inputs a numpy array or a dict of them, labels a numpy array"


def load(source: str, inputs: tuple[TensorInfo, ...]) -> tuple[dict[str, Array], Array | None]:
    """Arrays by name and labels from the user's function.

    Raises DataError when the module is not found, when the user's code raises (with its own message and line), or
    when something else comes back.
    """
    returned = _call(_find(source), source)
    found, labels = returned if isinstance(returned, tuple) and len(returned) == 2 else (returned, None)
    return _arrays(found, source, inputs), None if labels is None else _labels(labels, source)


def _find(source: str) -> Callable[[], object]:
    try:
        return users_function(source)
    except NoFunction as error:
        raise DataError(error.message, error.hint) from None
    except (Exception, SystemExit) as error:
        raise _users_fault(error, source) from None


def _call(function: Callable[[], object], source: str) -> object:
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise _users_fault(error, source) from None


def _users_fault(error: BaseException, source: str) -> DataError:
    """The exception of the user's code, with the last line that is theirs."""
    message = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    return DataError(f"{source} raised {message}{_last_line(error)}", "this is an error in your own code or its data")


def _last_line(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    if not frames:
        return ""
    return f" ({frames[-1].filename}, line {frames[-1].lineno}: {frames[-1].line})"


def _is_users(file: str) -> bool:
    others = [sysconfig.get_path("stdlib"), *site.getsitepackages(), str(Path(__file__).parents[1])]
    return not file.startswith("<") and not any(Path(file).is_relative_to(folder) for folder in others)


def _arrays(found: object, source: str, inputs: tuple[TensorInfo, ...]) -> dict[str, Array]:
    if isinstance(found, np.ndarray):
        if len(inputs) > 1:
            raise DataError(
                f"{source} returned one array, the model takes {len(inputs)} inputs",
                f"return a dict with the arrays {', '.join(info.name for info in inputs)}",
            )
        return {inputs[0].name: _numbers(found, source)}
    if isinstance(found, Mapping) and found and all(isinstance(value, np.ndarray) for value in found.values()):
        return {str(name): _numbers(value, source) for name, value in found.items()}
    raise DataError(f"{source} returned {_told(found)}", f"{_EXPECTED}{_how_to_turn(found)}")


def _numbers(values: Array, source: str) -> Array:
    if values.dtype.hasobject:
        raise DataError(f"{source} returned an array of Python objects", "return numbers: np.stack(...) the items")
    return values


def _labels(found: object, source: str) -> Array:
    if isinstance(found, (list, tuple)):
        found = np.array(found)
    if not isinstance(found, np.ndarray):
        raise DataError(f"{source} returned {_told(found)} for the labels", f"{_EXPECTED}{_how_to_turn(found)}")
    return _numbers(found, source)


def _told(found: object) -> str:
    if isinstance(found, tuple):
        return f"a tuple of {len(found)} ({', '.join(type(part).__name__ for part in found[:5])})"
    if isinstance(found, Mapping):
        parts = ", ".join(f"{name}: {type(value).__name__}" for name, value in list(found.items())[:5])
        return f"a dict of {{{parts}}}"
    return "None" if found is None else f"a {type(found).__module__}.{type(found).__qualname__}"


def _how_to_turn(found: Any) -> str:
    """Tensors of other libraries are not turned silently: they may lie on a device, or track gradients."""
    values = list(found.values()) if isinstance(found, Mapping) else [found]
    if any(hasattr(value, "detach") for value in values):
        return "; of a torch tensor, return x.detach().cpu().numpy()"
    return ""
