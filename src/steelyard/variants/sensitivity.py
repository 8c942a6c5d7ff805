"""Which layers cost the most quality per millisecond that 8 bits save in them.

One layer at a time is computed in 8 bits and all others in float, on a few calibration items: how far the outputs then
move from the original's is the layer's cost; its gain follows from how much it multiplies and moves. Costs of single
layers add up well as long as they are small, so layers are ranked once and returned to float in that order; whether a
step of the ladder is enough is not judged here but by the race, on items that judge.

After Z. Dong et al., "HAWQ-V2: Hessian aware trace-weighted quantization of neural networks", NeurIPS 2020, which ranks
by the curvature of the loss instead, for which labels and gradients are needed; ranking by the outputs with one layer
quantised is due to H. Wu et al., arXiv:2004.09602, section 5.2, and per unit of gain to the knapsack view of Z. Yao et
al., "HAWQ-V3", ICML 2021.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from steelyard.errors import CandidateFailure
from steelyard.records.base import Record, from_json, to_json
from steelyard.records.engine import Array
from steelyard.records.model import CONVOLUTIONS, PRODUCTS, RECURRENT
from steelyard.variants.calibration import Batches

FILE = "layers.json"
ITEMS = 16
"""Answered with each layer in 8 bits."""
MOST = 64
"""Deeper networks are studied in as many runs of neighbouring layers."""
_MOST_AT_ONCE = 8
"""Layers studied side by side: each takes the memory of a whole model."""
_GMACS = 60.0
"""Billions of single-precision multiplications and additions in a second: one core with AVX-512 at 2 GHz."""
_GBYTES = 12.0
"""Billions of bytes that one core reads or writes in a second."""
_NARROWER = 0.75
"""8 bits are a quarter of 32, to be moved and to be multiplied."""


class Layer(Record):
    """One layer, or one run of neighbouring layers in a deep network, and what 8 bits do to it."""

    names: tuple[str, ...]
    divergence: float
    """Of the outputs from the original's, with this one in 8 bits and all others in float."""
    saved_ms: float
    """What 8 bits save in it for one item, by its size."""
    by_inputs: bool = False
    """Whether rounding what it reads, rather than its weights, costs most of it: then that has to stay in float too."""


def some(calibration: Mapping[str, Array], batch: int) -> list[dict[str, Array]]:
    """`ITEMS` items spread over all, in batches that the model takes."""
    items = min(len(values) for values in calibration.values())
    wanted = max(ITEMS, batch) // batch * batch
    chosen = np.linspace(0, items - 1, wanted).round().astype(np.int64)
    return list(Batches({name: values[chosen] for name, values in calibration.items()}, batch))


def saved_ms(kind: str, reads: Sequence[Sequence[int]], makes: Sequence[int]) -> float:
    """Milliseconds that 8 bits save in an operator of this type, by the shapes of what it reads and makes.

    It takes as long as its multiplications or as moving its tensors, whichever is longer (S. Williams et al.,
    "Roofline", CACM 52, 2009). Clocks are not asked: two profiles of one model differ, the more the busier the machine,
    and a variant has to come out the same whenever it is made.
    """
    moved = 4e-9 * sum(math.prod(shape) for shape in (*reads, makes)) / _GBYTES
    return _NARROWER * 1e3 * max(_multiplied(kind, reads, makes) * 1e-9 / _GMACS, moved)


def _multiplied(kind: str, reads: Sequence[Sequence[int]], makes: Sequence[int]) -> float:
    if kind in CONVOLUTIONS and len(reads) > 1 and len(makes) > 1:
        return math.prod(makes) * math.prod(reads[1]) / max(makes[1], 1)
    if kind in PRODUCTS and reads[0]:
        return math.prod(makes) * reads[0][-1]
    if kind in RECURRENT:  # inputs and states of each step by all weights
        return math.prod(reads[0][:-1]) * sum(math.prod(shape) for shape in reads[1:] if len(shape) > 1)
    return 0.0


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


def study(saved: Mapping[str, float], answers: Callable[[Sequence[str]], Sequence[Array]]) -> list[Layer]:
    """What 8 bits do to each of the layers, ranked; `saved` gives the milliseconds saved in each, by name.

    `answers` gives all outputs with only the named layers in 8 bits; it is called from several threads at once.
    """
    expected = answers(())

    def studied(run: tuple[str, ...]) -> Layer:
        far = divergence(expected, answers(run))
        return Layer(names=run, divergence=far, saved_ms=math.fsum(saved[name] for name in run))

    with ThreadPoolExecutor(_side_by_side()) as pool:
        return ranked(list(pool.map(studied, runs(list(saved)))))


def _side_by_side() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_AT_ONCE)


def runs(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Each layer by itself, or runs of neighbours where there are more than `MOST`."""
    size = math.ceil(len(names) / MOST)
    return [tuple(names[at : at + size]) for at in range(0, len(names), size)]


def keep(layers: Sequence[Layer], folder: Path) -> None:
    """Writes ranked layers beside the model."""
    (folder / FILE).write_bytes(to_json(list(layers), indent=1))


def ranked(layers: Sequence[Layer]) -> list[Layer]:
    """The layers, those first that cost the most per millisecond that returning them to float takes.

    Beside what 8 bits saved in it, a layer in float breaks a chain of operators in 8 bits, and tensors have to be
    converted around it: that is taken for as much as 8 bits save in the average layer.
    """
    converting = math.fsum(layer.saved_ms for layer in layers) / len(layers) or 1.0
    return sorted(layers, key=lambda layer: -layer.divergence / (layer.saved_ms + converting))


def costliest(folder: Path, count: int) -> list[Layer]:
    """The first `count` layers as `keep` wrote them.

    Raises CandidateFailure when there are no more than that: nothing would be left in 8 bits.
    """
    layers = from_json((folder / FILE).read_bytes(), list[Layer])
    if len(layers) <= count:
        raise CandidateFailure("build", f"it has {len(layers)} layers: with {count} in float nothing is left in 8 bits")
    return layers[:count]


def names_of(layers: Iterable[Layer]) -> list[str]:
    """The names of all operators in these layers."""
    return [name for layer in layers for name in layer.names]
