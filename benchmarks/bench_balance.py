"""Does switching keep speed and quality in balance? Against every static choice, on days with peaks, simulated.

Two ladders of three variants on two workers: EfficientNet-Lite0 (50 ms) and an LSTM (10 ms), with times like those
measured. Days: the Twitter trace (22 days of requests per second, compressed in time: 1,024 stretches of twenty
bounds), gamma arrivals with CV 4, and a step. Peaks are 2 and 2.5 times what the most accurate variant carries at p95
within the bound: the step's height, the 99th percentile of the trace's rates, and for gamma arrivals the 99th
percentile of the rate over windows of one bound. "Long gamma" is beyond what is asked: there that percentile is of
windows of twenty bounds, so the mean alone is more than the most accurate variant carries.

Violations are requests answered late, or refused. The static choices refuse what they cannot serve in time, as the
controller does, which spares them most of their violations. Best static in hindsight: the fewest violations, and of
those within a tenth of a point the most accurate. Loss is the mean quality lost against the most accurate variant,
over what the fastest loses. Targets: at least ten times fewer violations than the most accurate, less than half the
fastest's loss, at most 1 % violations at CV 4, no answer below the quality floor. Pure and deterministic: no timing,
the same figures on every machine. Exit status: the number of targets missed. Needs STEELYARD_DATA.

    python benchmarks/bench_balance.py [--peaks 2 2.5] [--seed 1] [--rivals]      about a minute

With --live the same is measured on `steelyard serve` and not simulated, see `balance/live.py`: the model is weighed
(once, where --work names a folder), and the ladder that the plan names is held against each of its rungs alone. Much
quality may be given away there (--drop): where little may be, an int8 variant can be as good as the model itself, and
there is nothing to balance.

    python benchmarks/bench_balance.py --live [--work FOLDER] [--model efficientnet] [--seconds 45] [--rounds 1]
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from balance import live
from balance.days import Day, Known, days, efficientnet, lstm
from balance.rivals import ByBacklog, ByRate, Rival, SlackFit
from balance.targets import in_hindsight, loss, missed, verdict

from steelyard.arrivals import Floats
from steelyard.simulation import replay, static
from steelyard.switching import Controller

MIRROR = Path(os.environ.get("STEELYARD_DATA", "data"))
HEAD = (
    "| ladder, day, peak | requests | violations | most accurate | fastest | best static | loss | best static's | "
    "shares | switches a batch | targets |"
)


def row(of: Known, day: str, peak: float, times: Floats) -> int:
    """Print a row; how many targets it misses."""
    switching = replay(times, of.ladder)
    statics = [static(times, of.ladder, rung, admission=True) for rung in range(len(of.ladder.rungs))]
    best = in_hindsight(statics)
    misses = missed(of, day, switching, statics)
    is_asked = not day.startswith("long")
    told = verdict(misses)
    fewer = statics[0].violations / max(switching.violations, 1e-9)
    cells = [
        f"{of.name}, {day}, {peak:g}×",
        f"{len(times):,}",
        f"{switching.violations:.2%}",
        f"{statics[0].violations:.2%} ({f'{fewer:.0f}×' if fewer < 1e4 else 'all'} fewer)",
        f"{statics[-1].violations:.2%}",
        f"{of.ladder.rungs[best].name} {statics[best].violations:.2%}",
        f"{loss(of, switching.quality):.2f}",
        f"{loss(of, of.ladder.rungs[best].quality):.2f}",
        " ".join(f"{share:.0%}" for share in switching.shares),
        f"{switching.switches / switching.batches:.2f}",
        told if is_asked else f"not asked ({told})",
    ]
    print(f"| {' | '.join(cells)} |", flush=True)
    return len(misses) if is_asked else 0


def targets(ladders: list[Known], named: dict[str, Day], peaks: list[float], seed: int) -> int:
    print(HEAD)
    print("| --- " * HEAD.count(" |") + "|")
    return sum(
        row(of, name, peak, day(of, peak, seed)) for of in ladders for name, day in named.items() for peak in peaks
    )


def rivals(of: Known) -> dict[str, Controller | Rival]:
    """Each new: they remember."""
    return {
        "the controller": Controller(of.ladder),
        "the fastest rung must clear the rest in 0.5": ByBacklog(of.ladder, by_itself=False, share=0.5),
        "a rung must clear the rest itself in 0.8": ByBacklog(of.ladder, by_itself=True, share=0.8),
        "SlackFit": SlackFit(of.ladder),
        "by the rate of twenty bounds": ByRate(of.ladder, of.carries),
    }


def against_rivals(ladders: list[Known], named: dict[str, Day], peak: float, seed: int) -> None:
    """Print violations and loss of every policy on every day."""
    for of in ladders:
        table = {name: day(of, peak, seed) for name, day in named.items()}
        print(f"\n{of.name}, peak {peak:g}×: violations, loss\n")
        print(f"| policy | {' | '.join(table)} |")
        print("| --- " * (len(table) + 1) + "|")
        for name in rivals(of):
            cells = []
            for times in table.values():
                outcome = replay(times, of.ladder, rivals(of)[name])
                cells.append(f"{outcome.violations:.2%}, {loss(of, outcome.quality):.2f}")
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peaks", type=float, nargs="+", default=[2.0, 2.5], help="Over what the first rung carries.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rivals", action="store_true", help="Also other ways to switch.")
    parser.add_argument("--live", action="store_true", help="On a real server of this machine.")
    parser.add_argument("--model", default="efficientnet", help="Of --live: one of `jobs.JOBS`.")
    parser.add_argument("--work", type=Path, help="Of --live: keep what was weighed there, and go on from it.")
    parser.add_argument("--drop", default="15%", help="Of --live: the quality that the weighing may give away.")
    parser.add_argument("--within", default="10min", help="Of --live: for the weighing.")
    parser.add_argument("--seconds", type=float, default=45.0, help="Of --live: of each day.")
    parser.add_argument("--rounds", type=int, default=1, help="Of --live: each server has its turn so often.")
    asked = parser.parse_args()
    if asked.live:
        told = live.Asked(asked.model, asked.drop, asked.within, asked.seconds, asked.rounds, asked.seed)
        sys.exit(live.main(told, asked.work))
    ladders, named = [efficientnet(), lstm()], days(MIRROR)
    for of in ladders:
        print(f"{of.name}: the rungs carry {', '.join(f'{rate:,.0f}' for rate in of.carries)} requests/s\n")
    misses = targets(ladders, named, asked.peaks, asked.seed)
    if asked.rivals:
        against_rivals(ladders, named, asked.peaks[-1], asked.seed)
    sys.exit(misses)


if __name__ == "__main__":
    main()
