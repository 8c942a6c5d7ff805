"""From settings to records: the job, the requirements, the price."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from steelyard.cli.settings import PREPROCESS, REQUIREMENTS, Settings
from steelyard.errors import UsageError
from steelyard.machines.here import this_machine
from steelyard.machines.prices import mismatch, parse_price, price_of
from steelyard.records import stated
from steelyard.records.data import DataSpec, Preprocess
from steelyard.records.job import Job
from steelyard.records.machine import Price
from steelyard.records.requirements import Requirements

T = TypeVar("T")


def job(settings: Settings) -> Job:
    """The weighing that the settings order. Raises `UsageError` for what is missing or cannot be read."""
    priced, warnings = price(settings)
    return Job(
        model=str(_needed(settings, "model", "the model file, e.g. steelyard weigh net.onnx --data val.npz")),
        data=data(settings),
        requirements=requirements(settings),
        price=priced,
        metric=settings.get_value("metric"),
        out=str(settings.get_value("out")),
        work=str(settings.get_value("work")),
        ledger=settings.get_value("ledger"),
        within_s=stated.seconds(str(settings.get_value("within")), "--within"),
        candidate_seconds=stated.seconds(str(settings.get_value("candidate_time")), "--candidate-time"),
        candidate_memory_mb=_memory(settings),
        warnings=warnings,
    )


def _memory(settings: Settings) -> float | None:
    said = settings.get_value("candidate_memory")
    return None if said is None else stated.megabytes(str(said), "--candidate-memory")


def _needed(settings: Settings, name: str, what: str) -> Any:
    value = settings.get_value(name)
    if value is None:
        raise UsageError(f"missing: {what}", f"or write it into steelyard.toml as {name} = …")
    return value


def requirements(settings: Settings) -> Requirements:
    """What the plan must keep."""
    return stated.requirements(settings.words(REQUIREMENTS))


def price(settings: Settings) -> tuple[Price, tuple[str, ...]]:
    """What a machine costs, and where the priced machine differs from this one."""
    said, machine = settings.get_value("price"), settings.get_value("machine")
    catalogue = settings.get_value("catalogue")
    if said is not None:
        given = parse_price(str(said))
        return (given if machine is None else msgspec.structs.replace(given, machine=str(machine))), ()
    if machine is None:
        if catalogue is not None:
            raise UsageError("a catalogue is no use without a machine's name", "add --machine NAME")
        return Price(), ()
    place = None if catalogue is None else Path(str(catalogue))
    return price_of(str(machine), place), tuple(mismatch(str(machine), this_machine(), place))


def data(settings: Settings) -> DataSpec:
    """Where the validation data is and how it becomes model inputs."""
    plain = {
        "source": str(_needed(settings, "data", "the validation data (--data)")),
        "inputs": _pairs(settings.get_value("inputs", {})),
        "preprocess": preprocess(settings),
    }
    for name in ("labels", "calibration", "manifest", "classes", "label_offset", "limit", "seed"):
        if name in settings:
            plain[name] = settings.get_value(name)
    return _converted(plain, DataSpec)


def preprocess(settings: Settings) -> Preprocess:
    """The `[preprocess]` table, or `--preprocess KEY=VALUE`."""
    plain = {n: settings.get_value(f"preprocess.{n}") for n in PREPROCESS if f"preprocess.{n}" in settings}
    for name in ("mean", "std"):
        if isinstance(plain.get(name), int | float):
            plain[name] = [plain[name]]
    return _converted(plain, Preprocess)


def _converted(plain: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(plain, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"a setting of the data cannot be read: {error}") from error


def _pairs(said: Any) -> dict[str, str]:
    """`["image=x"]` or a table as a dictionary."""
    if isinstance(said, Mapping):
        return {str(key): str(value) for key, value in said.items()}
    pairs = {}
    for text in said:
        name, separator, value = str(text).partition("=")
        if not separator:
            raise UsageError(f"--input names a model input and an array, got '{text}'", "for example --input image=x")
        pairs[name] = value
    return pairs


def preprocess_flags(given: list[str] | None) -> dict[str, Any]:
    """`resize=224`, `mean=0.485,0.456,0.406` as settings by name."""
    settings: dict[str, Any] = {}
    for text in given or []:
        name, separator, value = text.partition("=")
        if not separator or name not in PREPROCESS:
            raise UsageError(
                f"--preprocess takes KEY=VALUE, got '{text}'", f"known keys: {', '.join(PREPROCESS)}; e.g. resize=224"
            )
        settings[f"preprocess.{name}"] = _value(name, value)
    return settings


def _value(name: str, text: str) -> Any:
    if name in ("interpolation", "colour", "layout", "dtype"):
        return text
    try:
        numbers = [float(part) for part in text.replace("x", ",").split(",")]
    except ValueError:
        raise UsageError(f"--preprocess {name} takes numbers, got '{text}'", f"for example {name}=224") from None
    if name in ("resize", "crop"):
        whole = [int(number) for number in numbers]
        return (whole * 2 if name == "crop" else whole[0]) if len(whole) == 1 else whole
    return numbers[0] if name == "scale" else numbers
