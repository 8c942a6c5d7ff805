"""The space of a search, as `[search]` in a recipe says it. No torch, no sampler.

    [search]
    training.batch = [32, 64, 128]                              one of several values
    optimiser.rate = { low = 1e-4, high = 1e-2, log = true }    anything between two numbers

    [[search.network]]                                          one of several tables, each with a space of its own
    name = "resnet"
    width = [8, 16]

A list is always a choice; what is a list itself is chosen from a list of lists.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from steelyard.errors import UsageError
from steelyard.records.space import Alternative, Choice, Either, Range, Space
from steelyard.records.spelling import did_you_mean
from steelyard.train.recipes import CHOICES, LISTS, RECORDS, SEARCH

EXAMPLE = "for example [search] training.batch = [32, 64], or optimiser.rate = { low = 1e-4, high = 1e-2, log = true }"
SEARCHED = (*CHOICES, *LISTS, *RECORDS)
FIXED = ("data", "seed", "name", "training.metric")
"""Networks are compared by one metric on the same items."""
BOUNDS = ("low", "high", "log", "step")
FINE = 3
"""Digits of a number that is drawn from a range without steps: more would only make recipes hard to read."""


class Chooser(Protocol):
    """Picks values. `name` is unique in the space, and the same each time."""

    def among(self, name: str, labels: Sequence[str]) -> str:
        """One of the labels."""

    def between(self, name: str, limits: Range) -> float:
        """A number between the limits."""


# --- reading --------------------------------------------------------------------------------------------------------


def space_of(content: Mapping[str, Any], where: str) -> Space:
    """What `[search]` in the tables of a recipe says. Raises UsageError for what cannot be searched."""
    if SEARCH not in content:
        raise UsageError(f"{where} has no table [search], which says what a search may change", EXAMPLE)
    said = content[SEARCH]
    if not isinstance(said, dict) or not said:
        raise UsageError(f"{where}: [search] is a table of settings, got {said!r}", EXAMPLE)
    settings = [_setting(path, value, where) for path, value in _flat(said)]
    return Space(settings=tuple(settings))


def _flat(said: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Settings with their whole path: `training.batch = […]`, `"training.batch" = […]` and `[search.training]`."""
    for key, value in said.items():
        path = before + ".".join(part.replace("-", "_") for part in key.split("."))
        if isinstance(value, dict) and not set(value) & set(BOUNDS):
            yield from _flat(value, f"{path}.")
        else:
            yield path, value


def _setting(path: str, value: Any, where: str) -> Choice | Range | Either:
    _check_path(path, where)
    told = f"{where}: [search] {path}"
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return Either(path=path, alternatives=tuple(_alternatives(path, value, told)))
    return _values(path, value, told)


def _check_path(path: str, where: str) -> None:
    table, _, key = path.partition(".")
    fixed = next((each for each in FIXED if each in (table, path)), None)
    if fixed is not None:
        raise UsageError(
            f"{where}: [search] cannot change {path}: networks are compared by one metric on the same items",
            f"what can be searched: {', '.join(SEARCHED)}",
        )
    if table not in SEARCHED:
        raise UsageError(f"{where}: [search] has an unknown setting {path}", did_you_mean(table, SEARCHED))
    if table in RECORDS and key not in RECORDS[table].__struct_fields__:
        hint = did_you_mean(key, RECORDS[table].__struct_fields__)
        raise UsageError(f"{where}: [search] has an unknown setting {path}", hint)


def _alternatives(path: str, tables: Sequence[Mapping[str, Any]], told: str) -> Iterator[Alternative]:
    if path not in CHOICES:
        raise UsageError(f"{told} is no table with a name", f"[[search.…]] is for {', '.join(CHOICES)}")
    names = [table.get("name") for table in tables]
    for number, table in enumerate(tables):
        name = table.get("name")
        if not isinstance(name, str):
            raise UsageError(f"{told}: each [[search.{path}]] needs a name", f'[[search.{path}]] name = "…"')
        label = name if names.count(name) == 1 else f"{name} {names[: number + 1].count(name)}"
        searched = {key.replace("-", "_"): value for key, value in table.items() if isinstance(value, list | dict)}
        fixed = {key: value for key, value in table.items() if not isinstance(value, list | dict)}
        inner = tuple(_values(key, value, f"{told}, {label}: {key}") for key, value in searched.items())
        yield Alternative(label=label, table=fixed, inner=inner)


def _values(path: str, value: Any, told: str) -> Choice | Range:
    """A list as a choice, `{ low, high }` as a range."""
    if isinstance(value, list) and value:
        labels = [label_of(each) for each in value]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice is not None:
            raise UsageError(f"{told} has {twice} twice", "leave one out")
        return Choice(path=path, options=tuple(value))
    if isinstance(value, dict):
        return _range(path, value, told)
    raise UsageError(f"{told} is a list of values or a range, got {value!r}", EXAMPLE)


