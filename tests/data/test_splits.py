"""For any small data set with injected trouble: nothing overlaps, nothing is lost, nothing is invented."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.errors import DataError
from steelyard.records.model import TensorInfo


@st.composite
def troubled(draw: st.DrawFn) -> tuple[Any, Any, int]:
    """Items, labels, and how many items are sound: a mix of NaN, duplicates, and missing or negative labels."""
    count = draw(st.integers(2, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.normal(size=(count, 3)).astype(np.float32)
    labels = rng.integers(0, 4, count).astype(float)
    places = st.lists(st.integers(0, count - 1), max_size=count // 4)
    for target in draw(places):
        x[target], labels[target] = x[draw(st.integers(0, count - 1))], labels[draw(st.integers(0, count - 1))]
    for target in draw(places):
        x[target, draw(st.integers(0, 2))] = draw(st.sampled_from([np.nan, np.inf]))
    for target in draw(places):
        labels[target] = draw(st.sampled_from([np.nan, -1.0]))
    return x, labels, sound(x, labels)


def sound(x: Any, labels: Any) -> int:
    """How many items remain, counted the plain way."""
    seen: dict[bytes, set[float]] = {}
    for row, label in zip(x, labels, strict=True):
        if np.isfinite(row).all() and label >= 0:
            seen.setdefault(row.tobytes(), set()).add(label)
    return sum(len(found) == 1 for found in seen.values())


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=troubled(), seed=st.integers(0, 5), limit=st.none() | st.integers(1, 60))
def test_nothing_overlaps_and_counts_add_up(
    prepared: Callable[..., Any], data: tuple[Any, Any, int], seed: int, limit: int | None
) -> None:
    x, labels, remain = data
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.npz"
        np.savez(path, x=x, y=labels)
        info = TensorInfo(name="x", dtype="float32", shape=(None, 3))
        if 2 * remain < len(x) or min(remain, limit or remain) < 3:
            with pytest.raises(DataError, match=r"more than half|at least 2 are needed|labels are outside"):
                prepared(path, info, seed=seed, limit=limit)
            return
        outcome = prepared(path, info, seed=seed, limit=limit)
    record = outcome.prepared
    left_out = sum(int(count) for told in outcome.told for count in re.findall(r"^(\d+) items? left out", told))
    assert remain + left_out == len(x)
    assert record.items_calibrate + record.items_select + record.items_confirm == min(remain, limit or remain)
    calibration = {row.tobytes() for row in outcome.calibration["x"]}
    judging = Counter(row.tobytes() for row in outcome.x)
    assert len(calibration) == record.items_calibrate
    assert max(judging.values()) == 1
    assert not calibration & set(judging)
    assert len(outcome.x) == len(outcome.labels) == record.items_select + record.items_confirm
    pairs = {(row.tobytes(), label) for row, label in zip(x, labels, strict=True)}
    assert all((row.tobytes(), float(label)) in pairs for row, label in zip(outcome.x, outcome.labels, strict=True))
