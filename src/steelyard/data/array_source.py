"""Arrays by name become items: each goes into its input of the model, whole or cut to the length of each item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from steelyard.data.arrays import ArrayItems, Shortened, Stored, Table
from steelyard.data.convert import (
    Conversion,
    Stepwise,
    check_channels,
    check_dtype,
    check_meaning,
    has_arithmetic,
    input_dtype,
)
from steelyard.data.items import Labels, Source, Steps
from steelyard.data.labels import labels_of_array
from steelyard.data.match import match_inputs, match_labels, match_lengths, order_of_axes, step_axis
from steelyard.data.rows import Header
from steelyard.data.sequences import Whole
from steelyard.data.wanted import Wanted
from steelyard.errors import DataError
from steelyard.records.data import DataSpec, Preprocess
from steelyard.records.model import TensorInfo

TABLE_WORDS = ("columns", "text", "tokenizer", "max_tokens")


def open_arrays(wanted: Wanted, table: Table, labels: Stored | None, where: str) -> Source:
    """Items from arrays by name; `labels` are those that came without a name, if they did."""
    spec, inputs = wanted.spec, wanted.inputs
    _check_array_settings(spec, inputs)
    labels_name = match_labels(table.headers, spec, inputs) if labels is None else None
    if labels_name is not None:
        labels = table.open(labels_name)
    names = match_inputs(table.headers, spec, inputs, labels_name)
    items, told = _array_items(wanted, table, names, where)
    found = None
    if labels is not None:
        found = labels_of_array(labels, spec, f"the array of labels in {where}", measured=wanted.measured)
    _check_counts(table, names, items.count, found)
    if spec.calibration is None:
        return Source(items, found, None, told)
    calibration, _ = _array_items(wanted, table, {inputs[0].name: _calibration(table, spec)}, where)
    return Source(items, found, calibration, told)


def check_no_table_words(spec: DataSpec) -> None:
    """Raises DataError when something was said that only tables understand."""
    for name in TABLE_WORDS:
        if getattr(spec, name):
            raise DataError(f"`{name}` is about tables (.csv, .jsonl, .parquet); {spec.source} is none", "leave it out")


def _check_array_settings(spec: DataSpec, inputs: Sequence[TensorInfo]) -> None:
    check_no_table_words(spec)
    check_dtype(spec.preprocess, inputs)
    check_no_picture_words(spec, "arrays")
    if spec.calibration is not None and len(inputs) > 1:
        raise DataError(
            f"`calibration` names one array, the model takes {len(inputs)} inputs",
            "leave it out: some of the items are then set aside for calibration",
        )


def check_no_picture_words(spec: DataSpec, what: str) -> None:
    """Raises DataError when something was said that only pictures understand."""
    if spec.preprocess.resize is not None or spec.preprocess.crop is not None:
        raise DataError(f"[preprocess] resize and crop work on pictures, not on {what}", "leave them out")
    if spec.manifest is not None:
        raise DataError(f"`manifest` lists pictures; these are {what}", "leave it out")


def _calibration(table: Table, spec: DataSpec) -> str:
    if spec.calibration not in table.headers:
        raise DataError(f"there is no array {spec.calibration!r} for calibration; there are {', '.join(table.headers)}")
    return str(spec.calibration)


def _array_items(
    wanted: Wanted, table: Table, names: Mapping[str, str], where: str
) -> tuple[ArrayItems, tuple[str, ...]]:
    stored: dict[str, Stored] = {}
    conversions: dict[str, Conversion | Stepwise] = {}
    told = []
    for info in wanted.inputs:
        name = names[info.name]
        what = f"the array {name!r} in {where}"
        lengths = _lengths(table, name, info, what)
        stored[info.name] = table.open(name)
        if lengths is not None:
            axis = step_axis(table.headers[name], info, what)
            stored[info.name] = Shortened(stored[info.name], lengths, axis)
            conversions[info.name] = _stepwise(wanted, stored[info.name].header, info, axis, lengths, what)
            continue
        conversion = _conversion(wanted, table.headers[name], info, what)
        if conversion.axes != tuple(range(len(conversion.axes))):
            told.append(f"channels of {name} were moved: its sizes fit the model's input {info.name!r} only so")
        conversions[info.name] = conversion
    return ArrayItems(stored, conversions), tuple(told)


def _lengths(table: Table, name: str, info: TensorInfo, what: str) -> Whole | None:
    """How long each item of the array is, when the model takes any length and an array tells."""
    found = match_lengths(table.headers, name)
    if found is None or None not in info.shape[1:]:
        return None
    stored = table.open(found)
    lengths = stored.rows(np.arange(stored.header.items, dtype=np.int64)).astype(np.int64)
    axis = step_axis(table.headers[name], info, what)
    most = table.headers[name].shape[axis]
    if len(lengths) != table.headers[name].items or lengths.min(initial=0) < 0 or lengths.max(initial=0) > most:
        raise DataError(
            f"{found!r} has {len(lengths)} lengths from {lengths.min(initial=0)} to {lengths.max(initial=0)}; expected "
            f"one for each of {table.headers[name].items} items, from 0 to {most}, of {what}",
        )
    return lengths


def _stepwise(
    wanted: Wanted, header: Header, info: TensorInfo, axis: int, lengths: Whole, where: str
) -> Conversion | Stepwise:
    rest = tuple(size for place, size in enumerate(header.shape) if place not in (0, axis))
    step = TensorInfo(
        name=info.name,
        dtype=info.dtype,
        shape=(None, *(size for place, size in enumerate(info.shape) if place not in (0, axis))),
    )
    conversion = _conversion(wanted, Header(header.dtype, (len(lengths), *rest)), step, f"one step of {where}")
    return Stepwise(conversion, Steps(axis, float(lengths.mean()) if len(lengths) else 0.0))


def _conversion(wanted: Wanted, header: Header, info: TensorInfo, where: str) -> Conversion:
    if header.dtype.kind not in "fiub" and input_dtype(info).kind != "U":
        raise DataError(f"{where} holds {header.dtype.name}, the model's input {info.name!r} takes numbers")
    axes = order_of_axes(header, info, where)
    check_meaning(header.dtype, info, wanted.spec.preprocess, where)
    return conversion_of(wanted, header, info, axes, where)


def conversion_of(wanted: Wanted, header: Header, info: TensorInfo, axes: tuple[int, ...], where: str) -> Conversion:
    """How the values of `header` become the model's input, with the arithmetic of `[preprocess]`."""
    preprocess: Preprocess = wanted.spec.preprocess
    dtype = input_dtype(info)
    # Among several inputs those of integers are ids or masks: arithmetic on them would make no sense.
    arithmetic = has_arithmetic(preprocess) and dtype.kind != "U" and (len(wanted.inputs) == 1 or dtype.kind == "f")
    channel_axis = 1 if len(axes) == 4 and preprocess.layout == "nchw" else len(axes) - 1
    if arithmetic:
        check_channels(preprocess, header.shape[axes[channel_axis]] if channel_axis else 1, where)
    return Conversion(info.name, dtype, axes, header.shape[1:], channel_axis, preprocess if arithmetic else None)


def _check_counts(table: Table, names: Mapping[str, str], items: int, labels: Labels | None) -> None:
    counts = {name: table.headers[name].items for name in names.values()}
    if labels is not None:
        counts["the labels"] = len(labels.codes)
    if set(counts.values()) != {items}:
        told = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise DataError(f"arrays differ in their number of items ({told})", "the first axis counts items")