def _range(path: str, said: Mapping[str, Any], told: str) -> Range:
    wrong = next((key for key in said if key not in BOUNDS), None)
    if wrong is not None:
        raise UsageError(f"{told} has an unknown setting {wrong}", did_you_mean(wrong, BOUNDS))
    numbers = [said.get(name) for name in ("low", "high")]
    if not all(_is_number(each) for each in numbers) or not numbers[0] < numbers[1]:  # type: ignore[operator]
        raise UsageError(f"{told} goes from low up to high, got {dict(said)}", "{ low = 1, high = 10 }")
    log, step = said.get("log", False), said.get("step")
    if not isinstance(log, bool) or (log and (said["low"] <= 0 or step is not None)):
        raise UsageError(
            f"{told}: log is true or false; if true, low is above 0 and there is no step, got {dict(said)}"
        )
    if step is not None and not (_is_number(step) and step > 0):
        raise UsageError(f"{told}: step is a number above 0, got {step!r}")
    whole = all(isinstance(each, int) for each in (*numbers, *([] if step is None else [step])))
    return Range(path=path, low=said["low"], high=said["high"], log=log, step=step, whole=whole)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# --- drawing --------------------------------------------------------------------------------------------------------


def drawn(space: Space, chooser: Chooser) -> dict[str, Any]:
    """A point of the space: path in the recipe → the value, or the whole table, that is put there."""
    return {setting.path: _drawn(setting, setting.path, chooser) for setting in space.settings}


def _drawn(setting: Choice | Range | Either, name: str, chooser: Chooser) -> Any:
    match setting:
        case Choice():
            labelled = {label_of(option): option for option in setting.options}
            return labelled[chooser.among(name, list(labelled))]
        case Range():
            return _number(chooser.between(name, setting), setting)
        case Either():
            tables = {alternative.label: alternative for alternative in setting.alternatives}
            chosen = tables[chooser.among(name, list(tables))]
            own = {each.path: _drawn(each, f"{name}.{chosen.label}.{each.path}", chooser) for each in chosen.inner}
            return chosen.table | own


def standing(space: Space, content: Mapping[str, Any]) -> dict[str, Any]:
    """How a chooser would choose the recipe as it stands: by name, so far as its settings lie in the space."""
    chosen: dict[str, Any] = {}
    for setting in space.settings:
        own = _at(content, setting.path)
        if not isinstance(setting, Either):
            chosen |= _standing(setting, setting.path, own)
        elif isinstance(own, dict):
            same = (each for each in setting.alternatives if each.table.items() <= own.items())
            for each in (alternative for alternative in list(same)[:1]):
                chosen[setting.path] = each.label
                for inner in each.inner:
                    chosen |= _standing(inner, f"{setting.path}.{each.label}.{inner.path}", own.get(inner.path))
    return chosen


def _standing(setting: Choice | Range, name: str, own: Any) -> dict[str, Any]:
    if isinstance(setting, Choice):
        return {name: label_of(own)} if label_of(own) in map(label_of, setting.options) else {}
    return {name: own} if _is_number(own) and setting.low <= own <= setting.high else {}


def _at(content: Mapping[str, Any], path: str) -> Any:
    for key in path.split("."):
        content = content.get(key, {})
        if not isinstance(content, dict):
            break
    return content


def _number(value: float, limits: Range) -> float:
    if limits.whole:
        return round(value)
    near = float(f"{value:.{FINE}g}")
    return value if limits.step is not None else min(max(near, limits.low), limits.high)


def label_of(value: Any) -> str:
    """A value as text: words as they are, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def size(space: Space) -> int | None:
    """How many points there are; None: too many to be counted."""
    return _product([_size(setting) for setting in space.settings])


def _size(setting: Choice | Range | Either) -> int | None:
    match setting:
        case Choice():
            return len(setting.options)
        case Range():
            step = setting.step or (1 if setting.whole else None)
            return None if step is None else int((setting.high - setting.low) / step + 1e-9) + 1
        case Either():
            of_each = [_product([_size(inner) for inner in each.inner]) for each in setting.alternatives]
            known = [each for each in of_each if each is not None]
            return sum(known) if len(known) == len(of_each) else None


def _product(sizes: Sequence[int | None]) -> int | None:
    known = [each for each in sizes if each is not None]
    return math.prod(known) if len(known) == len(sizes) else None


def told(settings: Mapping[str, Any]) -> str:
    """A point in a line, for people, tables first: `resnet, width 16, rate 0.00316`."""
    ordered = sorted(settings.items(), key=lambda setting: not isinstance(setting[1], dict))
    return ", ".join(_told(path, value) for path, value in ordered)


def _told(path: str, value: Any) -> str:
    if isinstance(value, dict):
        options = [f"{key} {label_of(each)}" for key, each in value.items() if key != "name"]
        return ", ".join([str(value["name"]), *options])
    return value if path == "network.name" else f"{path.rpartition('.')[2]} {label_of(value)}"


# --- every point makes a recipe -------------------------------------------------------------------------------------


def corners(space: Space) -> Iterator[dict[str, Any]]:
    """For each value that is said, and each end of a range, a change that has nothing but it."""
    for setting in space.settings:
        if isinstance(setting, Either):
            for alternative in setting.alternatives:
                plain = alternative.table | {each.path: _ends(each)[0] for each in alternative.inner}
                for inner in alternative.inner:
                    yield from ({setting.path: plain | {inner.path: value}} for value in _ends(inner))
                if not alternative.inner:
                    yield {setting.path: plain}
        else:
            yield from ({setting.path: value} for value in _ends(setting))


def _ends(setting: Choice | Range) -> tuple[Any, ...]:
    return setting.options if isinstance(setting, Choice) else (setting.low, setting.high)
