"""How much of the time that a search may take is left."""

from __future__ import annotations

from steelyard.search.bench import Clock

GRACE = 0.05
"""Beyond the time allowed, as a share of it: for confirming what was found."""


class Timetable:
    """Begins when it is made. All moments are of the search's clock, in seconds."""

    def __init__(self, clock: Clock, within_s: float) -> None:
        self._clock = clock
        self._begin = clock()
        self._within_s = within_s

    @property
    def passed_s(self) -> float:
        """Since the beginning."""
        return self._clock() - self._begin

    @property
    def end(self) -> float:
        """The moment at which the time is up."""
        return self._begin + self._within_s

    @property
    def grace_end(self) -> float:
        """The moment at which nothing may go on."""
        return self._begin + self._within_s * (1 + GRACE)

    @property
    def left_s(self) -> float:
        """Until the end; negative when it has passed."""
        return self.end - self._clock()

    def part(self, share: float) -> float:
        """The moment at which so large a share of the whole time has passed from now on, or the time is up."""
        return min(self.end, self._clock() + share * self._within_s)

    def is_left(self, seconds: float, into_grace: bool = False) -> bool:
        """Whether something that takes so long may begin now."""
        return self._clock() + seconds <= (self.grace_end if into_grace else self.end)
