"""Raw bodies of requests: the model's inputs one after another, for the plain servers of `bench_gain.py`.

INPUTS.json says of each input its name, dtype and shape of one item; where items differ in length the shape has null
in place of the length, which all such inputs share and which follows from the size of the body.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Input:
    """One input of the model."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    @property
    def grows(self) -> bool:
        """Whether its items differ in length."""
        return None in self.shape

    @property
    def step_bytes(self) -> int:
        """Bytes of one step of an item that grows, of the whole item otherwise."""
        return int(np.dtype(self.dtype).itemsize * np.prod([size for size in self.shape if size is not None]))


class Bodies:
    """How bodies are read."""

    def __init__(self, file: str) -> None:
        told = json.loads(Path(file).read_text())
        self.inputs = [Input(one["name"], one["dtype"], tuple(one["shape"])) for one in told["inputs"]]
        self.grow = any(each.grows for each in self.inputs)
        self._fixed = sum(each.step_bytes for each in self.inputs if not each.grows)
        self._growing = sum(each.step_bytes for each in self.inputs if each.grows)

    def item(self, body: bytes) -> dict[str, npt.NDArray[np.generic]]:
        """The inputs in one body, [1, ...] each."""
        length = (len(body) - self._fixed) // self._growing if self.grow else 0
        found, at = {}, 0
        for each in self.inputs:
            shape = [length if size is None else size for size in each.shape]
            size = each.step_bytes * (length if each.grows else 1)
            found[each.name] = np.frombuffer(body[at : at + size], each.dtype).reshape(1, *shape)
            at += size
        return found
