"""`steelyard replay`: its options. What it does is imported once it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelyard.cli.formats import Format

Text = str | None


def replay_command(
    arrivals: Annotated[str, typer.Argument(help="How requests come: poisson, gamma:4 (bursts), trace:FILE.")],
    bundle: Annotated[Path, typer.Option(help="A bundle, or a plan.json.")] = Path("steelyard-plan"),
    latency: Annotated[
        Text, typer.Option(help="Another promise than the plan's: --p95 5ms, or --latency p95=5ms.", metavar="pN=TIME")
    ] = None,
    rate: Annotated[Text, typer.Option(help="Requests that one replica gets: 500/s.")] = None,
    duration: Annotated[Text, typer.Option(help="How long: 60s, 10min.")] = None,
    seed: Annotated[int, typer.Option(help="Of arrivals and service times.")] = 0,
    form: Annotated[Format, typer.Option("--format", help="human, json (for scripts) or quiet.")] = Format.human,
) -> None:
    """Simulate another day, or another promise, for a bundle: without hardware, by the policy that serves.

    Exit status 3 when too many requests would be late or refused, even switching between the variants.
    """
    from steelyard.cli import replay_run

    replay_run.execute(arrivals, bundle, latency, rate, duration, seed, form.value)
