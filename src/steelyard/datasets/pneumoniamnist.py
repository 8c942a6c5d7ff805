"""PneumoniaMNIST: 5,856 chest X-rays of children, 28 × 28 grey pixels, normal or with pneumonia.

Yang et al., MedMNIST v2, Scientific Data 10, 2023, https://doi.org/10.1038/s41597-022-01721-8; made from Kermany et
al., Cell 172, 2018. Address and MD5 are those in MedMNIST's own package (medmnist 3.0.2, info.py), which publishes no
SHA-256.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from steelyard.datasets.examples import TEST, TRAINING, VALIDATION, Array, Examples
from steelyard.datasets.sources import DataSet, Remote

_PARTS = {"train": TRAINING, "val": VALIDATION, "test": TEST}
CLASSES = ("normal", "pneumonia")


def read(files: Mapping[str, Path]) -> Examples:
    """4,708 items to train on, 524 to validate, 624 to test."""
    with np.load(next(iter(files.values())), allow_pickle=False) as arrays:
        images = {part: arrays[f"{part}_images"] for part in _PARTS}
        labels = {part: arrays[f"{part}_labels"].reshape(-1) for part in _PARTS}
    order = _sorted(images["train"], labels["train"])
    images["train"], labels["train"] = images["train"][order], labels["train"][order]
    return Examples(
        "images",
        {"image": np.concatenate(list(images.values()))[..., None]},
        np.concatenate(list(labels.values())).astype(np.int64),
        CLASSES,
        parts=np.repeat(np.array(list(_PARTS.values()), np.int8), [len(part) for part in labels.values()]),
    )


def _sorted(images: Array, labels: Array) -> list[int]:
    """By contents: copies in mirrors were shuffled, and a seed shall mean the same items wherever they came from."""
    return sorted(range(len(images)), key=lambda item: images[item].tobytes() + labels[item].tobytes())


PNEUMONIAMNIST = DataSet(
    name="pneumoniamnist",
    about="5,856 chest X-rays of children, 28 × 28 grey pixels: 4,708 to train on, 524 to validate, 624 to test",
    licence="CC BY 4.0",
    source="https://medmnist.com",
    folder="pneumoniamnist",
    ways=(
        (
            Remote(
                "pneumoniamnist.npz",
                ("md5:28209eda62fecd6e6a2d98b1501bb15f",),
                ("https://zenodo.org/records/10519652/files/pneumoniamnist.npz?download=1",),
            ),
        ),
        (
            Remote(
                "pneumonia28.npz",
                ("sha256:3ff6581fc7c3897b85e003c9e72c5d1b220726d929a7cd1f6eeee247e7295de6",),
            ),
        ),
    ),
    read=read,
)
