"""The field of a race: who is still in, who left and why, and what is roughly known of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steelyard.decision import Standing, stand
from steelyard.records.candidate import Candidate, Numerics
from steelyard.records.machine import Price
from steelyard.records.requirements import Requirements
from steelyard.records.subject import Subject
from steelyard.search.notebook import Notebook
from steelyard.search.rough import Rough


class Field:
    """All candidates of one race; the first is the reference, which never leaves."""

    def __init__(self, subject: Subject, notes: Notebook, requirements: Requirements, price: Price) -> None:
        self.all = tuple(subject.candidates())
        self.rough: dict[str, Rough] = {}
        self._split = subject.split
        self._notes = notes
        self._requirements = requirements
        self._price = price
        self._set_aside: list[Candidate] = []

    @property
    def reference(self) -> Candidate:
        """The subject as the user gave it."""
        return self.all[0]

    @property
    def others(self) -> tuple[Candidate, ...]:
        """All but the reference."""
        return self.all[1:]

    @property
    def left(self) -> int:
        """How many left before they were measured to the end."""
        return sum(1 for candidate in self.all if candidate.id in self._notes.dropped)

    def firsts(self) -> list[Candidate]:
        """The first of each kind of numerics, in the subject's order."""
        return list({c.numerics: c for c in reversed(self.others)}.values())[::-1]

    def fastest(self) -> list[Candidate]:
        """Those still in, the fastest by the glance first."""
        return sorted((c for c in self.others if self.is_in(c)), key=self._slowness)

    def fastest_of_each_numerics(self) -> list[Candidate]:
        """Of those still in, the fastest of each kind of numerics: quality need be asked of one only."""
        return list({c.numerics: c for c in reversed(self.fastest())}.values())[::-1]

    def _slowness(self, candidate: Candidate) -> float:
        seen = self.rough.get(candidate.id)
        return 0.0 if seen is None else -seen.at_most

    def is_in(self, candidate: Candidate) -> bool:
        """Whether it has not left."""
        return candidate.id not in self._notes.dropped

    def judged(self, candidate: Candidate) -> bool:
        """Whether its quality is known, at least in part."""
        return self.standing(candidate).quality is not None

    def standing(self, candidate: Candidate) -> Standing:
        """Where one candidate stands."""
        return self.standings([candidate])[0]

    def standings(self, candidates: Sequence[Candidate] | None = None) -> list[Standing]:
        """Where all of them, or some, stand."""
        among = self.all if candidates is None else candidates
        return stand(among, self._notes.evidence(among), self._requirements, self._price, self._split)

    def drop(self, candidate: Candidate, reason: str) -> None:
        """It leaves; the first reason is kept."""
        self._notes.dropped.setdefault(candidate.id, reason)

    def drop_numerics(self, numerics: Numerics, reason: str) -> None:
        """All that give these answers leave."""
        for candidate in self.others:
            if candidate.numerics == numerics:
                self.drop(candidate, reason)

    def answers_within(self, candidate: Candidate, items: int, seconds: float) -> bool:
        """Whether so many items are answered within so many seconds, by the glance."""
        seen = self.rough.get(candidate.id)
        return seen is not None and items <= seen.at_least * seconds

    def cannot_win(self, candidate: Candidate) -> bool:
        """Whether another one, of no lower quality, is surely faster; then it is set aside, with the reason."""
        own = self.rough.get(candidate.id)
        if own is None or self._requirements.priority == "speed":
            return False
        rival = next((r for r in self._rivals(candidate) if self._surely_better(r, own)), None)
        if rival is None:
            return False
        if self.standing(candidate).speed is None and self.is_in(candidate):
            self._set_aside.append(candidate)
            self.drop(
                candidate,
                f"cannot win: at most {own.at_most:,.0f} requests/s by a rough timing, where "
                f"{rival.candidate.id} reaches {rival.at_least:,.0f} at no lower quality",
            )
        return True

    def _surely_better(self, rival: Rough, own: Rough) -> bool:
        return rival.at_least > own.at_most and self._lost(rival.candidate) <= self._lost(own.candidate)

    def _rivals(self, candidate: Candidate) -> Iterator[Rough]:
        for other in self.others:
            seen = self.rough.get(other.id)
            if seen is not None and other.id != candidate.id and self.is_in(other) and self.judged(other):
                yield seen

    def _lost(self, candidate: Candidate) -> float:
        """The drop in quality as far as it is known; unknown: as good as the reference."""
        quality = self.standing(candidate).quality
        return 0.0 if quality is None or quality.identical else quality.drop

    def bring_back(self, capacity: float) -> list[Candidate]:
        """Let those back in that were set aside and may serve more than this; which ones."""
        back = [c for c in self._set_aside if self.rough[c.id].at_most > capacity]
        for candidate in back:
            self._set_aside.remove(candidate)
            del self._notes.dropped[candidate.id]
        return back
