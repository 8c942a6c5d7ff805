"""Columns of text become the numbers that a language model takes, by the `tokenizer.json` that belongs to it.

Format and API: https://huggingface.co/docs/tokenizers
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.data.column_items import RowNames
from steelyard.data.columns import Columns
from steelyard.data.convert import as_dtype, input_dtype
from steelyard.data.items import Array, ItemKind, Numbers, Rows, Steps
from steelyard.data.match import told_shape
from steelyard.data.sequences import ragged
from steelyard.data.wanted import Wanted
from steelyard.errors import DataError, UsageError
from steelyard.records.data import DataSpec
from steelyard.records.model import TensorInfo

IDS, MASK, TYPES, PLACES = "input_ids", "attention_mask", "token_type_ids", "position_ids"
SIGNS: Mapping[str, Sequence[str]] = {
    MASK: ("mask",),
    TYPES: ("type", "segment"),
    PLACES: ("position",),
    IDS: ("id", "token"),
}
"""What a text is turned into → what the name of a model's input that takes it has in it; tried in this order."""
PADDING_TOKENS = ("[PAD]", "<pad>", "<|endoftext|>")
SAMPLE = 500
"""Texts by which it is told how long they are, and how many are cut."""
MOST_FILE_BYTES = 128 * 2**20


class TokenItems:
    """The inputs of a language model, one row of text (or a pair) each, at its own length."""

    def __init__(self, wanted: Wanted, columns: Columns) -> None:
        spec = wanted.spec
        self.count = columns.rows
        self.names: Sequence[str] = RowNames(columns.rows)
        self._columns = _text_columns(spec, columns)
        self._texts = [columns.texts(name) for name in self._columns]
        self._fields = fields(wanted.inputs, spec)
        chosen = [info for info in wanted.inputs if info.name in self._fields]
        self._length = _fixed_length(chosen)
        self._tokenizer, self._pad_id, self._most = _opened(spec, self._length)
        typical, cut = self._sampled()
        self._dtypes = {info.name: input_dtype(info) for info in chosen}
        self.kinds: Mapping[str, ItemKind] = {info.name: self._kind(info, typical) for info in chosen}
        self.told = (f"about {cut:.0%} of the texts are longer than {self._most} tokens, and cut",) if cut else ()

    def read(self, numbers: Numbers) -> Rows:
        """The rows of these numbers, in this order."""
        texts, encoded = self._encoded(numbers)
        faults = {
            place: f"no text in the column {name!r}"
            for name, rows in reversed(list(zip(self._columns, texts, strict=True)))
            for place, text in enumerate(rows)
            if not text
        }
        return Rows({name: self._values(name, field, encoded) for name, field in self._fields.items()}, faults)

    def _encoded(self, numbers: Numbers) -> tuple[list[list[str]], Sequence[Any]]:
        """The texts of these rows, column by column, and what the tokenizer makes of each row."""
        texts = [[item.tobytes().decode() for item in packed.rows(numbers)] for packed in self._texts]
        rows = [row[0] if len(row) == 1 else row for row in zip(*texts, strict=True)]
        return texts, self._tokenizer.encode_batch(rows)

    def _values(self, name: str, field: str, encoded: Sequence[Any]) -> Array:
        dtype = self._dtypes[name]
        items = [as_dtype(np.asarray(_field(one, field), np.int64), dtype, name) for one in encoded]
        if self._length is None:
            return ragged(items)
        whole = np.full((len(items), self._length), self._fill(field), dtype)
        for place, item in enumerate(items):
            whole[place, : len(item)] = item
        return whole

    def _kind(self, info: TensorInfo, typical: float) -> ItemKind:
        dtype = self._dtypes[info.name]
        if self._length is not None:
            return ItemKind(dtype, (self._length,))
        return ItemKind(dtype, (), Steps(1, typical, self._fill(self._fields[info.name])))

    def _fill(self, field: str) -> float:
        return float(self._pad_id) if field == IDS else 0.0

    def _sampled(self) -> tuple[float, float]:
        """The mean number of tokens, and the share of texts that are cut."""
        numbers = np.unique(np.linspace(0, self.count - 1, min(SAMPLE, self.count)).astype(np.int64))
        _, encoded = self._encoded(numbers)
        return float(np.mean([len(one.ids) for one in encoded])), float(
            np.mean([bool(one.overflowing) for one in encoded])
        )


