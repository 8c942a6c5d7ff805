"""Occupancy: an office's temperature, humidity, light and CO2, minute by minute, and whether somebody is in it.

Candanedo and Feldheim, Accurate occupancy detection of an office room from light, temperature, humidity and CO2
measurements using statistical learning models, Energy and Buildings 112, 2016; UCI Machine Learning Repository,
https://doi.org/10.24432/C5X01N. The files are those of a public repository: UCI has a zip of the same three.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from steelyard.datasets.examples import TEST, TRAINING, VALIDATION, Examples
from steelyard.datasets.sources import DataSet, Remote

_PLACE = (
    "https://raw.githubusercontent.com/ahmetaydin-aa/room-occupancy-detection/7526002dcbf8c2503eb0ebdb7675b4298fbf0695"
)
_FILES = {
    "datatraining.txt": "sha256:f761c315b11cfc7b04efb4401b5d4017830ce1efb73dbaf190e0a5d1c6aa2212",
    "datatest.txt": "sha256:3c99c3a9ad6e5de8d734ba1c3f2e0a7300832826478225f5a6a8519d7e3b5f07",
    "datatest2.txt": "sha256:e70f733dc980b26950d071227a66f68dc6ef54ee48ec7eb9f5ee62230daeab5f",
}
_PARTS = {"datatraining.txt": TRAINING, "datatest.txt": VALIDATION, "datatest2.txt": TEST}
COLUMNS = ("Temperature", "Humidity", "Light", "CO2", "HumidityRatio")
"""°C, %, lux, ppm, kg of water per kg of air."""
CLASSES = ("empty", "occupied")


def read(files: Mapping[str, Path]) -> Examples:
    """8,143 items to train on, 2,665 and 9,752 of the makers' two tests: the first one validates, the second tests.

    The first test lies before the training items in time, the second one after them.
    """
    rows = {name: _rows(files[name]) for name in _PARTS}
    every = [row for part in rows.values() for row in part]
    return Examples(
        "table",
        {name: np.array([float(row[name]) for row in every], np.float32) for name in COLUMNS},
        np.array([int(row["Occupancy"]) for row in every], np.int64),
        CLASSES,
        times=np.array([row["Date"] for row in every], "datetime64[s]"),
        parts=np.repeat(np.array(list(_PARTS.values()), np.int8), [len(part) for part in rows.values()]),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


OCCUPANCY = DataSet(
    name="occupancy",
    about="20,560 minutes of an office room, 5 measured columns, and whether somebody was in it",
    licence="CC BY 4.0 (the data, UCI); GPL-2.0 (the repository that holds them)",
    source="https://archive.ics.uci.edu/dataset/357/occupancy+detection",
    folder="occupancy",
    ways=(tuple(Remote(name, (digest,), (f"{_PLACE}/{name}",)) for name, digest in _FILES.items()),),
    read=read,
)
