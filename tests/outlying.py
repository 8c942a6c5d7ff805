"""A network with one layer that 8 bits destroy, for the tests of what returns layers to float."""

from __future__ import annotations

import numpy as np

from steelyard.testing.samples import OnnxSample

WIDTH = 128
CLASSES = 2
LARGER = 3000.0

_random = np.random.default_rng(4)
_WEIGHTS = {
    "w1": (_random.normal(size=(64, WIDTH)) / 8).astype(np.float32),
    "w2": (_random.normal(size=(WIDTH, WIDTH)) / 8).astype(np.float32),
    "w3": (_random.normal(size=(WIDTH, CLASSES)) / 8).astype(np.float32),
}
for _name in ("w2", "w3"):  # so that what all units share cancels, and small errors change no answer
    _WEIGHTS[_name] -= _WEIGHTS[_name].mean(axis=0)
# One channel is far larger than all others and counts for no more than they do: in the 8 bits that hold its values
# nothing is left of theirs.
_WEIGHTS["w1"][:, 0] *= LARGER
_WEIGHTS["w2"][0] /= LARGER

SECOND = "c"
OUTLYING = OnnxSample(
    [
        ("MatMul", "x w1", "a", {}),
        ("Relu", "a", "b", {}),
        ("MatMul", "b w2", SECOND, {}),
        ("Relu", SECOND, "d", {}),
        ("MatMul", "d w3", "y", {}),
    ],
    _WEIGHTS,
    (64,),
    CLASSES,
)
"""x [n, 64] through three products; `SECOND` is the one that 8 bits destroy."""