def fields(inputs: Sequence[TensorInfo], spec: DataSpec) -> dict[str, str]:
    """Model input → what of a text it takes. Raises DataError when no input takes tokens."""
    found: dict[str, str] = {}
    for info in inputs:
        said = spec.inputs.get(info.name)
        if said in SIGNS:
            found[info.name] = str(said)
        elif said is None and len(info.shape) == 2 and input_dtype(info).kind in "iuf":
            name = info.name.lower()
            field = next((field for field, signs in SIGNS.items() if any(sign in name for sign in signs)), None)
            if field is not None and field not in found.values():
                found[info.name] = field
    whole = [info.name for info in inputs if len(info.shape) == 2 and input_dtype(info).kind in "iu"]
    if not found and len(whole) == 1:
        found[whole[0]] = IDS
    if IDS not in found.values():
        told = ", ".join(f"{info.name} ({told_shape(info.shape)}, {info.dtype})" for info in inputs)
        raise DataError(
            f"none of the model's inputs takes tokens: {told}",
            f'[data.inputs] NAME = "{IDS}" (or "{MASK}", "{TYPES}") says which does',
        )
    return found


def _field(encoded: Any, field: str) -> Any:
    if field == PLACES:
        return range(len(encoded.ids))
    return {IDS: encoded.ids, MASK: encoded.attention_mask, TYPES: encoded.type_ids}[field]


def _text_columns(spec: DataSpec, columns: Columns) -> Sequence[str]:
    if spec.tokenizer is None:
        raise DataError("`text` names columns for a tokenizer, and none was given", "add --tokenizer tokenizer.json")
    texts = [name for name, seen in columns.seen.items() if seen.kind == "text" and name != spec.labels]
    named = [name for name in ("text", "sentence") if name in texts]
    chosen = spec.text or tuple(named[:1] or texts)
    missing = [name for name in chosen if name not in columns.seen]
    if missing or len(chosen) not in (1, 2) or (not spec.text and len(chosen) > 1):
        told = ", ".join(texts) or "none"
        wrong = f"there is no column {missing[0]!r}" if missing else "which column is the text?"
        raise DataError(
            f"{wrong}; columns of text in {columns.file.where}: {told}", "name it: --text COLUMN (two: a pair)"
        )
    return chosen


def _fixed_length(inputs: Sequence[TensorInfo]) -> int | None:
    """The number of tokens that the model insists on; None: it takes any."""
    lengths = {info.shape[1] for info in inputs}
    if len(lengths) > 1:
        told = ", ".join(f"{info.name} ({told_shape(info.shape)})" for info in inputs)
        raise DataError(f"the model's inputs for tokens differ in length: {told}", "export it with one length for all")
    return lengths.pop()


def _opened(spec: DataSpec, length: int | None) -> tuple[Any, int, int | None]:
    """The tokenizer, the number of the padding token, and to how many tokens texts are cut."""
    tokenizer = _read(str(spec.tokenizer))
    padding, truncation = tokenizer.padding, tokenizer.truncation
    tokenizer.no_padding()
    known = (tokenizer.token_to_id(token) for token in PADDING_TOKENS)
    pad_id = padding["pad_id"] if padding else next((number for number in known if number is not None), 0)
    limits = [limit for limit in (spec.max_tokens or (truncation or {}).get("max_length"), length) if limit]
    if spec.max_tokens is not None and (spec.max_tokens < 1 or (length and spec.max_tokens > length)):
        raise DataError(f"max_tokens is {spec.max_tokens}, expected 1 to {length or 'what the model takes'}")
    if not limits:
        return tokenizer, pad_id, None
    tokenizer.enable_truncation(max_length=min(limits))
    return tokenizer, pad_id, min(limits)


def _read(name: str) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UsageError(
            "turning text into tokens needs the package tokenizers", 'pip install "steelyard[text]"'
        ) from None
    path = Path(name).expanduser()
    if path.is_dir():
        path /= "tokenizer.json"
    if not path.is_file():
        raise DataError(f"there is no tokenizer at {name}", "name the model's tokenizer.json")
    if path.stat().st_size > MOST_FILE_BYTES:
        raise DataError(f"{path} is larger than {MOST_FILE_BYTES} bytes: it is no tokenizer.json")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:
        # The parser behind it raises plain exceptions.
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(
            f"{path} is no tokenizer.json: {reason}",
            "of a tokenizer in Python: tokenizer.backend_tokenizer.save('tokenizer.json')",
        ) from None
