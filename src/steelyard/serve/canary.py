"""A new version gets a share of the requests beside the old one, until it is shown whether it may take over.

Looked at twice a second:

    rolled back   as soon as it is shown, one-sided at 95 %, that a larger share of its requests fails, is late or
                  is answered otherwise in the shadow than of the old version's, by more than is tolerated;
                  at once when one of its processes is missing
    promoted      when its time is over, it has answered enough, and it is shown at 95 % that neither failures nor
                  late answers are more frequent by more than is tolerated
    undecided     its time is extended, up to four times as much altogether; then it is rolled back

Each look may err: all looks share the error that is allowed equally (Bonferroni), and so do the rules that can roll
back, and the four moments at which a version may be promoted. Both versions see the same minutes, and their requests
are shared out evenly, so whatever disturbs the machine disturbs both. What cannot be seen is a version that is only
slow under more load than its share brings.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Literal

from steelyard import numbers
from steelyard.errors import UsageError
from steelyard.records.base import Record
from steelyard.serve.comparing import Confidence, Course, Standing, rules_for, standing
from steelyard.serve.served import ServedModel

log = logging.getLogger(__name__)

CONFIDENCE = 0.95
EVERY_S = 0.5
FEWEST_LOOKS = 20
"""While the time runs that a canary is given, however short it is."""
MOST_TERMS = 4
"""So many times the time that it is given, at most."""
GOLDEN = (math.sqrt(5) - 1) / 2

Outcome = Literal["promoted", "rolled_back", "replaced", "unloaded"]
Reason = Literal["kept", "failures", "late", "disagreement", "not_ready", "undecided", "replaced", "unloaded"]


class Terms(Record):
    """How a new version is tried."""

    share: float = 0.0
    """Of the requests; 0: it is not tried, and takes over at once."""
    for_s: float = 60.0
    tolerance: float = 0.01
    """By how much the share of what goes wrong may be larger than the old version's."""
    fewest: int = 100
    """Requests that it must have had."""

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            told = f"a canary gets less than all requests, got {numbers.stated_percent(self.share)}"
            raise UsageError(told, "for example --canary 10%")
        if not self.for_s > 0:
            raise UsageError(f"a canary takes longer than 0 s, got {self.for_s:g} s", "for example --canary-for 60s")
        if not 0 < self.tolerance < 1:
            told = f"what a canary may be worse by lies between 0% and 100%, got {self.tolerance:.2%}"
            raise UsageError(told, "for example --canary-tolerance 1%")

    @property
    def every_s(self) -> float:
        """Between two looks."""
        return min(EVERY_S, self.for_s / FEWEST_LOOKS)

    def confidence(self, rules: int) -> Confidence:
        """Of each look, when so many rules can roll back."""
        looks = math.ceil(MOST_TERMS * self.for_s / self.every_s)
        return Confidence(1 - (1 - CONFIDENCE) / (looks * rules), 1 - (1 - CONFIDENCE) / MOST_TERMS)


AT_ONCE = Terms()
"""It is not tried."""


class Split:
    """Whose turn it is. Safe for threads.

    Multiples of the golden ratio fill the unit interval as evenly as can be, and beat with no period: clients that send
    the same ten requests over and over do not always meet the same version, as they would if every tenth went there.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._turns = count(1)

    def takes(self) -> bool:
        """Whether the next request is the canary's."""
        return next(self._turns) * GOLDEN % 1.0 < self._share


class Ended(Record):
    """What became of a canary."""

    version: str
    beside: str
    """The version that answered beside it."""
    outcome: Outcome
    reason: Reason
    why: str
    """In words."""
    requests: int
    seconds: float
    at: float
    """Unix time."""


class Running(Record):
    """How a canary stands."""

    version: str
    beside: str
    share: float
    requests: int
    """That it has had."""
    seconds: float
    """Since it began."""
    for_s: float
    """After which it may be promoted."""
    standings: tuple[Standing, ...]
    """At the last look; empty before the first."""


