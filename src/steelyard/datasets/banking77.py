"""banking77: 13,083 questions that customers ask a bank, in 77 classes.

Casanueva et al., Efficient Intent Detection with Dual Sentence Encoders, NLP for Conversational AI, 2020,
https://arxiv.org/abs/2003.04807
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from steelyard.datasets.examples import TEST, TRAINING, Examples
from steelyard.datasets.sources import DataSet, Remote

_PLACE = (
    "https://raw.githubusercontent.com/PolyAI-LDN/task-specific-datasets/57ec275d8078af65b7731c2a98be812d844a6d6b/"
    "banking_data"
)
_FILES = {
    "train.csv": "sha256:b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b",
    "test.csv": "sha256:d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d",
    "categories.json": "sha256:53261da888122daf2d120d925458631d9619e15d82e56052e7a42e535ce32b63",
}


def read(files: Mapping[str, Path]) -> Examples:
    """10,003 items to train on, then 3,080 to test."""
    classes = tuple(json.loads(files["categories.json"].read_text(encoding="utf-8")))
    number = {name: place for place, name in enumerate(classes)}
    rows = {part: _rows(files[f"{part}.csv"]) for part in ("train", "test")}
    both = [*rows["train"], *rows["test"]]
    return Examples(
        "text",
        {"text": np.array([row["text"] for row in both], object)},
        np.array([number[row["category"]] for row in both], np.int64),
        classes,
        parts=np.repeat(np.array([TRAINING, TEST], np.int8), [len(part) for part in rows.values()]),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


BANKING77 = DataSet(
    name="banking77",
    about="13,083 questions that customers ask a bank, in 77 classes: 10,003 to train on, 3,080 to test",
    licence="CC BY 4.0",
    source="https://github.com/PolyAI-LDN/task-specific-datasets",
    folder="banking77",
    ways=(tuple(Remote(name, (digest,), (f"{_PLACE}/{name}",)) for name, digest in _FILES.items()),),
    read=read,
)
