"""Switching on a real server: `steelyard serve` of a weighed model, loaded open loop by a client on the same machine.

The server with its whole ladder and each rung alone (`--only`, which refuses what it cannot answer in time as the
ladder does) get the same requests at the same moments, in turn, by the client of `steelyard load`. What a rung carries
is measured here as well, through the same server and client, since these share the cores with the model: the highest
rate at which 95 % are answered within the bound, tried for some seconds each. Two days, `--seconds` each: steps (low,
the peak, low, twice), and gamma arrivals with CV 4 whose 99th percentile of the rate over one bound is the peak. The
peak is twice what the most accurate rung carries, if the fastest can carry that with some room, otherwise as much as it
can. A request counts as a violation when it is answered late, counted from the moment it was due, refused or lost; the
quality is that of the variant that each answer names.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from balance.days import Known, burst_day, step_day
from balance.targets import loss, missed, verdict
from gain.items import binary_requests, prepared_in, some_items
from jobs import flags, words
from offered import CONNECTIONS, offer
from servers import free_port, running

from steelyard.arrivals import Floats
from steelyard.bundle import read_plan
from steelyard.capacity import bracket
from steelyard.ladder import figures_of, ladder_of
from steelyard.load.outcome import How
from steelyard.load.run import load
from steelyard.load.target import Target
from steelyard.records.plan import Plan
from steelyard.switching import Ladder

SERVED = "m"
"""What the model is called where it is served."""
PEAK, ROOM = 2.0, 0.85
"""The peak over what the most accurate rung carries, and at most over what the fastest does."""
TRY_S, PRECISION = 5.0, 0.06
"""So long a rate is tried; what a rung carries is found so closely."""
ITEMS = 64
"""Of those that judged, asked about over and over."""
WARM = 50
"""Requests that come before, and do not count."""


@dataclass(frozen=True)
class Asked:
    """What is to be measured."""

    model: str
    drop: str
    """Quality that may be lost: where little may be, the fastest variant may lose nothing, and then it is alone."""
    within: str
    seconds: float
    rounds: int
    seed: int


@dataclass(frozen=True)
class Lived:
    """What became of a day's requests."""

    requests: int
    late: int
    """Answered, but not in time."""
    refused: int
    """Or lost."""
    answered: tuple[int, ...]
    """By each rung."""
    quality: float
    """Mean of the answers."""
    client_cores: float

    @property
    def violations(self) -> float:
        """Share of the requests."""
        return (self.late + self.refused) / self.requests


def weighed(asked: Asked, folder: Path) -> Path:
    """The bundle of the model; weighed unless that was done before."""
    bundle = folder / "plan"
    if not (bundle / "plan.json").is_file():
        told = {**words(asked.model), "quality_drop": asked.drop, "within": asked.within, "out": str(bundle)}
        command = [sys.executable, "-m", "steelyard.cli.main", "weigh", *flags(told), "--format", "quiet"]
        subprocess.run(command, cwd=folder, check=True)
    return bundle


@contextmanager
def served(bundle: Path, only: str = "") -> Iterator[int]:
    """A server of the whole ladder, or of one rung; its port."""
    port = free_port()
    command = [sys.executable, "-m", "steelyard.cli.main", "serve", f"{SERVED}={bundle}", "--port", str(port)]
    alone = ["--only", only] if only else []
    with running([*command, *alone, "--grpc-port", "-1", "--format", "quiet"], port):
        yield port


def known(bundle: Path, plan: Plan, requests: Sequence[bytes]) -> Known:
    """The plan's ladder with what its first and last rung carry here."""
    ladder = ladder_of(plan)
    figures = figures_of(plan)
    carries = tuple(
        _carried(bundle, ladder, place, figures[place].capacity_per_replica, requests)
        for place in (0, len(figures) - 1)
    )
    floor = plan.reference.quality.value - (plan.requirements.quality_drop or 0.0)
    return Known(f"{plan.subject.name}, {ladder.bound_s * 1000:g} ms", ladder, carries, floor)


def _carried(bundle: Path, ladder: Ladder, place: int, planned: float, requests: Sequence[bytes]) -> float:
    name = ladder.rungs[place].name
    with served(bundle, name) as port:
        held, _ = bracket(lambda rate: offer(port, requests, rate, TRY_S, ladder.bound_s).holds, planned, PRECISION)
    if not held:
        raise SystemExit(f"{name} carries next to nothing here, {planned:,.0f} requests/s were planned")
    return held


