"""Which layers cost the most quality per millisecond that 8 bits save in them.

One layer at a time is computed in 8 bits and all others in float, on a few calibration items: how far the outputs then
move from the original's is the layer's cost, and what a profile of the float model and of the 8-bit model says of it is
its gain. Costs of single layers add up well as long as they are small, so layers are ranked once and returned to float
in that order; whether a step of the ladder is enough is not judged here but by the race, on items that judge.

After Z. Dong et al., "HAWQ-V2: Hessian aware trace-weighted quantization of neural networks", NeurIPS 2020, which ranks
by the curvature of the loss instead, for which labels and gradients are needed; ranking by the outputs with one layer
quantised is due to H. Wu et al., arXiv:2004.09602, section 5.2, and per unit of gain to the knapsack view of Z. Yao et
al., "HAWQ-V3", ICML 2021.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from steelyard.errors import CandidateFailure
from steelyard.records.base import Record, from_json, to_json
from steelyard.records.engine import Array
from steelyard.variants.calibration import as_one

FILE = "layers.json"
ITEMS = 16
"""Answered with each layer in 8 bits."""
MOST = 64
"""Deeper networks are studied in as many runs of neighbouring layers."""
_PROFILED = 10
_PROFILED_S = 2.0
_PROFILED_MOST = 200
_NO_GAIN = 0.005
"""A layer that 8 bits make hardly quicker counts as saving this share of the whole time: it may go first, but a cost of
nothing never outweighs a real one."""


class Layer(Record):
    """One layer, or one run of neighbouring layers in a deep network, and what 8 bits do to it."""

    names: tuple[str, ...]
    divergence: float
    """Of the outputs from the original's, with this one in 8 bits and all others in float."""
    float_ms: float
    int8_ms: float
    by_inputs: bool = False
    """Whether rounding what it reads, rather than its weights, costs most of it: then that has to stay in float too."""


def some(calibration: Mapping[str, Array], batch: int) -> list[dict[str, Array]]:
    """`ITEMS` items spread over all, in batches that the model takes."""
    items = min(len(values) for values in calibration.values())
    wanted = max(ITEMS, batch) // batch * batch
    chosen = np.linspace(0, items - 1, wanted).round().astype(np.int64)
    return [
        {name: as_one(values[chosen[at : at + batch]]) for name, values in calibration.items()}
        for at in range(0, wanted, batch)
    ]


def profiled() -> Iterator[int]:
    """As often as a model is run for its profile, in which the quickest run counts, layer by layer: for a while."""
    start = time.monotonic()
    for run in range(_PROFILED_MOST):
        if run >= _PROFILED and time.monotonic() - start > _PROFILED_S:
            return
        yield run


def divergence(expected: Sequence[Array], got: Sequence[Array]) -> float:
    """How far outputs are from the expected ones, the sum over all outputs; infinite when they are not finite.

    Scores [items, classes]: the mean Kullback-Leibler divergence of their softmax (of themselves where they are
    probabilities already). Anything else: the squared error as a share of the expected outputs' own variance.
    """
    return math.fsum(_divergence(one, other) for one, other in zip(expected, got, strict=True))


def _divergence(expected: Array, got: Array) -> float:
    if not np.isfinite(got).all():
        return math.inf
    one, other = expected.astype(np.float64), got.astype(np.float64)
    if one.ndim != 2 or one.shape[1] < 2:
        return float(np.mean((one - other) ** 2) / max(float(one.var()), 1e-12))
    p, q = _probabilities(one, like=one), _probabilities(other, like=one)
    return float(np.mean(np.sum(p * np.log(np.maximum(p, 1e-12) / np.maximum(q, 1e-12)), axis=1)))


def _probabilities(scores: Array, like: Array) -> Array:
    if (like >= 0).all() and np.allclose(like.sum(axis=1), 1, atol=1e-3):
        clipped = np.maximum(scores, 0)
        return np.asarray(clipped / np.maximum(clipped.sum(axis=1, keepdims=True), 1e-12))
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def study(
    names: Sequence[str],
    answers: Callable[[Sequence[str]], Sequence[Array]],
    float_ms: Callable[[str], float],
    int8_ms: Callable[[str], float],
) -> list[Layer]:
    """What 8 bits do to each of the layers of these names, ranked.

    `answers` gives all outputs with only the named layers in 8 bits; it is called from several threads at once.
    """
    expected = answers(())

    def studied(run: tuple[str, ...]) -> Layer:
        return Layer(
            names=run,
            divergence=divergence(expected, answers(run)),
            float_ms=round(math.fsum(map(float_ms, run)), 4),
            int8_ms=round(math.fsum(map(int8_ms, run)), 4),
        )

    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
        return ranked(list(pool.map(studied, runs(names))))


def runs(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Each layer by itself, or runs of neighbours where there are more than `MOST`."""
    size = math.ceil(len(names) / MOST)
    return [tuple(names[at : at + size]) for at in range(0, len(names), size)]


def keep(layers: Sequence[Layer], folder: Path) -> None:
    """Writes ranked layers beside the model."""
    (folder / FILE).write_bytes(to_json(list(layers), indent=1))


def ranked(layers: Sequence[Layer]) -> list[Layer]:
    """The layers, those first that cost the most per millisecond saved.

    Times are coarse (powers of two): they differ a little from one profile to the next, and the order should not.
    """
    least = _NO_GAIN * math.fsum(layer.float_ms for layer in layers) or 1.0
    return sorted(layers, key=lambda layer: -layer.divergence / _coarse(max(layer.float_ms - layer.int8_ms, least)))


def _coarse(ms: float) -> float:
    return float(2 ** round(math.log2(ms)))


def costliest(folder: Path, count: int) -> list[Layer]:
    """The first `count` layers as `keep` wrote them.

    Raises CandidateFailure when there are no more than that: nothing would be left in 8 bits.
    """
    layers = from_json((folder / FILE).read_bytes(), list[Layer])
    if len(layers) <= count:
        raise CandidateFailure("build", f"with {count} layers in float nothing is left in 8 bits: it has {len(layers)}")
    return layers[:count]


def names_of(layers: Iterable[Layer]) -> list[str]:
    """The names of all operators in these layers."""
    return [name for layer in layers for name in layer.names]
