"""Items arrive as they were sent, and nothing that travels is executed; what lies on a desk is found there."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from made_examples import columns, pictures, series, texts
from steelyard.cluster.desk import Desk
from steelyard.cluster.shipped import packed, unpacked
from steelyard.datasets.examples import Array, Examples
from steelyard.train.data import sha256_of

PEOPLE = columns(town=["oslo", None, "são paulo"], age=[1.5, np.nan, 3.0], count=[1, 2, 3])
MARKED = replace(
    PEOPLE,
    groups=np.array(["a", "b", "a"], object),
    times=np.array(["2026-01-01", "2026-01-02", "2026-01-03"], "datetime64[s]"),
    parts=np.array([0, 1, 2], np.int8),
)


@pytest.mark.parametrize("data", [pictures(), series(), texts("one", None), columns([0.5, 1.5], x=[1, 2]), MARKED])
def test_items_arrive_as_they_were_sent(data: Examples) -> None:
    raw = packed(data)
    assert b"pickle" not in raw
    found = unpacked(raw)
    assert sha256_of(found) == sha256_of(data)
    assert list(found.inputs) == list(data.inputs)
    assert (found.kind, found.classes) == (data.kind, data.classes)
    for name in ("groups", "times", "parts"):
        one: Array | None = getattr(found, name)
        other: Array | None = getattr(data, name)
        assert (one is None) == (other is None)
        assert one is None or other is None or (one.dtype == other.dtype and one.tolist() == other.tolist())


def test_an_epoch_waits_for_the_answer_of_whoever_watches() -> None:
    desk, answers = Desk(b"recipe", b"data", b""), []
    telling = threading.Thread(target=lambda: answers.append(desk.epoch(b"first", True)))
    telling.start()
    while not desk.told()[1]:
        pass
    desk.answer(False)
    telling.join()
    assert answers == [False]
    desk.stop()
    assert desk.epoch(b"second", False), "whoever is told to stop by the step need not wait for an answer"
    assert desk.step(2, 1, 10, 0.5), "stop"
    assert desk.told() == ((2, 1, 10, 0.5), [(b"first", True), (b"second", False)], 0)


def test_the_first_error_is_the_one_that_is_told() -> None:
    desk = Desk(b"", b"", b"")
    desk.fail(b"first")
    desk.fail(b"second")
    desk.keep(b"state")
    assert desk.ending() == (b"", b"first")
    assert (desk.checkpoint(), desk.order()[2], desk.told()[2]) == (b"state", b"state", 1)
