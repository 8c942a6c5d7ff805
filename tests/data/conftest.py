"""What the tests of the data share: prepare something small, and read back all of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from steelyard.data.prepare import prepare
from steelyard.data.rows import read_rows
from steelyard.data.sequences import read_items
from steelyard.data.write import name_of
from steelyard.records.data import ArrayFile, DataSpec, Prepared, Preprocess
from steelyard.records.model import TensorInfo


@dataclass(frozen=True)
class Outcome:
    """Prepared data and all of its arrays."""

    prepared: Prepared
    judging: Mapping[str, NDArray[Any]]
    calibration: Mapping[str, NDArray[Any]]
    labels: NDArray[Any] | None

    @property
    def x(self) -> NDArray[Any]:
        """Judging items of the only input."""
        return next(iter(self.judging.values()))

    @property
    def told(self) -> tuple[str, ...]:
        return self.prepared.told


def run_prepare(
    into: Path, source: str | Path, inputs: Sequence[TensorInfo], outputs: int | None, settings: Mapping[str, Any]
) -> Outcome:
    """Call `prepare` as the parent process does: with an argument that has been JSON."""
    settings = dict(settings)
    argument = {"measured": settings.pop("measured", False)}
    spec = DataSpec(source=str(source), **settings)
    argument |= {"spec": spec, "inputs": list(inputs), "into": str(into), "outputs_classes": outputs}
    found = prepare(json.loads(msgspec.json.encode(argument)))

    def load(file: ArrayFile) -> NDArray[Any]:
        rows = read_rows(into / file.file, 0, file.shape[0])
        assert name_of(rows.dtype) == file.dtype
        assert rows.shape == file.shape
        return rows if file.lengths is None else read_items(into, file, 0, items_of(into, file))

    return Outcome(
        found,
        {name: load(file) for name, file in found.judging.items()},
        {name: load(file) for name, file in found.calibration.items()},
        load(found.labels) if found.labels else None,
    )


def items_of(into: Path, file: ArrayFile) -> int:
    return len(np.load(into / str(file.lengths), allow_pickle=False))


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., Outcome]:
    """`prepared(source, model's inputs, outputs=None, **settings of DataSpec, measured)` → Outcome."""
    runs = iter(range(1000))

    def call(
        source: str | Path, model: TensorInfo | Sequence[TensorInfo], outputs: int | None = None, **settings: Any
    ) -> Outcome:
        into = tmp_path / f"into-{next(runs)}"
        into.mkdir()
        wanted = [model] if isinstance(model, TensorInfo) else model
        outcome = run_prepare(into, source, wanted, outputs, settings)
        assert not (into / ".scratch").exists()
        return outcome

    return call


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """`table(x=..., labels=...)` → path of a .npz."""

    def save(**arrays: Any) -> Path:
        path = tmp_path / "data.npz"
        np.savez_compressed(path, **arrays)
        return path

    return save


@pytest.fixture
def features() -> TensorInfo:
    """A model input of four floats."""
    return TensorInfo(name="x", dtype="float32", shape=(None, 4))


@pytest.fixture
def twenty() -> NDArray[np.float32]:
    """Twenty items of four floats, all different."""
    return np.random.default_rng(3).normal(size=(20, 4)).astype(np.float32)


@pytest.fixture
def scaled() -> Preprocess:
    """What 8-bit pictures need."""
    return Preprocess(scale=1 / 255)
