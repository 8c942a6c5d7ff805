"""Some of a subject's candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steelyard.records.candidate import Candidate, Numerics
from steelyard.records.measurement import Quality
from steelyard.records.subject import Answers, Outlook, Recipe, Split, Subject


class Part:
    """A subject with some of its candidates, the reference first; otherwise as it is."""

    def __init__(self, inner: Subject, candidates: Sequence[Candidate]) -> None:
        self._inner = inner
        self._candidates = candidates

    @property
    def name(self) -> str:
        """The subject's name."""
        return self._inner.name

    @property
    def key(self) -> str:
        """The subject's key: a part of the candidates is measured as all of them are."""
        return self._inner.key

    @property
    def split(self) -> Split:
        """The items that judge."""
        return self._inner.split

    def candidates(self) -> Sequence[Candidate]:
        """The reference and what else belongs to the part."""
        return self._candidates

    def recipe(self, candidate: Candidate) -> Recipe:
        """As the subject's."""
        return self._inner.recipe(candidate)

    def judge(self, numerics: Numerics, answers: Answers, reference: Answers, start: int) -> Quality:
        """As the subject does."""
        return self._inner.judge(numerics, answers, reference, start)

    def versions(self, candidate: Candidate) -> Mapping[str, str]:
        """As the subject's."""
        return self._inner.versions(candidate)

    def outlook(self, candidate: Candidate) -> Outlook:
        """As the subject's."""
        return self._inner.outlook(candidate)


class Among(Part):
    """A subject with its reference and those other candidates that have certain numerics."""

    def __init__(self, inner: Subject, only: Sequence[Numerics]) -> None:
        reference, *others = inner.candidates()
        super().__init__(inner, (reference, *(other for other in others if other.numerics in only)))
