"""What all records share: frozen, keyword-only, closed to unknown fields, written and read as JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar, dataclass_transform

import msgspec


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class _RecordMeta(msgspec.StructMeta):
    """Makes every record, and every record derived from one, frozen, keyword-only and closed."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any) -> Any:
        settled = {"frozen": True, "kw_only": True, "forbid_unknown_fields": True} | config
        return super().__new__(mcls, name, bases, namespace, **settled)


class Record(msgspec.Struct, metaclass=_RecordMeta):
    """A frozen value that one stage hands on to the next."""


T = TypeVar("T")


def to_json(value: object, *, indent: int = 0) -> bytes:
    """JSON of a record (or of plain values holding records); numbers that are not finite become null."""
    raw = msgspec.json.encode(value)
    return msgspec.json.format(raw, indent=indent) if indent else raw


def from_json(raw: bytes | str, kind: type[T]) -> T:
    """The record of type `kind` that `raw` holds. Raises `msgspec.ValidationError` when it does not."""
    return msgspec.json.decode(raw, type=kind)


def digest(*parts: Any) -> str:
    """A short content hash (128 bits, hex) of JSON-able parts; equal parts give equal digests on every machine."""
    plain = json.dumps(msgspec.to_builtins(parts), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(plain.encode(), digest_size=16).hexdigest()
