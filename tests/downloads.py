"""A data set of two files, and what a server on this machine is told to answer."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from steelyard.datasets.examples import Examples
from steelyard.datasets.sources import DataSet, Remote

CONTENTS = {"x.txt": b"1 2 3 4\n" * 5000, "y.txt": b"0 1 0 1\n"}


@dataclass
class Answering:
    """What the server does, by path; and which paths it was asked for."""

    url: str = ""
    status: int = 200
    bodies: dict[str, bytes] = field(default_factory=dict)
    withheld: int = 0
    """Bytes at the end that are announced and never sent."""
    stall: threading.Event | None = None
    """Waited for before the end is sent."""
    half_sent: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)


def sha256(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def made_set(*urls: str) -> DataSet:
    """`CONTENTS` at these addresses."""
    return DataSet(
        name="made",
        about="two files",
        licence="none",
        source="https://example.org",
        folder="made",
        ways=(
            tuple(
                Remote(name, (sha256(raw),), tuple(f"{url}/{name}" for url in urls)) for name, raw in CONTENTS.items()
            ),
        ),
        read=read_made,
    )


def read_made(files: Mapping[str, Path]) -> Examples:
    x, y = (np.array(files[name].read_text().split(), np.float32) for name in CONTENTS)
    return Examples("table", {"x": x[: len(y)]}, y.astype(np.int64), ("no", "yes"))
