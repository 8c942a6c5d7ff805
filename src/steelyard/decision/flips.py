"""Where the decision would change: the price and the rate at which another candidate, or none, would be chosen.

What a candidate costs is linear in its machine's price (replicas do not depend on it), so a price has a closed form.
In the rate, costs are steps: replicas are whole. Between two steps of any candidate nothing changes, so the decision
is taken anew once between each two of them, by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product

import msgspec

from steelyard.decision.choice import choose
from steelyard.decision.preference import TIE, running
from steelyard.decision.standing import Standing
from steelyard.decision.words import number
from steelyard.decision.worth import needed_for, spare_for
from steelyard.records.machine import HOURS_PER_MONTH
from steelyard.records.plan import Flip

REACH = 2.0
"""Rates are looked at from this fraction to this multiple of the required one."""
MOST_STEPS = 24
"""At most so many steps up, and so many down, are looked at."""
RATE = "requests/s"
ONE_MACHINE = (
    "All candidates were measured on one machine type and pay the same price per hour: no price changes the order "
    "among them."
)


def flips(standings: Sequence[Standing], chosen: Standing) -> tuple[tuple[Flip, ...], tuple[str, ...]]:
    """Where the decision would change, the nearest first, and the same in sentences."""
    several = len({s.candidate.machine for s in standings}) > 1
    told = [
        *(_between_machines(standings, chosen) if several else ()),
        *_budget(standings, chosen),
        *_spot(chosen),
        *_steps(chosen),
        *_rates(standings, chosen),
    ]
    nearest = sorted((flip for flip, _ in told), key=lambda flip: abs(flip.at / flip.now - 1))
    return tuple(nearest), (*(() if several else (ONE_MACHINE,)), *(sentence for _, sentence in told))


def _between_machines(standings: Sequence[Standing], chosen: Standing) -> Iterator[tuple[Flip, str]]:
    """The price of the chosen one's machine above which, and of each other machine below which, the choice changes."""
    passing = [s for s in running(standings) if s.stand == "passes" and s.price.currency == chosen.price.currency]
    for machine in dict.fromkeys(s.candidate.machine for s in passing):
        own = machine == chosen.candidate.machine
        mine = [chosen] if own else [s for s in passing if s.candidate.machine == machine]
        others = [s for s in passing if s.candidate.machine != machine] if own else [chosen]
        points = sorted({at for one, other in product(mine, others) for at in _equal_cost(one, other)}, reverse=not own)
        yield from _first_flip(standings, chosen, machine, points)


def _equal_cost(mine: Standing, other: Standing) -> Iterator[float]:
    """Prices of my machine at which both cost the same, and where a tie between them begins and ends."""
    units = mine.spending / mine.price.per_hour
    for tie in (1 / (1 + TIE), 1.0, 1 + TIE):
        yield tie * other.spending / units


def _first_flip(
    standings: Sequence[Standing], chosen: Standing, machine: str, points: Sequence[float]
) -> Iterator[tuple[Flip, str]]:
    """The first of the points, in their order, beyond which another candidate is chosen."""
    price = next(s.price for s in standings if s.candidate.machine == machine)
    rising = machine == chosen.candidate.machine
    beyond = [at for at in points if (at > price.per_hour) == rising][:MOST_STEPS]
    last = (beyond[-1] * (2.0 if rising else 0.5),) if beyond else ()
    for at, middle in _stretches([*beyond, *last]):
        moved = msgspec.structs.replace(price, per_hour=middle)
        then = _choice(standings, lambda s, p=moved: s.at_price(p) if s.candidate.machine == machine else s)  # type: ignore[misc]
        if then is not None and then.candidate.id != chosen.candidate.id:
            unit, way = f"{price.currency}/h", "above" if rising else "below"
            sentence = f"{then.candidate.id} would be chosen with a price of {price.machine} {way} {number(at)} {unit}"
            flip = _flip("price", price.per_hour, at, unit, then, price.machine)
            yield flip, f"{sentence} (now {number(price.per_hour)})."
            return


def _budget(standings: Sequence[Standing], chosen: Standing) -> Iterator[tuple[Flip, str]]:
    budget, replicas, price = chosen.requirements.budget_per_month, chosen.replicas, chosen.price
    if budget is None or replicas is None:
        return
    at = budget / (replicas * HOURS_PER_MONTH)
    dearer = msgspec.structs.replace(price, per_hour=at * (1 + 1e-9))
    machine = chosen.candidate.machine
    then = _choice(standings, lambda s: s.at_price(dearer) if s.candidate.machine == machine else s)
    yield (
        _flip("price", price.per_hour, at, f"{price.currency}/h", then, price.machine),
        f"Above {number(at)} {price.currency}/h for {price.machine} (now {number(price.per_hour)}) the budget breaks: "
        f"{_would(then)}.",
    )