class Trial:
    """A canary that runs, and the thread that judges it."""

    def __init__(
        self,
        new: ServedModel,
        old: ServedModel,
        terms: Terms,
        settle: Callable[[Trial, Ended], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`settle` is called once, by the thread, when it is shown what becomes of the canary."""
        self.model = new
        self.beside = old
        self.terms = terms
        self.split = Split(terms.share)
        self.versions = (old.version, new.version)
        self.standings: Sequence[Standing] = ()
        self._settle = settle
        self._clock = clock
        self._began = clock()
        self._new, self._old = Course(new), Course(old)
        self._rules = rules_for(new, old)
        self._confidence = terms.confidence(len(self._rules))
        self._terms_over = 0
        self._over = threading.Event()
        self._judge = threading.Thread(target=self._run, name=f"canary-{new.metadata.name}", daemon=True)

    def start(self) -> None:
        """Judge it from now on."""
        self._judge.start()

    def stop(self) -> None:
        """Judge it no longer. Returns when a decision that is being carried out is."""
        self._over.set()
        if self._judge.is_alive() and self._judge is not threading.current_thread():
            self._judge.join()

    def _run(self) -> None:
        while not self._over.wait(self.terms.every_s):
            try:
                ended = self.look()
            except Exception:  # what cannot be judged must not go on for ever
                log.exception("the canary of %s could not be judged", self.model.metadata.name)
                ended = self.ended("rolled_back", "undecided", "it could not be judged")
            if ended is not None:
                self._over.set()
                self._settle(self, ended)

    def look(self) -> Ended | None:
        """What becomes of it now; None: it goes on."""
        if not self.model.ready:
            return self.ended("rolled_back", "not_ready", "one of its processes is missing")
        terms_over = int((self._clock() - self._began) / self.terms.for_s)
        self.standings = self._stand()
        for each in self.standings:
            if each.verdict == "fail":
                return self.ended("rolled_back", each.rule, f"{each.told}: {self._worse()}")
        if terms_over > self._terms_over and self._is_good:
            told = ", and ".join(each.told for each in self.standings if each.verdict == "pass")
            return self.ended("promoted", "kept", f"{told}: not {self._worse()}")
        if terms_over >= MOST_TERMS:
            return self.ended("rolled_back", "undecided", self._undecided())
        self._terms_over = max(terms_over, self._terms_over)
        return None

    def _stand(self) -> Sequence[Standing]:
        self._new.look()
        self._old.look()
        tolerance, confidence = self.terms.tolerance, self._confidence
        return [standing(rule, self._new, self._old, tolerance, confidence) for rule in self._rules]

    @property
    def _is_good(self) -> bool:
        must = {rule.name for rule in self._rules if rule.must_pass}
        passed = all(each.verdict == "pass" for each in self.standings if each.rule in must)
        return passed and self.requests >= self.terms.fewest

    def _worse(self) -> str:
        return f"more frequent by more than {numbers.stated_percent(self.terms.tolerance)}, at 95 %"

    def _undecided(self) -> str:
        open_ = "; ".join(each.told for each in self.standings if each.verdict == "undecided")
        why = open_ or f"it had {self.requests:,} requests, fewer than {self.terms.fewest:,}"
        return f"nothing was shown in {numbers.seconds(MOST_TERMS * self.terms.for_s)}: {why}"

    @property
    def requests(self) -> int:
        """That the canary has had, but for those whose callers left."""
        told = self.model.statistics.snapshot()
        return told.success.count + told.fail.count - told.withdrawn

    def ended(self, outcome: Outcome, reason: Reason, why: str) -> Ended:
        """That this becomes of it."""
        old, new = self.versions
        return Ended(
            version=new,
            beside=old,
            outcome=outcome,
            reason=reason,
            why=why,
            requests=self.requests,
            seconds=self._clock() - self._began,
            at=time.time(),
        )

    def told(self) -> Running:
        """How it stands."""
        old, new = self.versions
        return Running(
            version=new,
            beside=old,
            share=self.terms.share,
            requests=self.requests,
            seconds=self._clock() - self._began,
            for_s=self.terms.for_s,
            standings=tuple(self.standings),
        )
