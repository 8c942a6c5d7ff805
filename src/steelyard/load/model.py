"""What a server tells of a model, asked over the Open Inference Protocol and checked: nothing of it is trusted."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from steelyard.errors import InputError, UsageError
from steelyard.load.client import ask, run_on_loop
from steelyard.load.responses import Response
from steelyard.load.target import Target
from steelyard.serve.datatypes import DATATYPES

ANSWER_S = 30.0
"""One question on its own is answered within this time."""
MOST_TOLD = 4 * 2**20
"""Bytes of what a server may tell of its models."""
MOST_INPUTS, MOST_DIMENSIONS, MOST_VALUES = 256, 16, 2**28
SHOWN = 300
"""Characters of what a server said that are shown."""


class Tensor(msgspec.Struct, frozen=True):
    """One input, as the server names it. −1 in the shape may vary; the first dimension counts items."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Model(msgspec.Struct, frozen=True):
    """What requests are made for."""

    name: str
    inputs: tuple[Tensor, ...]
    version: str = ""
    """The one that is asked; empty: the server chooses."""

    @property
    def path(self) -> str:
        """Where the model is asked."""
        return _path(self.name, self.version) + "/infer"

    @property
    def fixed_items(self) -> int | None:
        """Items that one request must have; None: any number."""
        first = {tensor.shape[0] for tensor in self.inputs if tensor.shape}
        return max((size for size in first if size >= 0), default=None)


class _Told(msgspec.Struct):
    inputs: list[Tensor]


def ask_model(target: Target, name: str = "", version: str = "") -> Model:
    """The model that the server has under this name; without a name the only one that it lists.

    Raises `InputError` when the server cannot be reached, does not know the model, or tells nonsense.
    """
    name = name or _only_model(target)
    response = _asked(target, "GET", _path(name, version))
    if response.head.status != 200:
        raise _refused(target, name, version, response)
    try:
        told = msgspec.json.decode(response.body, type=_Told, strict=False)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(
            f"{target.url} answers, but not with the metadata of a model: {error}",
            "the tool needs a server of the Open Inference Protocol (/v2) over HTTP",
        ) from None
    return _checked(Model(name, tuple(told.inputs), version))


def _path(name: str, version: str) -> str:
    return f"/v2/models/{quote(name, safe='')}" + (f"/versions/{quote(version, safe='')}" if version else "")


def _asked(target: Target, method: str, path: str, body: bytes = b"") -> Response:
    request = target.request(method, path, body, [("Content-Type", "application/json")] if body else [])
    return run_on_loop(lambda: ask(target, request, MOST_TOLD, ANSWER_S))


def _checked(model: Model) -> Model:
    """The same, if requests can be made for it."""
    if not 0 < len(model.inputs) <= MOST_INPUTS:
        raise InputError(f"the model {model.name} has {len(model.inputs)} inputs; 1 to {MOST_INPUTS} are possible")
    for tensor in model.inputs:
        if tensor.datatype not in DATATYPES:
            raise InputError(
                f"the input {clean(tensor.name)} of {model.name} has the unknown datatype {clean(tensor.datatype)}",
                f"known are {', '.join(DATATYPES)}",
            )
        sizes = [abs(size) for size in tensor.shape]
        if len(sizes) > MOST_DIMENSIONS or min(tensor.shape, default=0) < -1 or math.prod(sizes) > MOST_VALUES:
            raise InputError(f"the input {clean(tensor.name)} of {model.name} has the impossible shape {tensor.shape}")
    return model


def _only_model(target: Target) -> str:
    names = models_of(target)
    if len(names) == 1:
        return names[0]
    listed = f"it lists {in_line(names)}" if names else "it lists none"
    raise UsageError(f"which model of {target.url}? {listed}", "name it with --model")


def models_of(target: Target) -> list[str]:
    """Names of the models that the server lists, where it lists any (an extension of the protocol)."""
    response = _asked(target, "POST", "/v2/repository/index", b"{}")
    if response.head.status != 200:
        return []
    try:
        told = json.loads(response.body)
    except (ValueError, RecursionError):
        return []
    names = [entry.get("name") for entry in told if isinstance(entry, dict)] if isinstance(told, list) else []
    return sorted({name for name in names if isinstance(name, str) and name == clean(name)})


def in_line(names: list[str]) -> str:
    """Names for people, not too many."""
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _refused(target: Target, name: str, version: str, response: Response) -> InputError:
    """Why the server told nothing of the model."""
    status, said = response.head.status, error_of(response)
    if status in (401, 403):
        return InputError(
            f"{target.url} answers only to those who may ask ({status}: {said})",
            'give a token in STEELYARD_TOKEN, or --header "Authorization: Bearer …"',
        )
    what = f"the model {clean(name)}" + (f", version {clean(version)}" if version else "")
    if status in (400, 404):
        names = models_of(target)
        hint = f"it has {in_line(names)}" if names else "check --model; is this the address of a /v2 server?"
        return InputError(f"{target.url} does not have {what} ({status}: {said})", hint)
    return InputError(f"{target.url} tells nothing of {what} ({status}: {said})", "see the server's log")


def error_of(response: Response) -> str:
    """What went wrong, in the server's words: its `error`, or the beginning of its answer."""
    try:
        told: Any = json.loads(response.body)
    except (ValueError, RecursionError):
        told = None
    said = told.get("error") if isinstance(told, Mapping) else None
    return clean(said if isinstance(said, str) and said else response.body[: 4 * SHOWN].decode("utf-8", "replace"))


def clean(text: str) -> str:
    """What came from the wire as one short line without control characters."""
    line = re.sub(r"\s+", " ", text).strip()
    printable = "".join(letter if letter.isprintable() else "�" for letter in line[: 4 * SHOWN])
    return printable if len(printable) <= SHOWN else printable[:SHOWN] + " …"
