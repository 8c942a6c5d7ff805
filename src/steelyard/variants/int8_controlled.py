"""8 bits by NNCF, giving operators back to float until it agrees with the original on the calibration items.

https://docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/quantizing-models-post-training/quantizing-with-accuracy-control.html
Calibration items carry no labels, so it is held against the original's answers: which class it gives the highest score,
or, where there are no classes, how far its outputs are from the original's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.errors import CandidateFailure
from steelyard.records.engine import Array
from steelyard.variants.calibration import Batches
from steelyard.variants.int8_nncf import NOTHING, batch_of, quantisers, transformer
from steelyard.variants.openvino_ir import nncf, openvino, read, write

MOST_LOST = 0.005
"""Share of the answers that may differ from the original's."""
_MOST_ITEMS = 64
"""Answered anew for each group of operators that is given back."""
_RANKED_BY = 32
"""Items on which groups are ranked: those on which the answers differ most."""
_MOST_TRIED = 8
"""Groups given back at most: beyond that hardly any speed is left, and time runs."""


def make(source: Path, into: Path, calibration: Mapping[str, Array]) -> Path:
    """The model at `source` (ONNX or IR) in 8 bits as far as it keeps the original's answers.

    Raises CandidateFailure when plain 8 bits keep them: it would be what int8-nncf is.
    """
    model = read(source)
    batches = Batches(calibration, batch_of(model))
    asked = range(len(batches))[:: -(-len(batches) // _MOST_ITEMS)]
    found: list[float] = []
    kind = nncf.ModelType.TRANSFORMER if transformer(model) else None
    controlled = nncf.quantize_with_accuracy_control(
        model,
        nncf.Dataset(range(len(batches)), batches.__getitem__),
        nncf.Dataset(asked, batches.__getitem__),
        _agreement(model, batches, asked, found),
        max_drop=MOST_LOST,
        subset_size=len(batches),
        model_type=kind,
        advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
            max_num_iterations=_MOST_TRIED, ranking_subset_size=_RANKED_BY
        ),
    )
    if not quantisers(controlled):
        kept = min(found) >= 1 - MOST_LOST
        raise CandidateFailure("build", NOTHING if kept else "8 bits keep the answers nowhere: all would be in float")
    if min(found) >= 1 - MOST_LOST:
        raise CandidateFailure("build", "plain 8 bits keep the answers to the calibration items: it is int8-nncf")
    return write(controlled, into)


def _agreement(
    model: Any, batches: Batches, asked: Iterable[int], found: list[float]
) -> Callable[[Any, Iterable[int]], tuple[float, list[float]]]:
    """NNCF's validation function: how much of the original's answers a model keeps, on the whole and item by item.

    Adds to `found` what was found on all items: of the original, of plain 8 bits, and of each step after them.
    """
    original = openvino.Core().compile_model(model, "CPU")
    expected = {at: _first(original, batches[at]) for at in asked}

    def validate(other: Any, places: Iterable[int]) -> tuple[float, list[float]]:
        kept = [_kept(expected[at], _first(other, batches[at])) for at in places]
        if len(kept) == len(expected):
            found.append(float(np.mean(kept)))
        return float(np.mean(kept)), kept

    return validate


def _first(compiled: Any, batch: Mapping[str, Array]) -> Array:
    return np.array(next(iter(compiled(dict(batch)).values())))


def _kept(expected: Array, got: Array) -> float:
    if not np.isfinite(got).all():
        return 0.0
    if expected.ndim == 2 and expected.shape[1] > 1:
        return float(np.mean(expected.argmax(axis=1) == got.argmax(axis=1)))
    return float(max(0.0, 1 - np.mean((expected - got) ** 2) / max(float(expected.var()), 1e-12)))
