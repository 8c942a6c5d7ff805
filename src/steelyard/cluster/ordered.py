"""Weigh where the job says: on this machine or on a cluster; and log it where the job says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from steelyard import loop
from steelyard.loop import mlflow_place, mlflow_run
from steelyard.loop.weigh import Balance
from steelyard.records.job import Job
from steelyard.search import Event


def weigh(job: Job, on_event: Callable[[Event], None] = lambda _: None, stop: threading.Event | None = None) -> Balance:
    """The plan for one job; see `loop.weigh`. A log that cannot be written is a notice, never the loss of the plan."""
    log_to = None if job.mlflow is None else mlflow_place.place_of(job.mlflow)
    if job.on is None:
        balance = loop.weigh(job, on_event, stop)
    else:
        from steelyard.cluster.weigh import weigh as weigh_on_cluster

        balance = weigh_on_cluster(job, on_event, stop)
    if log_to is None:
        return balance
    on_event(Event("logging", "writing to MLflow", 0, 1))
    told = mlflow_run.log(balance.plan, balance.bundle, log_to)
    return replace(balance, notices=(*balance.notices, told))
