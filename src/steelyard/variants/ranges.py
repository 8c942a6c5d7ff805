"""In which range the values of each tensor lie, seen on calibration items: whole, or with rare extremes cut off.

A narrower range has finer steps for the bulk of the values, and clips the extremes. How much to clip is decided by a
percentile, or such that the distribution loses the least information: S. Migacz, "8-bit inference with TensorRT", GTC
2017; both are compared in H. Wu et al., "Integer quantization for deep learning inference", arXiv:2004.09602, 2020.
ONNX Runtime has both as well, but holds all values of all items in memory for them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, create_calibrator

from steelyard.records.engine import Array
from steelyard.variants.onnx_quantising import watched
from steelyard.variants.qdq import Ranges

Method = Literal["minmax", "percentile", "entropy"]

KEPT = 0.9999
"""Of the values, what a percentile keeps."""
_BINS = 2048
_LEVELS = 256
_SAMPLED = 4096
"""Values looked at of one tensor and batch."""
_NARROWEST = 0.05
_STEPS = 96


def ranges(
    prepared: Path, batches: Iterable[Mapping[str, Array]], operators: list[str], method: Method = "minmax"
) -> Ranges:
    """The ranges of all tensors around the operators of these types, by name."""
    whole = _whole(prepared, batches, operators)
    if method == "minmax" or not whole:
        return whole
    cut = {"percentile": percentile, "entropy": entropy}[method]
    counts = _counted(prepared, batches, whole)
    return {name: _cut(cut, counts[name], *span) if span[1] > span[0] else span for name, span in whole.items()}


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands out one batch after the other, as ONNX Runtime asks for them."""

    def __init__(self, batches: Iterable[Mapping[str, Array]]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> Mapping[str, Array] | None:
        return next(self._batches, None)


def _whole(prepared: Path, batches: Iterable[Mapping[str, Array]], operators: list[str]) -> Ranges:
    with tempfile.TemporaryDirectory(dir=prepared.parent) as folder:
        calibrator = create_calibrator(prepared, operators, str(Path(folder) / "watched.onnx"))
        calibrator.collect_data(_Reader(batches))
        seen = calibrator.compute_data()
    return {name: _span(*seen[name].range_value) for name in sorted(seen.keys())}


def _span(lowest: Array, highest: Array) -> tuple[float, float]:
    return float(np.min(lowest)), float(np.max(highest))


def _counted(prepared: Path, batches: Iterable[Mapping[str, Array]], whole: Ranges) -> dict[str, Array]:
    """How often values fall into each of `_BINS` equal parts of their range, see `count`."""
    spread = {name: span for name, span in whole.items() if span[1] > span[0]}
    counts = {name: np.zeros(_BINS + 2, np.int64) for name in spread}
    session = watched(onnx.load(str(prepared)), list(spread))
    for batch in batches:
        for name, values in zip(spread, session.run(list(spread), batch), strict=True):
            # An odd step falls on all channels in turn.
            counts[name] += count(values.ravel()[:: max(1, values.size // _SAMPLED) | 1], *spread[name])
    return counts


def count(values: Array, lowest: float, highest: float) -> Array:
    """int64 [_BINS + 2]: values at the lowest one, in each equal part of the range, and at the highest one.

    Zeros are left out. Zero and both ends are levels of their own in 8 bits, however often they occur: after a ReLU
    half of all values are zero, and after one that is capped many lie at the cap.
    """
    some = values[values != 0].astype(np.float64)
    part = np.floor((some - lowest) * (_BINS / (highest - lowest))).clip(0, _BINS - 1).astype(np.int64) + 1
    part[some <= lowest] = 0
    part[some >= highest] = _BINS + 1
    return np.bincount(part, minlength=_BINS + 2)


def _cut(
    cut: Callable[[Array, int], tuple[int, int]], counts: Array, lowest: float, highest: float
) -> tuple[float, float]:
    width = (highest - lowest) / _BINS
    zero = int(np.clip(round(-lowest / width), 0, _BINS))
    first, last = cut(counts, zero) if counts.any() else (0, _BINS)
    return lowest + first * width, lowest + last * width


def percentile(counts: Array, zero: int) -> tuple[int, int]:
    """First and last (exclusive) of the parts that hold the share `KEPT`, half of the rest cut off on either side.

    `zero` is the part where positive values begin; it is always among them.
    """
    below = np.cumsum(counts) / counts.sum()
    tail = (1 - KEPT) / 2
    first = int(np.searchsorted(below, tail)) - 1
    last = int(np.searchsorted(below, 1 - tail))
    return min(max(first, 0), zero), max(min(last, _BINS), zero)


def entropy(counts: Array, zero: int) -> tuple[int, int]:
    """First and last (exclusive) of the parts that are kept so that 256 levels tell the most.

    What lies further from `zero` than a threshold is cut off, on whichever side it lies.
    """
    furthest = max(zero, _BINS - zero)
    thresholds = (round(furthest * share) for share in np.linspace(1.0, _NARROWEST, _STEPS))
    spans = dict.fromkeys((max(zero - each, 0), min(zero + each, _BINS)) for each in thresholds)
    return min(spans, key=lambda span: _lost(counts, *span))


def _lost(counts: Array, first: int, last: int) -> float:
    """Kullback-Leibler divergence from the values, the clipped ones counted at the edges, to what 256 levels keep."""
    inside = counts[1:-1][first:last].astype(np.float64)
    if len(inside) < _LEVELS or not inside.any():
        return float("inf")
    clipped = inside.copy()
    clipped[0] += counts[: first + 1].sum() if first else 0
    clipped[-1] += counts[last + 1 :].sum() if last < _BINS else 0
    level = np.arange(len(inside)) * _LEVELS // len(inside)
    filled = clipped > 0
    in_level = np.bincount(level, inside, _LEVELS) / np.maximum(np.bincount(level, filled, _LEVELS), 1)
    kept = np.where(filled, in_level[level], 0)
    p, q = clipped[filled] / clipped.sum(), kept[filled] / kept.sum()
    return float(np.sum(p * np.log(p / np.maximum(q, 1e-9))))
