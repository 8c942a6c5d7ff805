"""What is asked of a source of data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from steelyard.records.data import DataSpec
from steelyard.records.model import TensorInfo


@dataclass(frozen=True)
class Wanted:
    """What is to be read, for which inputs of the model, with a folder for what has to be unpacked."""

    spec: DataSpec
    inputs: tuple[TensorInfo, ...]
    scratch: Path
    measured: bool = False
    """Labels are measured values even when all of them are whole."""
