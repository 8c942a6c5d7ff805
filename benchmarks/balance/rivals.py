"""Other ways to switch, as their papers describe them, for `bench_balance.py --rivals`. All with our admission.

SlackFit: A. Khare et al., SuperServe, NSDI 2025. ByRate: the rule that the solvers of Proteus (S. Ahmad et al., ASPLOS
2024) and InfAdapter (M. Salmani et al., EuroMLSys 2023) come to on one replica.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import deque

from steelyard.scheduling import ALL, Choice, batch_to_dispatch
from steelyard.switching import Admission, Ladder, per_second

BUCKETS = 16


class Rival(ABC):
    """What the rivals share: profiles do not change."""

    def __init__(self, ladder: Ladder) -> None:
        self.ladder = ladder
        self.profiles = [rung.profile for rung in ladder.rungs]
        self.rates = [ladder.workers * per_second(profile, ladder.bound_s) for profile in self.profiles]
        self.last = len(self.profiles) - 1
        self.admission = Admission(ladder.bound_s, ladder.workers)

    def backlog_s(self, waiting: int) -> float:
        """As the controller."""
        return waiting / self.rates[-1]

    def admits(self, now: float, waiting: int) -> float:
        """As the controller."""
        return self.admission.again_s(now, (waiting + 1) / self.rates[-1]) if waiting else 0.0

    def choose(self, now: float, waiting: int, slack: float, allowed: int = ALL) -> Choice:  # noqa: ARG002
        """As the rival says; the admission is told."""
        choice = self.chosen(now, waiting, slack)
        self.admission.gave(now, waiting / self.rates[-1], self.expected_s(choice), slack)
        return choice

    @abstractmethod
    def chosen(self, now: float, waiting: int, slack: float) -> Choice:
        """What the rival does."""

    def observe(self, rung: int, size: int, seconds: float) -> None:  # noqa: B027 - for all of them
        """Nothing is learnt."""

    def expected_s(self, choice: Choice) -> float:
        """As the profile says."""
        return self.profiles[choice.rung].seconds[choice.size - 1]


class SlackFit(Rival):
    """The slack falls into a bucket; each bucket has the pair of most throughput that fits, then of most accuracy."""

    def __init__(self, ladder: Ladder) -> None:
        super().__init__(ladder)
        pairs = [
            (taken, size, rung)
            for rung, profile in enumerate(self.profiles)
            for size, taken in enumerate(profile.seconds, 1)
        ]
        shortest = min(pairs)[0]
        self.edges = [shortest * (ladder.bound_s / shortest) ** (step / BUCKETS) for step in range(BUCKETS + 1)]
        self.pick = [self._best([pair for pair in pairs if pair[0] <= edge * 1.0001]) for edge in self.edges]

    @staticmethod
    def _best(fitting: list[tuple[float, int, int]]) -> tuple[int, int]:
        largest = max(size for _, size, _ in fitting)
        return largest, min(rung for _, size, rung in fitting if size == largest)

    def chosen(self, now: float, waiting: int, slack: float) -> Choice:  # noqa: ARG002
        """By the bucket; the most accurate that is in time with fewer than its batch."""
        bucket = bisect_right(self.edges, slack) - 1
        if bucket < 0:
            return Choice(batch_to_dispatch(self.profiles[self.last], waiting, slack), self.last)
        size, rung = self.pick[bucket]
        if waiting <= size:
            fits = (rung for rung, profile in enumerate(self.profiles) if profile.seconds[waiting - 1] <= slack)
            return Choice(waiting, next(fits, rung))
        return Choice(size, rung)


class ByRate(Rival):
    """The most accurate rung that carries the rate of the last twenty bounds and a margin."""

    def __init__(self, ladder: Ladder, carries: tuple[float, ...], margin: float = 1.3) -> None:
        super().__init__(ladder)
        self.carries = [carried / margin for carried in carries]
        self.came: deque[tuple[float, int]] = deque()
        self.total = self.left = 0

    def chosen(self, now: float, waiting: int, slack: float) -> Choice:
        """By the rate; the largest batch in time."""
        window = 20 * self.ladder.bound_s
        self.came.append((now, waiting - self.left))
        self.total += waiting - self.left
        while self.came[0][0] < now - window:
            self.total -= self.came.popleft()[1]
        rate = self.total / window
        rung = next((rung for rung, carried in enumerate(self.carries) if carried >= rate), self.last)
        size = batch_to_dispatch(self.profiles[rung], waiting, slack)
        self.left = waiting - size
        return Choice(size, rung)


class ByBacklog(Rival):
    """A rung takes the largest batch in time, while what is left is cleared in a share of the bound by one rung.

    By the fastest: as long as it can save everything. By itself: as long as it can carry on.
    """

    def __init__(self, ladder: Ladder, by_itself: bool, share: float) -> None:
        super().__init__(ladder)
        self.clearing = self.rates if by_itself else [self.rates[-1]] * len(self.rates)
        self.share = share

    def chosen(self, now: float, waiting: int, slack: float) -> Choice:  # noqa: ARG002
        """By the backlog; the largest batch in time."""
        for rung, profile in enumerate(self.profiles):
            size = batch_to_dispatch(profile, waiting, slack)
            taken = profile.seconds[size - 1]
            left = taken + (waiting - size) / self.clearing[rung]
            if rung == self.last or (taken <= slack and left <= self.share * self.ladder.bound_s):
                return Choice(size, rung)
        raise AssertionError("the last rung takes what is left")