def lived(port: int, ladder: Ladder, due: Floats, requests: Sequence[bytes]) -> Lived:
    """A day on the server that listens there."""
    before = np.arange(WARM) * (ladder.bound_s / 2)
    moments = np.concatenate([before, due + before[-1] + 1.0])
    how = How(connections=2 * CONNECTIONS, uncounted=WARM, bound_s=ladder.bound_s)
    outcome = load(Target("127.0.0.1", port), requests, moments, how)
    took = outcome.answered - outcome.due
    answered = tuple(outcome.variants.get(rung.name, 0) for rung in ladder.rungs)
    qualities = [rung.quality for rung in ladder.rungs]
    return Lived(
        requests=len(took),
        late=int(np.count_nonzero(np.isfinite(took) & (took > ladder.bound_s))),
        refused=int(np.count_nonzero(~np.isfinite(took))),
        answered=answered,
        quality=float(np.dot(answered, qualities) / max(sum(answered), 1)),
        client_cores=outcome.core_share,
    )


def together(parts: Sequence[Lived]) -> Lived:
    """Several rounds as one."""
    counts = [sum(part.answered) for part in parts]
    return Lived(
        requests=sum(part.requests for part in parts),
        late=sum(part.late for part in parts),
        refused=sum(part.refused for part in parts),
        answered=tuple(map(sum, zip(*(part.answered for part in parts), strict=True))),
        quality=float(np.dot(counts, [part.quality for part in parts]) / max(sum(counts), 1)),
        client_cores=max(part.client_cores for part in parts),
    )


def days_of(of: Known, peak: float, asked: Asked, number: int) -> dict[str, Floats]:
    """Both days, with the luck of this round."""
    seed = asked.seed + number
    bursts = burst_day(of, peak, 1, seed)
    steps = step_day(of, peak, np.random.default_rng([seed, 2]), asked.seconds / 6)
    return {"steps": steps, "gamma CV 4": bursts[bursts < asked.seconds]}


def measured(
    of: Known, bundle: Path, peak: float, asked: Asked, requests: Sequence[bytes]
) -> dict[str, dict[str, Lived]]:
    """By day and server, all rounds together. "" is the whole ladder."""
    ways = ["", *(rung.name for rung in of.ladder.rungs)]
    found: dict[str, dict[str, list[Lived]]] = {}
    for number in range(asked.rounds):
        days = days_of(of, peak, asked, number)
        for way in ways if number % 2 == 0 else reversed(ways):
            with served(bundle, way) as port:
                for day, due in days.items():
                    one = lived(port, of.ladder, due, requests)
                    found.setdefault(day, {}).setdefault(way, []).append(one)
                    print(f"  {day}, {way or 'switching'}: {one.violations:.2%}", file=sys.stderr, flush=True)
    return {day: {way: together(parts) for way, parts in each.items()} for day, each in found.items()}


def told(of: Known, day: str, found: dict[str, Lived]) -> int:
    """Print a day's rows; how many targets it misses."""
    statics = [found[rung.name] for rung in of.ladder.rungs]
    misses = missed(of, day, found[""], statics)
    for way, one in found.items():
        shares = " ".join(f"{count / max(sum(one.answered), 1):.0%}" for count in one.answered)
        cells = [
            day,
            way or "**switching**",
            f"{one.requests:,}",
            f"{one.violations:.2%} ({one.late:,} late, {one.refused:,} refused)",
            f"{one.quality:.4f}",
            f"{loss(of, one.quality):.2f}",
            shares,
            f"{one.client_cores:.0%}",
            "" if way else verdict(misses),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
    return len(misses)


def main(asked: Asked, work: Path | None) -> int:
    """The number of targets missed."""
    with tempfile.TemporaryDirectory() as made:
        folder = work or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        bundle = weighed(asked, folder.resolve())
        plan = read_plan(bundle)
        if len(plan.ladder) < 2:
            raise SystemExit(
                f"the plan in {bundle} holds no ladder: {'; '.join(plan.warnings) or 'one variant is best'}"
            )
        requests = binary_requests(some_items(prepared_in(folder), ITEMS), SERVED)
        of = known(bundle, plan, requests)
        peak = min(PEAK, ROOM * of.carries[-1] / of.carries[0])
        print(f"{of.name}: {', '.join(rung.name for rung in of.ladder.rungs)}; the first and the last carry ", end="")
        print(f"{', '.join(f'{rate:,.0f}' for rate in of.carries)} requests/s here; peak {peak:.2f}×\n")
        head = "| day | server | requests | violations | quality | loss | shares | client, of a core | targets |"
        print(head, "| --- " * (head.count("|") - 1) + "|", sep="\n")
        return sum(told(of, day, found) for day, found in measured(of, bundle, peak, asked, requests).items())
