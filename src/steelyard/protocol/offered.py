"""What the protocols see of the models behind them: nothing more, so that they can be tested without any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from steelyard.serve.callers import Caller
from steelyard.serve.requests import Answered, Asked, Metadata, Withdrawable
from steelyard.serve.statistics import Statistics

if TYPE_CHECKING:
    from steelyard.serve.repository import Indexed


class Served(Protocol):
    """One version of one model."""

    @property
    def metadata(self) -> Metadata:
        """What clients are told."""

    @property
    def version(self) -> str:
        """A number from 1 on, as text."""

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""

    @property
    def statistics(self) -> Statistics:
        """What it counts."""

    def ask(self, asked: Asked, caller: Caller[Answered]) -> Withdrawable:
        """Raises Overloaded when the request is not let in, InputError when no variant satisfies it."""


Ask = Callable[[Served, Asked, Caller[Answered], str], Withdrawable]
"""Asks a model, as its own `ask` does, for a request that came with this `traceparent`; empty: with none."""


class Models(Protocol):
    """All models of one server, by name."""

    @property
    def name(self) -> str:
        """Of the server."""

    @property
    def version(self) -> str:
        """Of the server."""

    @property
    def live(self) -> bool:
        """Whether it serves at all."""

    @property
    def ready(self) -> bool:
        """Whether every model is ready."""

    def names(self) -> Sequence[str]:
        """All that are configured, loaded or not."""

    def served(self, name: str, version: str = "") -> Served:
        """To ask about it. Without a version: the newest that is no canary. Raises UnknownModel."""

    def answering(self, name: str, version: str = "") -> Served:
        """What the next request is for. Without a version: while a canary runs, each gets its share.

        Raises UnknownModel.
        """

    def versions(self, name: str) -> Sequence[Served]:
        """All that answer, the newest last; none when it is not loaded. Raises UnknownModel."""

    def index(self) -> Sequence[Indexed]:
        """All models, as they stand."""

    def load(self, name: str) -> None:
        """Open it anew; takes long. Raises UnknownModel, or what a bundle that cannot be served does."""

    def unload(self, name: str) -> None:
        """Let go of it; takes as long as what is under way. Raises UnknownModel."""
