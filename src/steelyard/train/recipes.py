"""Recipes as TOML: read strictly, so that a misspelt word is told and not ignored. No torch."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from steelyard.errors import UsageError
from steelyard.records.base import Record
from steelyard.records.cheaper import KINDS, Cheaper
from steelyard.records.recipe import DataChoice, Privacy, Recipe, Training, Windows
from steelyard.records.spelling import did_you_mean

R = TypeVar("R", bound=Record)

CHOICES = ("balance", "network", "loss", "optimiser", "schedule")
"""Tables of one name and its options."""
LISTS = ("prepare", "augment")
"""Lists of such tables."""
RECORDS: Mapping[str, type[Record]] = {"training": Training, "privacy": Privacy}
TOP = ("name", "seed")
SEARCH, CHEAPER = "search", "cheaper"
"""What a search may change, see `train.space`; what is trained beside the network, see `train.cheaper`."""
SHIPPED = files("steelyard") / "assets" / "recipes"


def names() -> list[str]:
    """The recipes that come with Steelyard."""
    return sorted(each.name.removesuffix(".toml") for each in SHIPPED.iterdir() if each.name.endswith(".toml"))


def text_of(recipe: str) -> tuple[str, str]:
    """The TOML of a recipe, and where it stands: a file, or the name of one that comes with Steelyard."""
    path = Path(recipe).expanduser()
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8"), recipe
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{recipe} cannot be read: {error}", "a recipe is a TOML file") from error
    if recipe in names():
        return (SHIPPED / f"{recipe}.toml").read_text(encoding="utf-8"), recipe
    raise UsageError(f"there is no recipe {recipe}", f"give a TOML file, or one of: {', '.join(names())}")


def read(recipe: str, changes: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a file or name; `changes`: `{"training.epochs": 3}`. Raises UsageError for what is wrong in it."""
    return parsed(tables(recipe, changes), recipe)


def tables(recipe: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The same as it is written, unchecked but for being TOML."""
    text, where = text_of(recipe)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is no TOML: {error}", "see the guide to training") from error
    content.setdefault("name", Path(where).stem)
    return changed(content, changes or {})


def changed(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with some settings, or whole tables, put in the place of others."""
    copy = deepcopy(dict(content))
    for name, value in changes.items():
        _put(copy, name.split("."), value, name)
    return copy


def parsed(content: Mapping[str, Any], where: str) -> Recipe:
    """The recipe that these tables say. Raises UsageError for a key that is unknown or a value that does not fit.

    What a search may change, `[search]`, is no part of it, nor is `[cheaper]`: it has no say in the network itself.
    """
    content = {name: value for name, value in content.items() if name not in (SEARCH, CHEAPER)}
    _check_keys(content, (*TOP, "data", *CHOICES, *LISTS, *RECORDS, SEARCH, CHEAPER), where, "")
    for needed in ("data", "network"):
        if needed not in content:
            raise UsageError(f"{where} has no table [{needed}]", f"add [{needed}] with a name")
    words: dict[str, Any] = {name: content[name] for name in TOP if name in content}
    words["data"] = _data(_table(content, "data", where), where)
    words |= {name: _chosen(_table(content, name, where), where, name) for name in CHOICES if name in content}
    words |= {name: _every(content[name], where, name) for name in LISTS if name in content}
    words |= {
        name: _record(_table(content, name, where), kind, where, name)
        for name, kind in RECORDS.items()
        if name in content
    }
    return _converted(words, Recipe, where)


def cheaper_of(content: Mapping[str, Any], where: str) -> Cheaper:
    """What `[cheaper]` asks for; nothing where it is not there. Raises UsageError as `parsed` does."""
    if CHEAPER not in content:
        return Cheaper()
    said = dict(_record(_table(content, CHEAPER, where), Cheaper, where, CHEAPER))
    for way, kind in KINDS.items():
        if way in said:
            said[way] = dict(_record(_table(said, way, where), kind, where, f"{CHEAPER}.{way}"))
    student = said.get("distil", {})
    if "network" in student:
        student["network"] = _chosen(_table(student, "network", where), where, f"{CHEAPER}.distil.network")
    return _converted(said, Cheaper, where)


def _data(table: Mapping[str, Any], where: str) -> Any:
    """A data set by name; or one's own, whose words are checked by whoever reads it."""
    known = DataChoice.__struct_fields__
    said = {key.replace("-", "_"): value for key, value in table.items()}
    own = {key: value for key, value in said.items() if key not in known}
    if "name" in said and own:
        raise UsageError(
            f"{where} has an unknown setting [data] {next(iter(own))}", did_you_mean(next(iter(own)), known)
        )
    if "name" not in said and "source" not in own:
        raise UsageError(f"{where}: [data] has neither a name nor a source", 'name = "mnist", or source = "table.csv"')
    if "windows" in said:
        said["windows"] = _record(_table(said, "windows", where), Windows, where, "data.windows")
    return {key: value for key, value in said.items() if key in known} | {"own": own}


def _chosen(table: Mapping[str, Any], where: str, name: str) -> Any:
    if not isinstance(table.get("name"), str):
        raise UsageError(f"{where}: [{name}] has no name", f'[{name}] needs name = "…"')
    options = {key.replace("-", "_"): value for key, value in table.items() if key != "name"}
    return {"name": table["name"], "options": options}


def _every(tables: Any, where: str, name: str) -> Any:
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise UsageError(f"{where}: {name} is a list of tables", f'[[{name}]]\nname = "…"')
    return [_chosen(each, where, name) for each in tables]


def _record(table: Mapping[str, Any], kind: type[Record], where: str, name: str) -> Any:
    said = {key.replace("-", "_"): value for key, value in table.items()}
    _check_keys(said, kind.__struct_fields__, where, f"[{name}] ")
    return said


def _table(content: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    table = content[name]
    if not isinstance(table, dict):
        raise UsageError(f"{where}: {name} is a table, got {table!r}", f"[{name}]")
    return table


def _check_keys(said: Mapping[str, Any], known: tuple[str, ...], where: str, table: str) -> None:
    wrong = next((key for key in said if key not in known), None)
    if wrong is not None:
        raise UsageError(f"{where} has an unknown setting {table}{wrong}", did_you_mean(wrong, known))


def _converted(words: Mapping[str, Any], kind: type[R], where: str) -> R:
    try:
        return msgspec.convert(words, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: {error}", "see the guide to training for what each setting takes") from error


def _put(content: dict[str, Any], path: list[str], value: Any, told: str) -> None:
    for table in path[:-1]:
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise UsageError(f"{told}: '{table}' is no table of the recipe", "for example training.epochs=3")
    content[path[-1]] = value
