"""What `steelyard serve` does. Imported only once it runs, so that `--help` stays instant."""

from __future__ import annotations

import logging
import os

from rich.console import Console

from steelyard.cli import output
from steelyard.loop.serving import Address, Served, Started, StartedModel, serve
from steelyard.machines.garbage import no_garbage_of_ours
from steelyard.records.base import to_json

log = logging.getLogger(__name__)

NOT_ANSWERED = 1
"""The exit status when something could not be answered at the end."""


def execute(bundles: list[str], settings: Served, form: str) -> None:
    """Serve until told to end."""
    # What was imported is let be: looking through all of it again and again holds requests up. Models come later, and
    # may go.
    with no_garbage_of_ours():
        has_ended = serve(bundles, settings, lambda started: tell(started, form))
    if not has_ended:
        log.error("a batch did not end in time: what asked for it got no answer")
        os._exit(NOT_ANSWERED)  # engines that still compute make an ordinary end of the process fail


def tell(started: Started, form: str) -> None:
    """On standard output, at once: scripts wait for it. Where that cannot be written, on a full disk, it serves on."""
    try:
        _tell(started, form)
    except OSError as error:
        log.warning("standard output cannot be written: %s; listening at %s", error, _url(started.http))
        output.forget()


def _tell(started: Started, form: str) -> None:
    if form == "json":
        print(to_json(started).decode(), flush=True)
    elif form == "human":
        console = Console(highlight=False, soft_wrap=True)
        for model in started.models:
            console.print(_of_model(model, started.http))
        at = _url(started.http)
        if started.grpc is not None:
            console.print(f"gRPC: {_url(started.grpc).removeprefix('http://')}")
        console.print(f"See it work: {at}/live · metrics: {at}/metrics · paths: {at}/docs")
        console.print("Ctrl-C or SIGTERM ends it once everybody is answered; SIGHUP opens the bundles anew.")


def _of_model(model: StartedModel, at: Address) -> str:
    promise = "" if model.bound_ms is None else f", p{model.percentile:g} within {model.bound_ms:g} ms"
    return f"[bold]{model.name}[/bold] ({', '.join(model.variants)}{promise}): {_url(at)}/v2/models/{model.name}"


def _url(at: Address) -> str:
    host = f"[{at.host}]" if ":" in at.host else at.host
    return f"http://{host}:{at.port}"
