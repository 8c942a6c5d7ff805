"""What holds and where it came from: flags over environment over `steelyard.toml` over defaults."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.errors import UsageError
from steelyard.loop.order import DATA, DEFAULTS, PREPROCESS, PRICE, REQUIREMENTS, RUN
from steelyard.records.spelling import did_you_mean

FILE = "steelyard.toml"
PREFIX = "STEELYARD_"

PLACES: dict[str, tuple[str, ...]] = {
    "": ("model", "data", "seed", *RUN),
    "requirements": REQUIREMENTS,
    "price": PRICE,
    "data": ("source", *DATA),
    "preprocess": PREPROCESS,
    "machines": (),
    "variants": (),
}
"""Tables of the file and their keys; dashes and underscores are the same."""
BY_NAME = ("machines", "variants")
"""In these tables any key is a name: of a machine, of a variant."""
FROM_ENVIRONMENT = (*REQUIREMENTS, *(name for name in PRICE if name != "machines"), *RUN, "seed")


@dataclass(frozen=True)
class Setting:
    """One value and its origin."""

    value: Any
    origin: str


class Settings(dict[str, Setting]):
    """Settings by name (`preprocess.resize` for those of a table that has the same names as another)."""

    @property
    def words(self) -> dict[str, Any]:
        """The values by name."""
        return {name: setting.value for name, setting in self.items()}


def collect(flags: Mapping[str, Any], file: Path | None) -> Settings:
    """Everything that holds. `flags` hold None for what was not given. Raises `UsageError` for what is unknown."""
    settings = Settings({name: Setting(value, "default") for name, value in DEFAULTS.items()})
    settings.update(_from_file(file))
    settings.update(_from_environment(os.environ))
    settings.update({n: Setting(v, "command line") for n, v in flags.items() if v not in (None, [], ())})
    if "quality" in settings and settings["quality_drop"].origin == "default":
        del settings["quality_drop"]
    return settings


def _from_environment(environment: Mapping[str, str]) -> dict[str, Setting]:
    found = {}
    for name in FROM_ENVIRONMENT:
        variable = PREFIX + name.upper()
        if environment.get(variable):
            found[name] = Setting(environment[variable], f"environment, {variable}")
    for variable, value in environment.items():
        match = re.fullmatch(PREFIX + r"P(\d+(?:_\d+)?)", variable)
        if match:
            found["latency"] = Setting(f"p{match[1].replace('_', '.')}={value}", f"environment, {variable}")
    return found


def _from_file(file: Path | None) -> dict[str, Setting]:
    path = file or Path(FILE)
    if file is None and not path.is_file():
        return {}
    found = {}
    for table, values in _tables(_parsed(path)):
        if table in BY_NAME:
            found[table] = Setting(values, f"{path}, [{table}]")
            continue
        for key, value in values.items():
            name, said = _named(table, key, value, path)
            found[name] = Setting(said, f"{path}, [{table}] {key}" if table else f"{path}, {key}")
    return found


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}", "give the right place with --config") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "it is TOML; see the guide to steelyard.toml") from error


def _tables(content: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    top = {key: value for key, value in content.items() if not isinstance(value, dict)}
    return [("", top), *((key, value) for key, value in content.items() if isinstance(value, dict))]


def _named(table: str, key: str, value: Any, path: Path) -> tuple[str, Any]:
    """The setting's name, and its value with a percentile key turned into words."""
    known, name = PLACES.get(table), key.replace("-", "_")
    if known is None:
        raise UsageError(f"{path} has an unknown table [{table}]", did_you_mean(table, [p for p in PLACES if p]))
    if table == "requirements" and re.fullmatch(r"p\d+(\.\d+)?", key):
        return "latency", f"{key}={value}"
    if name not in known:
        where = f"[{table}] " if table else ""
        raise UsageError(f"{path} has an unknown setting {where}{key}", did_you_mean(name, list(known)))
    if table == "preprocess":
        return f"preprocess.{name}", value
    return ("data" if (table, name) == ("data", "source") else name), value
