"""From bundles on disk to a server that answers."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from steelyard.bundle import read_plan
from steelyard.errors import CandidateFailure, UsageError
from steelyard.protocol.addresses import check_reach, listening, token_of
from steelyard.protocol.grpc_server import GrpcServer
from steelyard.protocol.guards import LOOPBACK, MOST_BODY, Guards
from steelyard.protocol.http import Http
from steelyard.protocol.server import DRAIN_S, Server
from steelyard.records.base import Record
from steelyard.serve.opening import Options
from steelyard.serve.repository import Repository
from steelyard.telemetry.history import History
from steelyard.telemetry.live import live_pages
from steelyard.telemetry.logs import start_logging
from steelyard.telemetry.metrics import metrics_page


class Served(Record):
    """How bundles are served, and to whom."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0: any that is free."""
    grpc_port: int | None = 8001
    """0: any that is free; None: no gRPC."""
    token_file: Path | None = None
    hosts: tuple[str, ...] = ()
    """Names that clients may call the server by, besides those of its own machine."""
    origins: tuple[str, ...] = ()
    """Pages that may call it from a browser, besides its own."""
    most_body: int = MOST_BODY
    isolate: bool = False
    switch: bool = True
    most_waiting: int = 10_000
    shadow: float = 0.0
    hang_s: float = 30.0
    log_form: Literal["text", "json"] = "text"


class Address(Record):
    """Where one protocol is spoken."""

    host: str
    port: int


class StartedModel(Record):
    """A model that is ready."""

    name: str
    bundle: str
    variants: tuple[str, ...]
    """Those in memory: the most accurate first."""
    bound_ms: float | None
    """What the plan promises of the latency; None: nothing."""
    percentile: float | None


class Started(Record):
    """What a server tells once it is ready."""

    http: Address
    grpc: Address | None
    models: tuple[StartedModel, ...]


def serve(bundles: Sequence[str], settings: Served, on_start: Callable[[Started], None] = lambda _: None) -> None:
    """Serve until told to end; `on_start` hears where, once all models are ready.

    Raises UsageError for an address, port, token or name that will not do, BundleError for a bundle that cannot be
    served, before anything listens to anybody.
    """
    token = token_of(settings.token_file)
    check_reach(settings.host, token)
    start_logging(settings.log_form, hidden=[token] if token else [])
    folders = named(bundles)
    options = Options(settings.isolate, settings.switch, settings.most_waiting, settings.shadow, settings.hang_s)
    repository = Repository(folders, options)
    guards = Guards(
        token=token,
        hosts=(*LOOPBACK, settings.host, *settings.hosts) if settings.hosts else None,
        origins=settings.origins,
        most_body=settings.most_body,
    )
    history = History(repository)
    pages = {("GET", "/metrics"): metrics_page(repository, history), **live_pages(repository, history)}
    opened = listening(settings.host, settings.port)
    try:
        for name in folders:
            _load(repository, name)
        grpc = None if settings.grpc_port is None else _grpc(repository, token, settings)
        started = Started(
            http=_address(opened),
            grpc=None if grpc is None else Address(host=settings.host, port=grpc.start()),
            models=tuple(_told(repository, folders)),
        )
        history.start()
    except BaseException:
        opened.close()
        history.close()
        repository.close(drain=False)
        raise
    closers = [history.close] if grpc is None else [lambda: grpc.stop(DRAIN_S), history.close]
    Server(repository, Http(repository, guards, pages), opened, lambda: on_start(started), closers).run()


def _grpc(repository: Repository, token: str | None, settings: Served) -> GrpcServer:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return GrpcServer(repository, token, f"{host}:{settings.grpc_port}", settings.most_body)


def named(bundles: Sequence[str]) -> Mapping[str, Path]:
    """`NAME=FOLDER` or `FOLDER`, which is called after its model's file. Raises UsageError for a name told twice."""
    folders: dict[str, Path] = {}
    for told in bundles:
        name, is_named, folder = told.rpartition("=")
        place = Path(folder)
        name = name if is_named else Path(read_plan(place).subject.model).stem
        if name in folders:
            raise UsageError(f"two bundles are called '{name}'", f"say another name: other={folder}")
        folders[name] = place
    return folders


def _load(repository: Repository, name: str) -> None:
    try:
        repository.load(name)
    except CandidateFailure as failure:
        raise UsageError(f"the model '{name}' cannot be served: {failure.message}", failure.hint) from failure


def _address(opened: socket.socket) -> Address:
    host, port = opened.getsockname()[:2]
    return Address(host=host, port=port)


def _told(repository: Repository, folders: Mapping[str, Path]) -> Iterator[StartedModel]:
    for name, folder in folders.items():
        model = repository.served(name).current
        bound_ms = model.promise.bound_s * 1000
        yield StartedModel(
            name=name,
            bundle=str(folder),
            variants=tuple(resident.variant for resident in model.residents),
            bound_ms=bound_ms if bound_ms < math.inf else None,
            percentile=model.promise.percentile,
        )
