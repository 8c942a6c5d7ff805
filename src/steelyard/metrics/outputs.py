"""Reading a model's outputs: class numbers, scores of classes, or numbers as they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steelyard.errors import CandidateFailure, UsageError
from steelyard.records.engine import Array


def class_answers(outputs: Sequence[Array]) -> Array:
    """Class index per item, int32.

    The first output of shape [items, classes] decides by its largest score. Without one, the first output is one
    number per item: whole numbers are class indices already, others are probabilities of class 1 and count as
    class 1 from 0.5 on (a model that ends in a bare logit needs a sigmoid).
    Raises CandidateFailure("invalid") for NaN or Inf, UsageError when there is no such output.
    """
    scores = class_scores(outputs)
    if scores is not None:
        best: Array = finite(scores).argmax(axis=1)
        return best.astype(np.int32)
    column = finite(_single(outputs))[:, 0]
    return (column >= 0.5 if column.dtype.kind == "f" else column).astype(np.int32)


def ranking_answers(outputs: Sequence[Array]) -> Array:
    """Scores to rank items by: float [items] for two classes (the more, the likelier class 1), else [items, classes].

    More than two scores that are no probabilities go through a softmax, so that they compare between items.
    """
    scores = class_scores(outputs)
    if scores is None:
        return finite(_single(outputs))[:, 0].astype(np.float32)
    scores = finite(scores).astype(np.float64)
    if scores.shape[1] == 2:
        return (scores[:, 1] - scores[:, 0]).astype(np.float32)
    if (scores < 0).any() or not np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
    return scores.astype(np.float32)


def number_answers(outputs: Sequence[Array]) -> Array:
    """The first output as it is: [items] for one number per item, else [items, …]."""
    first = next((output for output in outputs if output.dtype.kind in "fiub" and output.ndim), None)
    if first is None:
        raise UsageError(f"this metric needs an output of numbers, got {shapes(outputs)}")
    rows = finite(first.reshape(len(first), -1) if len(first) else first)
    return rows[:, 0] if rows.shape[1] == 1 else rows.reshape(first.shape)


def class_scores(outputs: Sequence[Array]) -> Array | None:
    """The first numeric output with one row per item and several columns."""
    flat = (_flat(output) for output in outputs if output.dtype.kind in "fiu")
    return next((array for array in flat if array is not None and array.shape[1] > 1), None)


def finite(scores: Array) -> Array:
    """The same rows. Raises CandidateFailure("invalid") when they hold NaN or Inf."""
    bad = int((~np.isfinite(scores)).any(axis=1).sum())
    if bad:
        raise CandidateFailure("invalid", f"the answers to {bad} of {len(scores)} items hold NaN or Inf")
    return scores


def shapes(outputs: Sequence[Array]) -> str:
    """The outputs for a message."""
    return ", ".join(f"{output.dtype}{list(output.shape)}" for output in outputs) or "no outputs"


def _single(outputs: Sequence[Array]) -> Array:
    single = _flat(outputs[0]) if outputs else None
    if single is None or single.shape[1:] != (1,) or single.dtype.kind not in "fiub":
        raise UsageError(
            f"this metric needs an output of shape [items, classes] or [items], got {shapes(outputs)}",
            "pick a model output that holds class scores",
        )
    return single


def _flat(output: Array) -> Array | None:
    """[items, columns], axes of length 1 dropped ([n, 1000, 1, 1] is a common classifier output); else None."""
    long = [size for size in output.shape[1:] if size != 1]
    if output.ndim == 0 or len(long) > 1:
        return None
    return output.reshape(output.shape[0], long[0] if long else 1)
