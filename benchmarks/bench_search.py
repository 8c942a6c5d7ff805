"""How much of the best plan a search finds in how much of the time that measuring everything takes.

Replayed on tables of exhaustive searches (`tests/search/tables`, recorded by `racing/record.py`), each time with fresh
noise: service times are drawn anew, with deviations from timing to timing, and the items are drawn anew from the
table's. The truth is what the whole table says. Told: the share of the best objective (that of what the decision
chooses when everything is known; 0 for nothing, or what breaks a requirement), mean and worst; the share of the
exhaustive time; how often what was chosen truly breaks a requirement. Beside it random search, hill climbing and
Optuna's TPE, with the same seconds, the same reserve for confirming, and the same decision at the end; and our own
search without what it knows from experience (`subjects/outlook.py`) of what is usually fast and right.

    python benchmarks/bench_search.py [--replays 30] [--share 0.1] [TABLE.json …]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from racing.replay import raced
from racing.rivals import every
from racing.table import Table, Truth, chosen_by, read_table

from steelyard.records.subject import Outlook
from steelyard.search.known import Strategy
from steelyard.search.timetable import GRACE

TABLES = Path(__file__).parent.parent / "tests" / "search" / "tables"


class Outcome(NamedTuple):
    """Of one replay."""

    share: float
    """Of the best objective."""
    time: float
    """Of the exhaustive time."""
    wrong: bool
    """Chosen, and breaks a requirement."""


class Replays:
    """Replays on one table."""

    def __init__(self, table: Table, replays: int) -> None:
        self.table = table
        self.truth = Truth(table)
        self.replays = replays
        self.exhaustive_s = table.exhaustive_s

    def outcomes(self, share: float | None, strategy: Callable[[int], Strategy | None]) -> list[Outcome]:
        """With this share of the exhaustive time; None: until the search ends by itself."""
        within_s = 1e9 if share is None else share * self.exhaustive_s / (1 + GRACE)
        return [self._outcome(seed, within_s, strategy(seed)) for seed in range(self.replays)]

    def _outcome(self, seed: int, within_s: float, strategy: Strategy | None) -> Outcome:
        result, seconds = raced(self.table, seed, within_s, strategy=strategy)
        chosen = chosen_by(self.table, result.evidence)
        wrong = chosen is not None and not self.truth.is_feasible(chosen)
        return Outcome(self.truth.share(chosen), seconds / self.exhaustive_s, wrong)


def without_experience(table: Table) -> Table:
    """The same, but all candidates promise the same before they are measured."""
    return msgspec.structs.replace(
        table, rows=tuple(msgspec.structs.replace(row, outlook=Outlook()) for row in table.rows)
    )


def line(name: str, outcomes: Sequence[Outcome]) -> str:
    shares = [outcome.share for outcome in outcomes]
    times = [outcome.time for outcome in outcomes]
    wrong = sum(outcome.wrong for outcome in outcomes) / len(outcomes)
    return (
        f"  {name:<28} {statistics.mean(shares):6.1%} of the best ({min(shares):.1%} at worst)   "
        f"{statistics.mean(times):5.1%} of the time ({max(times):.1%} at most)   {wrong:.1%} break a requirement"
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("tables", nargs="*", type=Path)
    asked.add_argument("--replays", type=int, default=30)
    asked.add_argument("--share", type=float, default=0.1)
    given = asked.parse_args()
    for path in given.tables or sorted(TABLES.glob("*.json")):
        runs = Replays(read_table(path), given.replays)
        table = runs.table
        print(f"{table.name}: {len(table.rows)} candidates, {runs.exhaustive_s:,.0f} s exhaustive, {table.machine.cpu}")
        print(f"  best: {runs.truth.best}")
        print(line(f"steelyard, {given.share:.0%} of the time", runs.outcomes(given.share, lambda _: None)))
        print(line("steelyard, left to itself", runs.outcomes(None, lambda _: None)))
        blind = Replays(without_experience(table), given.replays)
        print(line(f"steelyard, {given.share:.0%}, no experience", blind.outcomes(given.share, lambda _: None)))
        for name, rival in every():
            print(line(f"{name}, {given.share:.0%}", runs.outcomes(given.share, rival)), flush=True)


if __name__ == "__main__":
    main()
