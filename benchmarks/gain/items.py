"""The items that judged a weighing, and requests made of them, for `bench_gain.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from steelyard.data.sequences import read_items
from steelyard.load import bodies
from steelyard.load.model import Model, Tensor
from steelyard.load.target import Target
from steelyard.records.base import from_json
from steelyard.records.data import Prepared
from steelyard.serve.datatypes import datatype_of


def prepared_in(folder: Path) -> Prepared:
    """The data as the weighing in `folder` prepared it."""
    file = next(folder.glob(".steelyard/data/*/prepared.json"))
    return msgspec.structs.replace(from_json(file.read_bytes(), Prepared), folder=str(file.parent))


def judging(prepared: Prepared, items: int) -> dict[str, Any]:
    """The first items that judged, per model input; ragged where they differ in length."""
    items = min(items, prepared.items_select + prepared.items_confirm)
    return {name: read_items(Path(prepared.folder), array, 0, items) for name, array in prepared.judging.items()}


def some_items(prepared: Prepared, items: int) -> list[dict[str, Any]]:
    """The first items that judged: per model input what one item has, each as long as it is."""
    arrays = judging(prepared, items)
    count = min(len(array) for array in arrays.values())
    return [{name: np.ascontiguousarray(array[i]) for name, array in arrays.items()} for i in range(count)]


def told_inputs(prepared: Prepared, item: dict[str, Any]) -> dict[str, Any]:
    """What the servers must know of the inputs, see `gain/bodies.py`."""
    inputs = [
        {"name": n, "dtype": a.dtype.name, "shape": [None, *a.shape[1:]] if prepared.judging[n].lengths else a.shape}
        for n, a in item.items()
    ]
    return {"inputs": inputs}


def filled_up(array: Any, fill: float) -> Any:
    """Items of different length as one array, for who knows no lengths."""
    if array.dtype != object:
        return array
    longest = max(len(item) for item in array)
    whole = np.full((len(array), longest, *array[0].shape[1:]), fill, array[0].dtype)
    for place, item in enumerate(array):
        whole[place, : len(item)] = item
    return whole


def binary_requests(items: Sequence[dict[str, Any]], called: str) -> list[bytes]:
    """One item each, as binary tensors of the Open Inference Protocol; `called` is the model's name there."""
    arrays = [{name: array[np.newaxis] for name, array in one.items()} for one in items]
    tensors = (Tensor(name, datatype_of(array.dtype), array.shape) for name, array in arrays[0].items())
    model, target = Model(called, tuple(tensors)), Target("localhost", 0)
    return [bodies.request(target, model, one, bodies.Form()) for one in arrays]
