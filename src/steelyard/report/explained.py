"""An explanation in plain words: a record for scripts, and text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Literal

from steelyard.records.base import Record
from steelyard.records.plan import Verdict

INDENT = "  "


class Part(Record):
    """One question and the sentences that answer it."""

    title: str
    sentences: tuple[str, ...]


class Kept(Record):
    """One requirement, held against one candidate."""

    requirement: str
    """As it is typed, e.g. `--p95 5ms`."""
    verdict: Verdict | Literal["not measured"]
    found: str
    """What was measured, with its bound."""
    settled_by: str = ""
    """When undecided: what would settle it."""


class Explanation(Record):
    """Why a plan is as it is, or why one candidate stands where it stands."""

    subject: str
    candidate: str
    """Empty: the plan as a whole."""
    answer: str
    """The answer in one or two sentences."""
    requirements: tuple[Kept, ...]
    """Of the candidate; of a plan as a whole, the chosen or the nearest one's."""
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return text(self)


def text(explanation: Explanation, width: int = 80) -> str:
    """The whole explanation, no line longer than `width` unless a single word is."""
    return "\n".join(_lines(explanation, width)) + "\n"


def _lines(explanation: Explanation, width: int) -> Iterator[str]:
    yield from _wrapped(explanation.answer, width, "", "")
    if explanation.requirements:
        yield from ("", "REQUIREMENTS")
    for kept in explanation.requirements:
        told = f"{kept.requirement}: {kept.verdict}. {kept.found}"
        yield from _wrapped(f"{told} {kept.settled_by}".strip(), width, INDENT, INDENT * 3)
    for part in explanation.parts:
        yield from ("", part.title.upper())
        for sentence in part.sentences:
            yield from _wrapped(sentence, width, INDENT, INDENT * 2)


def _wrapped(sentence: str, width: int, first: str, then: str) -> list[str]:
    return textwrap.wrap(
        sentence, width, initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )
