"""From words to records: the job, the requirements, the price, as people state them.

`words` are settings by name (`latency`, `rate`, `price`, `preprocess.resize` …), texts or plain values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from steelyard.data.traces import read_trace
from steelyard.errors import UsageError
from steelyard.loop.joined import Pricing
from steelyard.machines.here import this_machine
from steelyard.machines.prices import is_known, mismatch, parse_price, price_of
from steelyard.records import stated
from steelyard.records.arrivals import Arrivals
from steelyard.records.data import DataSpec, Preprocess
from steelyard.records.job import Job
from steelyard.records.machine import Price
from steelyard.records.requirements import Requirements

T = TypeVar("T")

REQUIREMENTS = (
    "latency", "quality", "quality_drop", "rate", "scenario", "memory", "budget", "priority", "confidence", "headroom",
    "spare", "arrivals",
)  # fmt: skip
PREPROCESS = ("resize", "crop", "interpolation", "colour", "layout", "scale", "mean", "std", "dtype")
DATA = (
    "labels", "classes", "label_offset", "calibration", "inputs", "columns", "text", "tokenizer", "max_tokens",
    "padding", "missing", "duplicates", "manifest", "limit", "seed",
)  # fmt: skip
LISTS = ("classes", "columns", "text")
"""Of these a text with commas is a list."""
PRICE = ("price", "machine", "catalogue", "spot", "machines")
RUN = (
    "metric", "output", "out", "work", "ledger", "on", "mlflow", "within",
    "exhaustive",
    "candidate_time", "candidate_memory",
)  # fmt: skip
INPUT = ("--input names a model input and an array or columns", "for example --input image=x")
VARIANT = ("--variant names a variant and its model file", "for example --variant distilled=distilled.onnx")
MACHINE_PRICE = ("--machine-price names a machine and its price", "for example --machine-price m7a.large=0.11USD/h")
WORDS = (*REQUIREMENTS, *PRICE, *RUN, *DATA, "preprocess", "variants")
"""Every word but the model and the data themselves."""
DEFAULTS: dict[str, Any] = {
    "quality_drop": "1%",
    "confidence": "95%",
    "headroom": "0%",
    "spot": False,
    "priority": "cost",
    "within": "10min",
    "exhaustive": False,
    "candidate_time": "5min",
    "out": "steelyard-plan",
    "work": ".steelyard",
    "seed": 0,
}
"""The quality drop holds only where no quality is required otherwise."""


def job(words: Mapping[str, Any]) -> Job:
    """The weighing that the words order. Raises `UsageError` for what is missing or cannot be read."""
    words = {name: value for name, value in DEFAULTS.items() if name != "quality_drop"} | dict(words)
    priced, warnings = price(words)
    return Job(
        model=str(_needed(words, "model", "the model file, e.g. steelyard weigh net.onnx --data val.npz")),
        data=data(words),
        requirements=requirements(words),
        price=priced,
        variants=pairs(words.get("variants", {}), VARIANT),
        metric=words.get("metric"),
        output=words.get("output"),
        out=str(words.get("out")),
        work=str(words.get("work")),
        ledger=words.get("ledger"),
        within_s=stated.seconds(str(words.get("within")), "--within"),
        exhaustive=stated.yes(words.get("exhaustive"), "--exhaustive"),
        candidate_seconds=stated.seconds(str(words.get("candidate_time")), "--candidate-time"),
        candidate_memory_mb=_memory(words),
        warnings=warnings,
        on=_cluster(words),
        machine_prices=machine_prices(words),
        mlflow=words.get("mlflow"),
    )


def _cluster(words: Mapping[str, Any]) -> str | None:
    """The cluster to weigh on: `ray` or `ray://HOST:PORT`."""
    said = words.get("on")
    if said is not None and said != "ray" and not str(said).startswith("ray://"):
        raise UsageError(f"--on names a Ray cluster, got '{said}'", "--on ray, or --on ray://HOST:10001")
    return None if said is None else str(said)


def _memory(words: Mapping[str, Any]) -> float | None:
    said = words.get("candidate_memory")
    return None if said is None else stated.megabytes(str(said), "--candidate-memory")


def _needed(words: Mapping[str, Any], name: str, what: str) -> Any:
    value = words.get(name)
    if value is None:
        raise UsageError(f"missing: {what}", f"or write it into steelyard.toml as {name} = …")
    return value


def requirements(words: Mapping[str, Any]) -> Requirements:
    """What the plan must keep."""
    said = stated.requirements({n: str(words[n]) for n in REQUIREMENTS if n in words and n != "arrivals"})
    return msgspec.structs.replace(said, arrivals=arrivals(words))


def arrivals(words: Mapping[str, Any]) -> Arrivals:
    """How requests come: `poisson`, `gamma:2`, `trace:requests.csv`."""
    said = str(words.get("arrivals", "poisson"))
    kind, _, file = said.partition(":")
    if kind.strip().lower() != "trace":
        return stated.stated_arrivals(said)
    if not file.strip():
        raise UsageError("--arrivals trace: needs a file", "for example --arrivals trace:requests.csv")
    return read_trace(file.strip())


def price(words: Mapping[str, Any]) -> tuple[Price, tuple[str, ...]]:
    """What a machine costs, and where the priced machine differs from this one."""
    said, machine, catalogue = (words.get(name) for name in ("price", "machine", "catalogue"))
    place, spot = None if catalogue is None else Path(str(catalogue)), stated.yes(words.get("spot", False), "--spot")
    if said is not None:
        return _given_price(str(said), None if machine is None else str(machine), place, spot)
    if machine is None:
        if catalogue is not None:
            raise UsageError("a catalogue is no use without a machine's name", "add --machine NAME")
        if spot:
            raise UsageError("a spot price was asked for and no price given", "add --machine NAME or --price 0.03USD/h")
        return Price(), ()
    return price_of(str(machine), place, spot=spot), tuple(mismatch(str(machine), this_machine(), place))


def pricing(words: Mapping[str, Any]) -> tuple[Pricing, tuple[str, ...]]:
    """What machines cost, when several may be decided on: one price for all, or each its own."""
    by_name, machine = machine_prices(words), str(words.get("machine") or "")
    said = words.get("price") is not None or bool(machine)
    if words.get("price") is None and machine in by_name:
        return Pricing(by_name[machine], said=True, only=machine), ()
    default, warnings = price(words)
    return Pricing(default, said, by_name, only=machine), warnings


def machine_prices(words: Mapping[str, Any]) -> dict[str, Price]:
    """`["NAME=0.10USD/h"]` (or a machine of the catalogue after the =), or the `[machines.NAME]` tables, as prices."""
    said, catalogue = words.get("machines", {}), words.get("catalogue")
    place = None if catalogue is None else Path(str(catalogue))
    tables = said if isinstance(said, Mapping) else pairs(said, MACHINE_PRICE)
    return {str(name): _machine_price(str(name), table, place) for name, table in tables.items()}


def _machine_price(name: str, table: object, catalogue: Path | None) -> Price:
    known = ("price", "machine", "spot")
    table = {"price": table} if isinstance(table, str) else table
    if not isinstance(table, Mapping) or not table or set(table) - set(known) or not set(table) & {"price", "machine"}:
        raise UsageError(f"[machines.{name}] takes {', '.join(known)}", 'for example price = "0.10USD/h"')
    spot = stated.yes(table.get("spot", False), f"[machines.{name}] spot")
    text = str(table.get("price") or table["machine"])
    if "price" in table and not is_known(text, catalogue):
        return msgspec.structs.replace(parse_price(text), machine=name, spot=spot)
    return msgspec.structs.replace(price_of(text, catalogue, spot=spot), machine=name)


def _given_price(said: str, machine: str | None, place: Path | None, spot: bool) -> tuple[Price, tuple[str, ...]]:
    """A price as it was said; the machine is any name, compared with this one where a catalogue knows it."""
    given = msgspec.structs.replace(parse_price(said), spot=spot)
    if machine is None:
        return given, ()
    told = tuple(mismatch(machine, this_machine(), place)) if is_known(machine, place) else ()
    return msgspec.structs.replace(given, machine=machine), told


def data(words: Mapping[str, Any]) -> DataSpec:
    """Where the validation data is and how it becomes model inputs."""
    plain = {
        "source": str(_needed(words, "data", "the validation data (--data)")),
        "inputs": pairs(words.get("inputs", {})),
        "preprocess": preprocess(words),
    }
    for name in DATA:
        if name != "inputs" and name in words:
            plain[name] = listed(words[name]) if name in LISTS else words[name]
    return _converted(plain, DataSpec)


def listed(said: Any) -> Any:
    """`a,b` as a list; one is one already."""
    return [part.strip() for part in said.split(",")] if isinstance(said, str) else said


def preprocess(words: Mapping[str, Any]) -> Preprocess:
    """The `[preprocess]` table, or `--preprocess KEY=VALUE`."""
    plain = {n: words.get(f"preprocess.{n}") for n in PREPROCESS if f"preprocess.{n}" in words}
    for name in ("mean", "std"):
        if isinstance(plain.get(name), int | float):
            plain[name] = [plain[name]]
    return _converted(plain, Preprocess)


def _converted(plain: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(plain, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"a setting of the data cannot be read: {error}") from error


def pairs(said: Any, what: tuple[str, str] = INPUT) -> dict[str, str]:
    """`["image=x"]` or a table as a dictionary."""
    if isinstance(said, Mapping):
        return {str(key): str(value) for key, value in said.items()}
    pairs = {}
    for text in said:
        name, separator, value = str(text).partition("=")
        if not separator:
            raise UsageError(f"{what[0]}, got '{text}'", what[1])
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
