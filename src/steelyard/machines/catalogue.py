"""Catalogues of machines and their prices: those shipped with Steelyard, and the user's own CSV files."""

from __future__ import annotations

import csv
import io
import itertools
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from steelyard.errors import UsageError
from steelyard.machines.cpu import architecture
from steelyard.machines.processors import processor_of
from steelyard.records.base import Record
from steelyard.records.currencies import CODES

MOST_BYTES = 20_000_000
MIB = 1024**2
LONGEST_FIELD = 131_072
SPOT = ("spot_usd_per_hour", "spot_price_per_hour")
SHIPPED = ("aws_us_east_1", "gcp_us_central1", "azure_eastus2")
FORM = (
    "a catalogue is a CSV file with a header; its columns are machine and usd_per_hour, or machine, price_per_hour "
    "and currency; spot_usd_per_hour or spot_price_per_hour, vcpu, memory_mib, arch, cpu_vendor, cpu, features, "
    "gpu_count, gpu_name, date and source may be added"
)


class Offer(Record):
    """A machine that can be rented, as a catalogue tells it. What the catalogue does not tell is None or empty."""

    name: str
    per_hour: float
    currency: str
    vcpu: int | None = None
    memory_mb: int | None = None
    """MB of 10^6 bytes (catalogues count MiB)."""
    arch: str = ""
    """As Linux names it: x86_64, aarch64."""
    cpu_vendor: str = ""
    gpu_count: int = 0
    """0 with a `gpu_name`: a part of one GPU."""
    gpu_name: str = ""
    spot_per_hour: float | None = None
    """What it costs when it may be taken away at any moment."""
    cpu: str = ""
    features: tuple[str, ...] = ()
    """Instruction sets as a `Machine` has them; empty: not known."""
    source: str = ""
    """Where the price comes from, and of when it is."""


def offers(catalogue: Path | None = None) -> list[Offer]:
    """All machines of a catalogue in its order; None: the shipped ones. UsageError by line for a faulty file."""
    if catalogue is not None:
        return _offers(catalogue, f"{catalogue.name} (catalogue of your own)")
    return [offer for name in SHIPPED for offer in _offers(_shipped(f"{name}.csv"), _origin(name))]


def _offers(path: Path, origin: str) -> list[Offer]:
    found: dict[str, tuple[int, Offer]] = {}
    for number, row in _rows(path.name, _text(path)):
        where = f"{path.name}, line {number}"
        offer = _offer(row, where, origin)
        if offer.name in found:
            raise _fault(where, f"{offer.name} was given already in line {found[offer.name][0]}")
        found[offer.name] = (number, offer)
    if not found:
        raise UsageError(f"{path.name} holds no machine, only a header", FORM)
    return [offer for _, offer in found.values()]


def _origin(name: str) -> str:
    """Where a shipped catalogue comes from, for people."""
    notes = tomllib.loads(_shipped(f"{name}.toml").read_text(encoding="utf-8"))
    return f"{notes['title']} {notes['region']}, {notes['date']} (catalogue shipped with Steelyard)"


def _shipped(name: str) -> Path:
    return Path(str(files("steelyard.machines") / name))


def _text(path: Path) -> str:
    """The file's text; a byte-order mark, as spreadsheets write it, is passed over."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise UsageError(f"{path.name} is larger than a catalogue may be ({MOST_BYTES:,} bytes)", FORM)
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"the catalogue {path} cannot be read: {error.strerror}", FORM) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name} is not UTF-8 text (byte {error.start})", "save it as CSV in UTF-8") from error


def _rows(name: str, text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Line numbers as an editor counts them, and the fields by column; empty lines are passed over."""
    csv.field_size_limit(LONGEST_FIELD)  # the limit is the process's, and tables of data need another one
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = _columns(name, next(reader, []))
        for fields in reader:
            where = f"{name}, line {reader.line_num}"
            if len(fields) not in (0, len(columns)):
                raise _fault(where, f"expected {len(columns)} fields as in the header, got {len(fields)}")
            if any(field.strip() for field in fields):
                yield reader.line_num, dict(zip(columns, (field.strip() for field in fields), strict=True))
    except csv.Error as error:
        raise _fault(f"{name}, line {reader.line_num}", str(error)) from error


def _columns(name: str, header: list[str]) -> list[str]:
    columns = [column.strip() for column in header]
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise UsageError(f"{name} has the column {twice!r} more than once", FORM)
    if "machine" not in columns or not ("usd_per_hour" in columns or {"price_per_hour", "currency"} <= set(columns)):
        raise UsageError(f"{name} lacks the columns of a catalogue, it has: {', '.join(columns) or 'none'}", FORM)
    for one, other in itertools.product(("usd_per_hour", SPOT[0]), ("price_per_hour", SPOT[1])):
        if one in columns and other in columns:
            raise UsageError(f"{name} has both {one} and {other}: one of them must go", FORM)
    return columns


def _offer(row: Mapping[str, str], where: str, origin: str) -> Offer:
    in_dollars = "usd_per_hour" in row
    currency = "USD" if in_dollars else row["currency"].upper()
    if not row["machine"]:
        raise _fault(where, "machine is empty")
    if currency not in CODES:
        raise _fault(where, f"currency is a code of three letters such as EUR, got {row['currency']!r}")
    mib = _count(row, "memory_mib", where)
    cpu, features = processor_of(row["machine"])
    return Offer(
        name=row["machine"],
        per_hour=_price(row, "usd_per_hour" if in_dollars else "price_per_hour", where),
        currency=currency,
        vcpu=_count(row, "vcpu", where),
        memory_mb=None if mib is None else mib * MIB // 10**6,
        arch=architecture(row.get("arch", "")),
        cpu_vendor=row.get("cpu_vendor", "").lower(),
        gpu_count=_count(row, "gpu_count", where) or 0,
        gpu_name=row.get("gpu_name", ""),
        spot_per_hour=_spot(row, where),
        cpu=row.get("cpu") or cpu,
        features=tuple(sorted(row.get("features", "").lower().split())) or features,
        source=", ".join(part for part in (origin, row.get("date", ""), row.get("source", "")) if part),
    )


def _spot(row: Mapping[str, str], where: str) -> float | None:
    """The spot price; a row without one has none."""
    for column in SPOT:
        if row.get(column):
            return _price(row, column, where)
    return None


def _price(row: Mapping[str, str], column: str, where: str) -> float:
    try:
        price = float(row[column])
    except ValueError:
        price = float("nan")
    if not row[column]:
        raise _fault(where, f"{column} is empty: a machine without a price cannot be chosen, leave its line out")
    if not 0 < price < float("inf"):
        raise _fault(where, f"{column} is a number above 0, got {row[column]!r}")
    return price


def _count(row: Mapping[str, str], column: str, where: str) -> int | None:
    """A whole number; None when the column is missing or empty."""
    text = row.get(column, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 12):
        raise _fault(where, f"{column} is a whole number, got {text!r}")
    return int(text)


def _fault(where: str, what: str) -> UsageError:
    return UsageError(f"{where}: {what}", FORM)
