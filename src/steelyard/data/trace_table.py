"""Read a trace file into numbers: a list, or columns by name. What they mean is decided in `traces`."""

from __future__ import annotations

import csv
import datetime
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from steelyard.errors import DataError

MOST_BYTES = 512 * 10**6
MOST_COLUMNS = 1000
"""Beyond these, what stands in the first line is a list of numbers and not a heading."""
TIME = ("time", "timestamp", "timestamps", "arrival", "arrival_time", "arrived_at", "t", "ts", "date", "datetime")
RATE = ("rate", "rps", "qps", "requests_per_second", "req_per_s", "per_second")
COUNT = ("count", "counts", "requests", "num_requests", "invocations", "hits")
FORMATS = (
    "one time a line, or one number of requests per second, or columns with names: "
    "time / time,rate / time,count; also JSON lines of these"
)
SINCE_EPOCH = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))
"""Times this large are nano-, micro-, milliseconds since 1970."""


class TraceTable(NamedTuple):
    """Columns of equal length, those that are absent empty; `plain` holds numbers that nothing names."""

    times: list[float]
    rates: list[float]
    counts: list[float]
    plain: list[float]
    dated: bool = False
    """Times were dates, so numbers among them mean what dates mean."""


def read_table(path: Path) -> TraceTable:
    """The numbers in a trace file. Raises `DataError`, naming the line, for what cannot be read."""
    text = _text(path)
    start = text.lstrip()[:1]
    if start in ("{", "[", '"'):
        return _of_json(path, text)
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines:
        raise DataError(f"the trace {path} is empty", f"it holds {FORMATS}")
    return _of_lines(path, lines)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(
                f"the trace {path} is larger than {MOST_BYTES // 10**6} MB", "count the requests of each second first"
            )
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"there is no trace at {path}", "for example --arrivals trace:requests.csv") from None
    except UnicodeDecodeError:
        raise DataError(f"the trace {path} is not text", f"unpack it first; it holds {FORMATS}") from None
    except OSError as error:
        raise DataError(
            f"the trace {path} cannot be read: {error.strerror}", "name a file that you may read"
        ) from error


def _of_lines(path: Path, lines: Sequence[tuple[int, str]]) -> TraceTable:
    first = lines[0][1]
    separator = next((mark for mark in (",", ";", "\t") if mark in first), None)
    names = [name.lower() for name in _fields(first, separator)]
    rows = ((number, _cells(line, separator)) for number, line in lines)
    if not any(_is_value(name) for name in names[:MOST_COLUMNS]):
        next(rows)
        return _columns(path, names, rows)
    if len(names) == 2 and len(lines) > 1:
        return _columns(path, ["time", "rate"], rows)
    values = ((number, field) for number, line in lines for field in _fields(line, separator))
    return TraceTable([], [], [], _values(path, values), dated=not _is_number(names[0]))


def _fields(line: str, separator: str | None) -> list[str]:
    if separator is None and re.match(r"\d{4}-\d\d-\d\d ", line):
        return [line]  # a date and a time with a space between
    return [field.strip().strip('"') for field in line.split(separator)]


def _cells(line: str, separator: str | None) -> list[str]:
    """As `_fields`, but a separator between quotation marks is none."""
    if separator is None or '"' not in line:
        return _fields(line, separator)
    return [field.strip() for field in next(csv.reader([line], delimiter=separator))]


def _of_json(path: Path, text: str) -> TraceTable:
    try:
        whole = msgspec.json.decode(text) if text.lstrip().startswith("[") else None
        records: list[Any] = whole if isinstance(whole, list) else []
        if whole is None:
            records = [msgspec.json.decode(line) for line in text.splitlines() if line.strip()]
    except msgspec.DecodeError as error:
        raise DataError(f"the trace {path} is not JSON lines: {error}", "one value or object a line") from error
    if not records:
        raise DataError(f"the trace {path} is empty", f"it holds {FORMATS}")
    if all(isinstance(record, dict) for record in records):
        names = [str(name).lower() for name in records[0]]
        lowered = ({str(name).lower(): value for name, value in record.items()} for record in records)
        rows = ((place, [record.get(name, "") for name in names]) for place, record in enumerate(lowered, 1))
        return _columns(path, names, rows)
    return TraceTable(
        [],
        [],
        [],
        _values(path, enumerate(records, 1)),
        dated=isinstance(records[0], str) and not _is_number(records[0]),
    )


def _columns(path: Path, names: Sequence[str], rows: Iterable[tuple[int, Sequence[Any]]]) -> TraceTable:
    """The columns that are known by name; others are passed over."""
    places = [next((names.index(name) for name in known if name in names), None) for known in (TIME, RATE, COUNT)]
    if all(place is None for place in places):
        raise DataError(
            f"the trace {path} has the columns {', '.join(names)}: none is known",
            f"name one of them 'time', 'rate' or 'count'; a trace holds {FORMATS}",
        )
    kept = [
        (number, [fields[p] if p is not None and p < len(fields) else "" for p in places]) for number, fields in rows
    ]
    columns = [
        [] if place is None else _values(path, ((number, cells[column]) for number, cells in kept))
        for column, place in enumerate(places)
    ]
    if not kept:
        raise DataError(f"the trace {path} holds no rows under its heading", f"it holds {FORMATS}")
    return TraceTable(columns[0], columns[1], columns[2], [])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_value(text: str) -> bool:
    return _read(text) is not None


def _read(said: Any) -> float | None:
    """The number or date that is said, if it is one."""
    if isinstance(said, bool):
        return None
    try:
        return float(said)
    except (TypeError, ValueError):
        try:
            date = datetime.datetime.fromisoformat(str(said))
        except ValueError:
            return None
        return date.replace(tzinfo=date.tzinfo or datetime.UTC).timestamp()


def _values(path: Path, said: Iterable[tuple[int, Any]]) -> list[float]:
    """The numbers and dates that are said, each with its line."""
    return [_value(path, line, value) for line, value in said]


def _value(path: Path, line: int, said: Any) -> float:
    value = _read(said)
    if value is None:
        raise DataError(f"line {line} of the trace {path} cannot be read: '{str(said)[:60]}'", f"it holds {FORMATS}")
    if not math.isfinite(value):
        raise DataError(f"line {line} of the trace {path} holds {value}", "remove it, or give a number")
    if value < SINCE_EPOCH[-1][0]:
        return value
    return next(value * unit for least, unit in SINCE_EPOCH if value >= least)
