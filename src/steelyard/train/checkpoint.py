"""What training needs to go on where it was, in one file: tensors as safetensors, the rest as JSON in its header.

A file is written beside the old one, brought to disk and renamed over it: whatever happens meanwhile, one that is whole
is there. Nothing in it is executed when it is read.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from steelyard.errors import DataError

State = dict[str, Any]
"""Dictionaries, lists, tuples, numbers, words and tensors, nested as may be."""

_TENSOR, _PAIRS, _TUPLE = "$tensor", "$pairs", "$tuple"


def write(path: Path, state: State) -> None:
    """Put `state` in the place of what lies at `path`. Raises DataError when there is no room."""
    tensors: dict[str, torch.Tensor] = {}
    rest = json.dumps(_without_tensors(state, tensors))
    write_raw(path, save(tensors, {"state": rest}))


def write_raw(path: Path, content: bytes) -> None:
    """The same for what is a checkpoint already, from another machine."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise DataError(
            f"the checkpoint {path} cannot be written: {error.strerror or error}",
            "make room, or name another folder with --out; the checkpoint before it is still there",
        ) from error


def read(path: Path) -> State:
    """What was written. Raises DataError for a file that is damaged or none of ours."""
    try:
        with safe_open(str(path), "pt") as file:
            rest = json.loads((file.metadata() or {})["state"])
            state: State = _with_tensors(rest, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(f"the checkpoint {path} is damaged: {error}", "begin anew with --fresh") from error
    return state


def check_identity(state: State, identity: str, path: Path) -> None:
    """Raises DataError when the checkpoint is of other data, or another recipe."""
    if state["identity"] != identity:
        raise DataError(
            f"the checkpoint {path} belongs to another run: the recipe or the data have changed since",
            "begin anew with --fresh, or keep it by naming another folder with --out",
        )


def restore(optimiser: torch.optim.Optimizer, state: State) -> None:
    """Bring an optimiser to where this state was taken.

    A file keeps no layout, and fused steps go through a parameter and its moments by address: lay them out alike again.
    """
    optimiser.load_state_dict(state)
    for parameter, kept in optimiser.state.items():
        for name, value in kept.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                kept[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _without_tensors(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Plain values, with a name in the place of each tensor."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: _without_tensors(each, tensors) for key, each in value.items()}
        return {_PAIRS: [[key, _without_tensors(each, tensors)] for key, each in value.items()]}
    if isinstance(value, tuple):
        return {_TUPLE: [_without_tensors(each, tensors) for each in value]}
    if isinstance(value, list):
        return [_without_tensors(each, tensors) for each in value]
    return value


def _with_tensors(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_with_tensors(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _PAIRS in value:
        return {key: _with_tensors(each, tensors) for key, each in value[_PAIRS]}
    if _TUPLE in value:
        return tuple(_with_tensors(each, tensors) for each in value[_TUPLE])
    return {key: _with_tensors(each, tensors) for key, each in value.items()}