def _spot(chosen: Standing) -> Iterator[tuple[Flip, str]]:
    """Spot prices against those on demand, where both are known: cheaper by the hour, but more replicas."""
    price = chosen.price
    if price.other_per_hour is None:
        return
    other = msgspec.structs.replace(price, spot=not price.spot, per_hour=price.other_per_hour)
    replicas, other_replicas = chosen.replicas, chosen.at_price(other).replicas
    if replicas is None or other_replicas is None:
        return
    spot, on_demand = (price, other) if price.spot else (other, price)
    spot_replicas, demand_replicas = (replicas, other_replicas) if price.spot else (other_replicas, replicas)
    at = on_demand.per_hour * demand_replicas / spot_replicas
    month = other_replicas * other.per_hour * HOURS_PER_MONTH
    kind = "on demand" if price.spot else "at the spot price"
    flip = _flip("price", spot.per_hour, at, f"{price.currency}/h", chosen, f"{price.machine} (spot)")
    yield (
        msgspec.structs.replace(flip, replicas=demand_replicas if at > spot.per_hour else spot_replicas),
        f"{kind.capitalize()} ({number(other.per_hour)} {price.currency}/h) the same would cost {number(month)} "
        f"{price.currency} per month with {other_replicas} replicas; spot is the cheaper way below {number(at)} "
        f"{price.currency}/h.",
    )


def _steps(chosen: Standing) -> Iterator[tuple[Flip, str]]:
    """Where one replica more is needed, and where one fewer suffices."""
    rate, needed = chosen.requirements.rate_per_s, needed_for(chosen.capacity, chosen.requirements)
    if rate is None or needed is None:
        return
    step = _step(chosen)
    replicas = "One replica suffices" if needed == 1 else f"The {needed} replicas that the rate takes suffice"
    fewer = f"; {number((needed - 1) * step)}/s could do with one fewer" if needed > 1 else ""
    up = _flip("rate", rate, needed * step, RATE, chosen)
    yield (
        msgspec.structs.replace(up, replicas=_replicas_at(chosen, needed + 1)),
        f"{replicas} up to {number(needed * step)}/s{fewer}.",
    )


def _step(standing: Standing) -> float:
    """Of the required rate, what each replica takes."""
    return standing.capacity / (1 + standing.requirements.headroom)


def _replicas_at(standing: Standing, needed: int) -> int:
    return needed + spare_for(needed, standing.requirements, standing.price)


def _rates(standings: Sequence[Standing], chosen: Standing) -> Iterator[tuple[Flip, str]]:
    """The nearest higher and the nearest lower rate at which another candidate would be chosen."""
    rate = chosen.requirements.rate_per_s
    if rate is None or chosen.requirements.priority == "speed":  # then latencies decide, which move with every rate
        return
    steps = _all_steps(standings, rate)
    above = [*(step for step in steps if step >= rate), rate * REACH][: MOST_STEPS + 1]
    below = [*(step for step in reversed(steps) if step < rate), rate / REACH][: MOST_STEPS + 1]
    for nearest, word in ((above, "Above"), (below, "Up to")):
        for step, middle in _stretches(nearest):
            then = _choice(standings, lambda s, at=middle: s.at_rate(at))  # type: ignore[misc]
            if then is None or then.candidate.id != chosen.candidate.id:
                yield _flip("rate", rate, step, RATE, then), f"{word} {number(step)}/s {_would(then)}."
                break


def _all_steps(standings: Sequence[Standing], rate: float) -> list[float]:
    """The rates, rising, at which some candidate needs one replica more; a budget that breaks now need not then."""
    found = set()
    for standing in standings:
        if set(standing.breaks) - {"budget"} or standing.capacity <= 0:
            continue
        step = _step(standing)
        around = int(rate / step)
        counts = range(max(1, around - MOST_STEPS), around + MOST_STEPS + 1)
        found |= {count * step for count in counts if rate / REACH < count * step < rate * REACH}
    return sorted(found)


def _stretches(steps: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Each step with a rate beyond it and before the next one."""
    for step, following in pairwise(steps):
        yield step, (step + following) / 2


def _choice(standings: Sequence[Standing], changed: Callable[[Standing], Standing]) -> Standing | None:
    return choose(running([changed(s) for s in standings])).chosen


def _flip(of: str, now: float, at: float, unit: str, then: Standing | None, machine: str = "") -> Flip:
    return Flip(
        of=of,  # type: ignore[arg-type]
        now=now,
        at=at,
        unit=unit,
        candidate="" if then is None else then.candidate.id,
        machine=machine,
        replicas=None if then is None else then.replicas,
    )


def _would(then: Standing | None) -> str:
    if then is None:
        return "nothing that was measured keeps every requirement"
    return f"{then.candidate.id} would be chosen"
