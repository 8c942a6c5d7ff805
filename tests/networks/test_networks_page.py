"""The page on networks names all that there is, with its defaults, and what it tells to type works."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from documents import ROOT, blocks
from steelyard.networks import NETWORKS, options, schedules
from steelyard.networks.losses import LOSSES
from steelyard.networks.optimisers import OPTIMISERS
from steelyard.records.dotted import found

PAGE = ROOT / "docs" / "reference" / "networks.md"


def rows(heading: str) -> dict[str, str]:
    """The first table under a heading: each name in its first column, and the rest of its row."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ", 1) for line in text.splitlines() if line.startswith("| `")]
    return {name: line[1] for line in lines for name in re.findall(r"`([^`]+)`", line[0])}


def told(row: str) -> set[str]:
    """The names in code that a row tells options by, with their values where it tells them."""
    return set(re.findall(r"`([a-z_]+(?: = [^`]+)?)`", row.rpartition(" | ")[2]))


def written(given: Iterable[tuple[str, Any]]) -> set[str]:
    """Options as the page writes them; those that are decided later by their name alone."""
    later = (None, (), inspect.Parameter.empty)
    return {name if value in later else f"{name} = {plain(value)}" for name, value in given}


def plain(value: Any) -> str:
    return str(list(value) if isinstance(value, tuple) else value).replace("True", "true").replace("False", "false")


def test_networks() -> None:
    page = rows("Networks")
    assert set(page) == {*NETWORKS, "package.module:Class"}
    for name, spec in NETWORKS.items():
        assert set(spec.takes) == set(page[name].split(" | ")[0].split(", ")), name
        assert written(options(name).items()) == told(page[name]), name


def test_optimisers_losses_and_schedules() -> None:
    page = rows("Optimisers")
    assert set(page) == set(OPTIMISERS)
    for name, maker in OPTIMISERS.items():
        parameters = inspect.signature(maker).parameters.values()
        assert written((each.name, each.default) for each in parameters if each.name != "module") == told(page[name])
    assert set(rows("Losses")) == set(LOSSES)
    for name, dotted in LOSSES.items():
        known = inspect.signature(found(dotted)).parameters
        assert [each for each in known if f"`{each}`" not in rows("Losses")[name]] == []
    assert set(rows("Schedules")) == set(schedules.SCHEDULES)
    for name in schedules.SCHEDULES:
        share = float(rows("Schedules")[name].rpartition(" | ")[2])
        made = schedules.make(name)
        assert (made(0.0), made(share)) == (0.0 if share else 1.0, 1.0), name


def test_what_the_page_tells_to_type_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    python = [block.text for block in blocks(PAGE) if block.language == "python"]
    assert len(python) == 2
    for text in python:
        exec(text, {})  # noqa: S102 - our own page
