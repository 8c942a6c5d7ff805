"""Log a weighing to MLflow: what was demanded and chosen, figures of all candidates, the bundle.

One run per weighing; each candidate with figures is a run below it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from steelyard.ledger import shown
from steelyard.loop.mlflow_place import EXPERIMENT, LONGEST_PARAM, NOTE, client_of, experiment, quiet, write
from steelyard.records.plan import Figures, Plan

PARENT = "mlflow.parentRunId"
MOST_CANDIDATES = 100


def log(plan: Plan, bundle: Path, uri: str) -> str:
    """Log the plan and its bundle; what to tell. Whatever goes wrong is told too, and nothing is lost by it."""
    try:
        with quiet():
            run = _logged(plan, bundle, uri)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        return f"not logged to MLflow at {shown(uri)}: {shown(reason)}; the plan is in {bundle} all the same"
    return f"logged to MLflow at {shown(uri)}: experiment {EXPERIMENT}, run {run}"


def _logged(plan: Plan, bundle: Path, uri: str) -> str:
    client = client_of(uri)
    place = experiment(client, uri)
    run = client.create_run(place, run_name=f"{plan.subject.name} {plan.created}", tags=_tags(plan)).info.run_id
    write(client, run, _metrics(plan), _params(plan))
    client.log_artifacts(run, str(bundle))
    for told in [c for c in plan.candidates if c.figures is not None][:MOST_CANDIDATES]:
        tags = {PARENT: run, "steelyard.verdict": told.verdict, "steelyard.reason": told.reason[:LONGEST_PARAM]}
        below = client.create_run(place, run_name=told.id, tags=tags).info.run_id
        if told.figures is not None:
            write(client, below, _figures(told.figures), _settings(told.figures))
        client.set_terminated(below)
    client.set_terminated(run)
    return str(run)


def _tags(plan: Plan) -> dict[str, str]:
    return {
        "steelyard.status": plan.status,
        "steelyard.summary": plan.summary,
        "steelyard.subject": plan.subject.key,
        "steelyard.version": plan.steelyard,
        NOTE: plan.summary,
    }


def _params(plan: Plan) -> dict[str, Any]:
    """What was demanded, on what it was measured, and what was chosen."""
    demanded = msgspec.to_builtins(plan.requirements)
    latency = plan.requirements.latency
    demanded["latency"] = None if latency is None else f"p{latency.percentile:g}={latency.bound_ms:g}ms"
    demanded["arrivals"] = plan.requirements.arrivals.words
    told = {f"requirements.{name}": value for name, value in demanded.items() if value not in (None, "")}
    told |= {"model": plan.subject.model, "model_sha256": plan.subject.model_sha256, "data": plan.subject.data}
    told |= {"metric": plan.subject.metric, "machine": plan.machine.cpu, "cores": plan.machine.cores}
    told |= {"price": f"{plan.price.per_hour:g} {plan.price.currency}/h", "priced_as": plan.price.machine}
    return told | (_settings(plan.chosen_figures, "chosen.") if plan.chosen_figures else {})


def _settings(figures: Figures, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in msgspec.to_builtins(figures.candidate).items() if value != ""}


def _metrics(plan: Plan) -> dict[str, float | None]:
    """The chosen one's, the reference's, the gain's, the search's."""
    told = {f"reference/{name}": value for name, value in _figures(plan.reference).items()}
    if plan.chosen_figures is not None:
        told |= {f"chosen/{name}": value for name, value in _figures(plan.chosen_figures).items()}
    if plan.gain is not None:
        told |= {"gain/speed": plan.gain.speed, "gain/cost": plan.gain.cost}
    search = plan.search
    return told | {
        "search/seconds": search.seconds,
        "search/measured": search.measured,
        "search/resumed": search.resumed,
    }


def _figures(figures: Figures) -> dict[str, float | None]:
    quality, latency, cost = figures.quality, figures.latency, figures.cost
    return {
        "quality": quality.value,
        "quality_drop": quality.drop,
        "quality_drop_at_most": quality.bound,
        "latency_p50_ms": latency.p50,
        "latency_p95_ms": latency.p95,
        "latency_p99_ms": latency.p99,
        "capacity_per_s": figures.capacity_per_replica,
        "replicas": figures.replicas,
        "cost_per_million": cost.per_million,
        "cost_per_month": cost.per_month,
        "memory_mb": figures.memory_mb,
        "load_s": figures.load_s,
    }
