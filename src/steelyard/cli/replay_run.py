"""What `steelyard replay` does. Imported only once it runs, so that `--help` stays instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from steelyard.loop.replay import Replayed, ReplayedRow, replay_bundle
from steelyard.records.base import to_json
from steelyard.records.stated import seconds, stated_latency, stated_rate

NOT_KEPT = 3


def execute(
    arrivals: str, bundle: Path, latency: str | None, rate: str | None, duration: str | None, seed: int, form: str
) -> NoReturn:
    """Simulate, show, end with the status."""
    replayed = replay_bundle(
        arrivals,
        bundle,
        stated_latency(latency) if latency else None,
        stated_rate(rate) if rate else None,
        seconds(duration, "--duration") if duration else None,
        seed,
    )
    if form == "json":
        print(to_json(replayed, indent=2).decode())
    elif form == "human":
        show(Console(highlight=False), replayed)
    sys.exit(NOT_KEPT if replayed.switching.verdict == "fail" else 0)


def show(console: Console, replayed: Replayed) -> None:
    """For people."""
    console.print(
        f"{replayed.requests:,} requests in {replayed.seconds:,.0f} s ({replayed.arrivals}, "
        f"{replayed.rate_per_s:,.4g}/s on average) on one replica; promised: p{replayed.percentile:g} within "
        f"{replayed.bound_ms:g} ms"
    )
    for told in replayed.told:
        console.print(f"  {told}", style="dim")
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("served by")
    for name in ("late or refused", "p50 ms", "p95 ms", "p99 ms", replayed.metric, "cost / 1,000", "kept"):
        table.add_column(name, justify="right")
    for row in replayed.rows:
        table.add_row(*_cells(row, replayed.currency))
    console.print(table)
    if len(replayed.rungs) > 1:
        shares = ", ".join(f"{rung.variant} {rung.share:.1%}" for rung in replayed.rungs)
        console.print(f"Switching, requests are answered by: {shares}")
    else:
        console.print("The bundle holds one variant that can answer: there is nothing to switch to.")


def _cells(row: ReplayedRow, currency: str) -> tuple[str, ...]:
    cost = row.outcome.cost_per_thousand
    return (
        row.name,
        f"{row.violations:.2%}",
        f"{row.p50_ms:,.2f}",
        f"{row.p95_ms:,.2f}",
        f"{row.p99_ms:,.2f}",
        f"{row.outcome.quality:.4f}",
        "–" if cost is None else f"{cost:.3g} {currency}",
        {"pass": "yes", "fail": "no", "undecided": "undecided"}[row.verdict],
    )
