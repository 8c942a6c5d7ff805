"""Where MLflow keeps its runs, and how to write there. This file and those that use it are all that knows MLflow.

https://mlflow.org/docs/latest/ml/tracking/
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

from steelyard.errors import UsageError

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "steelyard"
NAME = "mlflow.runName"
NOTE = "mlflow.note.content"
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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Standard output belongs to what is asked for."""
    os.environ.update({name: value for name, value in SETTINGS.items() if name not in os.environ})
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def client_of(uri: str) -> MlflowClient:
    """MLflow's own client."""
    if uri.startswith("file:"):
        # A folder was asked for: MLflow means to give it up, and wants to be told that it is meant.
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def experiment(client: MlflowClient, uri: str) -> str:
    """The id of the experiment that all runs are in."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    # A database file keeps no files: they go beside it, not into whatever folder this runs in.
    database = uri.removeprefix("sqlite:///")
    place = (Path(database).absolute().parent / "mlartifacts").as_uri() if database != uri else None
    return str(client.create_experiment(EXPERIMENT, artifact_location=place))


def write(
    client: MlflowClient, run: str, metrics: Mapping[str, float | None], params: Mapping[str, Any], step: int = 0
) -> None:
    """Figures and settings that are known."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    known = [Metric(name, float(value), now, step) for name, value in metrics.items() if value is not None]
    said = [Param(name, str(value)[:LONGEST_PARAM]) for name, value in params.items() if value is not None]
    client.log_batch(run, metrics=known, params=said)
