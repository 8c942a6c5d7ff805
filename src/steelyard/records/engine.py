"""What engines and variants are: light descriptions, from which the heavy modules are found by dotted path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy.typing as npt

from steelyard.records.base import Record
from steelyard.records.model import ModelFormat

Array = npt.NDArray[Any]


class SessionSettings(Record):
    """How a session computes: precision of float arithmetic, threads of each stream, streams side by side."""

    precision: str = "f32"
    threads: int = 1
    streams: int = 1
    max_batch: int = 32
    """No run gets more items; for runtimes that prepare for a range of sizes."""


class Session(Protocol):
    """A model opened by a runtime. Different streams may be run from different Python threads at once."""

    def run(self, stream: int, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """All outputs for one batch, in the model's order."""


class RuntimeSpec(Record):
    """One line in the table of runtimes."""

    name: str
    opener: str
    """Dotted path of `open_session(path: Path, settings: SessionSettings) -> Session`."""
    package: str
    """The distribution whose version counts."""
    reads: tuple[ModelFormat, ...]
    precisions: tuple[str, ...]
    """What the runtime can compute in, where the CPU has it; the first is what it must do everywhere."""
    extra: str = ""
    """The extra of Steelyard that installs it; empty: the core does."""
    device: Literal["cpu", "gpu"] = "cpu"
    also: tuple[str, ...] = ()
    """Other distributions that bring the same runtime; the first that is installed counts."""
    install: str = ""
    """The command that installs it, where it is neither the extra nor simply the package."""
    classical: bool = False
    """Knows ONNX's operators of classical models (the domain ai.onnx.ml)."""
    compiles: bool = False
    """Opening a model takes tens of seconds: of use only to a search that has minutes."""
    needs: str = ""
    """Dotted path of `lacking() -> str`: what else the runtime needs and this machine lacks; empty: nothing."""


class VariantSpec(Record):
    """One line in the table of variants."""

    name: str
    maker: str
    """Dotted path of `make(source: Path, into: Path, calibration: Mapping[str, Array], **settings) -> Path`.

    `source` is the model's main file, `into` an empty folder, the result the main file made in it. Calibration items
    that differ in length are a ragged array: [items] of objects, each an array without the first axis."""
    reads: tuple[ModelFormat, ...]
    writes: ModelFormat | None
    """None: the format of the source."""
    runtimes: tuple[str, ...]
    """Runtimes that can run the result; none: it is only there for other variants to be made of."""
    precisions: tuple[str, ...] = ("f32",)
    """Precisions in which the runtime shall compute what the variant leaves in float."""
    settings: dict[str, str | int | float] = {}
    """Handed to the maker by name."""
    after: str = ""
    """The variant that this one is made of, by name: the maker's `source` is what that one made. Empty: the model as it
    was given. `reads` is the format of the model as it was given in either case."""
    applies: str = ""
    """Dotted path of `applies(info: ModelInfo) -> bool`: whether it is worth trying on such a model. Pure and light,
    for it decides what is searched; the maker may still refuse. Empty: on every model that it reads."""
    calibrates: bool = False
    revision: int = 1
    """Raised when the maker makes something else of the same model."""
    packages: tuple[str, ...] = ()
    """Distributions whose versions change the result."""
    summary: str = ""
