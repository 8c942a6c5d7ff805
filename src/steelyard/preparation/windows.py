"""Long sequences cut into windows of one length, which overlap or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from steelyard.datasets.examples import Examples
from steelyard.errors import DataError


def windows(examples: Examples, steps: int, every: int | None = None) -> Examples:
    """Each sequence as windows of `steps` steps, one beginning every `every` steps (None: they do not overlap).

    A window has the target of its sequence. Groups stay; where there are none, each sequence becomes a group, as two of
    its windows in two parts would know each other. Raises DataError when no sequence is long enough.
    """
    if examples.kind != "sequences":
        raise DataError(f"windows are cut from sequences, these are {examples.kind}", "leave the windows out")
    if steps < 1 or (every is not None and every < 1):
        raise DataError(f"windows of {steps} steps every {every} make no sense", "both are at least 1")
    sequence = examples.inputs["sequence"]
    length = examples.inputs.get("length", np.full(len(examples), sequence.shape[1]))
    begins = [
        (item, begin) for item, n in enumerate(length.tolist()) for begin in range(0, n - steps + 1, every or steps)
    ]
    if not begins:
        raise DataError(
            f"no sequence has {steps} steps, the longest has {int(length.max())}", "make the windows shorter"
        )
    item, begin = np.array(begins, np.int64).T
    cut = sequence[item[:, None], begin[:, None] + np.arange(steps)]
    groups = examples.groups if examples.groups is not None else np.arange(len(examples))
    return replace(examples.take(item), inputs={"sequence": cut}, groups=groups[item])
