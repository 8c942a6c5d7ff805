"""Log a weighing to MLflow: what was demanded and chosen, figures of all candidates, the bundle. The only file with it.

One run per weighing; each candidate with figures is a run below it. https://mlflow.org/docs/latest/ml/tracking/
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from steelyard.errors import UsageError
from steelyard.ledger import shown
from steelyard.records.plan import Figures, Plan

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "steelyard"
PARENT, NAME = "mlflow.parentRunId", "mlflow.runName"
MOST_CANDIDATES = 100
LONGEST_PARAM = 500
SETTINGS = {
    # MLflow reports its use to its makers otherwise.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Its own patience, minutes for each request, is meant for training that must not stop.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


def place_of(said: str) -> str:
    """The tracking URI that is meant: a server's or database's, a folder, or `auto` for MLFLOW_TRACKING_URI.

    Raises UsageError when nothing is meant, or MLflow is missing: better now than after hours of measuring.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise UsageError("logging to MLflow needs the package mlflow-skinny", "pip install 'steelyard[mlflow]'")
    uri = os.environ.get("MLFLOW_TRACKING_URI", "") if said == "auto" else said
    if not uri:
        raise UsageError(
            "--mlflow auto means MLFLOW_TRACKING_URI, which is not set", "name the place, for example --mlflow ./mlruns"
        )
    return uri if "://" in uri or uri.startswith("file:") else Path(uri).expanduser().absolute().as_uri()


def log(plan: Plan, bundle: Path, uri: str) -> str:
    """Log the plan and its bundle; what to tell. Whatever goes wrong is told too, and nothing is lost by it."""
    try:
        with _quiet():
            run = _logged(plan, bundle, uri)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        return f"not logged to MLflow at {shown(uri)}: {shown(reason)}; the plan is in {bundle} all the same"
    return f"logged to MLflow at {shown(uri)}: experiment {EXPERIMENT}, run {run}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Standard output belongs to the plan."""
    os.environ.update({name: value for name, value in SETTINGS.items() if name not in os.environ})
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _logged(plan: Plan, bundle: Path, uri: str) -> str:
    if uri.startswith("file:"):
        # A folder was asked for: MLflow means to give it up, and wants to be told that it is meant.
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = _experiment(client, uri)
    run = client.create_run(experiment, run_name=f"{plan.subject.name} {plan.created}", tags=_tags(plan)).info.run_id
    _batch(client, run, _metrics(plan), _params(plan))
    client.log_artifacts(run, str(bundle))
    for told in [c for c in plan.candidates if c.figures is not None][:MOST_CANDIDATES]:
        tags = {PARENT: run, "steelyard.verdict": told.verdict, "steelyard.reason": told.reason[:LONGEST_PARAM]}
        below = client.create_run(experiment, run_name=told.id, tags=tags).info.run_id
        if told.figures is not None:
            _batch(client, below, _figures(told.figures), _settings(told.figures))
        client.set_terminated(below)
    client.set_terminated(run)
    return str(run)


def _experiment(client: MlflowClient, uri: str) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    # A database file keeps no files: they go beside it, not into whatever folder this runs in.
    database = uri.removeprefix("sqlite:///")
    place = (Path(database).absolute().parent / "mlartifacts").as_uri() if database != uri else None
    return str(client.create_experiment(EXPERIMENT, artifact_location=place))


def _batch(client: MlflowClient, run: str, metrics: Mapping[str, float | None], params: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    known = [Metric(name, float(value), now, 0) for name, value in metrics.items() if value is not None]
    said = [Param(name, str(value)[:LONGEST_PARAM]) for name, value in params.items() if value is not None]
    client.log_batch(run, metrics=known, params=said)


def _tags(plan: Plan) -> dict[str, str]:
    return {
        "steelyard.status": plan.status,
        "steelyard.summary": plan.summary,
        "steelyard.subject": plan.subject.key,
        "steelyard.version": plan.steelyard,
        "mlflow.note.content": plan.summary,
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
