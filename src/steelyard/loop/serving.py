"""From bundles on disk to a server that answers."""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from steelyard import numbers
from steelyard.bundle import read_plan
from steelyard.errors import CandidateFailure, UsageError
from steelyard.protocol.addresses import check_reach, listening, token_of
from steelyard.protocol.grpc_server import GrpcServer
from steelyard.protocol.guards import LOOPBACK, MOST_BODY, Guards
from steelyard.protocol.http import Http
from steelyard.protocol.server import DRAIN_S, Server
from steelyard.records.base import Record
from steelyard.serve.canary import AT_ONCE, Terms
from steelyard.serve.opening import Options
from steelyard.serve.repository import Repository
from steelyard.telemetry.history import History
from steelyard.telemetry.live import live_pages
from steelyard.telemetry.logs import start_logging
from steelyard.telemetry.metrics import metrics_page

if TYPE_CHECKING:
    from steelyard.telemetry.tracing import Tracing

LEAST_BODY = 1024
"""Bytes."""


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
    only: str = ""
    """One rung of the ladder that answers alone."""
    most_waiting: int = 10_000
    shadow: float = 0.0
    canary: Terms = AT_ONCE
    """How a bundle that is loaded anew is tried beside the one that answers."""
    hang_s: float = 30.0
    log_form: Literal["text", "json"] = "text"
    trace: bool = False
    """Send spans of requests to the collector that the environment names."""

    def __post_init__(self) -> None:
        """Raises UsageError for settings with which nobody would ever be answered, or that mean nothing."""
        if self.most_waiting < 1:
            told = f"at least one item must be able to wait, got a queue of {self.most_waiting:,}"
            raise UsageError(told, "for example --queue 10000")
        if not 0 <= self.shadow <= 1:
            told = f"the share to compare lies between 0% and 100%, got {numbers.stated_percent(self.shadow)}"
            raise UsageError(told, "for example --shadow 1%")
        if not self.hang_s > 0:
            raise UsageError("a batch takes longer than 0 s", "for example --hang 30s")
        if self.most_body < LEAST_BODY:
            told = f"a request of at most {self.most_body:,} bytes asks nothing; {LEAST_BODY:,} are the least"
            raise UsageError(told, "for example --max-body 64MB")
        _check_names(self.hosts, self.origins)


def _check_names(hosts: Sequence[str], origins: Sequence[str]) -> None:
    """Refuse what no client could ever send as its Host or Origin."""
    for host in hosts:
        if not re.fullmatch(r"\*|[\w.-]+|\[[\da-fA-F:.]+\]", host):
            told = f"'{host}' is no name that clients could call this server by"
            raise UsageError(told, "the name alone, without http:// and port: --allow-host models.example.org")
    for origin in origins:
        if not re.fullmatch(r"https?://[^/\s?#]+/?", origin):
            told = f"'{origin}' is no origin of a web page"
            raise UsageError(told, "scheme and name, without a path: --allow-origin https://example.org")


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


def serve(bundles: Sequence[str], settings: Served, on_start: Callable[[Started], None] = lambda _: None) -> bool:
    """Serve until told to end; `on_start` hears where, once all models are ready.

    False: a batch did not end in time, and still runs in a thread of this process.

    Raises UsageError for an address, port, token or name that will not do, BundleError for a bundle that cannot be
    served, before anything listens to anybody.
    """
    token = token_of(settings.token_file)
    check_reach(settings.host, token)
    start_logging(settings.log_form, hidden=[token] if token else [])
    offer = Offer(named(bundles), settings, token)
    opened = listening(settings.host, settings.port)
    try:
        offer.open()
        grpc = None if settings.grpc_port is None else _grpc(offer, token, settings)
        started = Started(
            http=_address(opened),
            grpc=None if grpc is None else Address(host=settings.host, port=grpc.start()),
            models=tuple(_told(offer.repository)),
        )
    except BaseException:
        opened.close()
        offer.close(drain=False)
        raise
    Server(
        offer.repository,
        offer.http,
        opened,
        on_ready=lambda: on_start(started),
        stop_beside=lambda: None if grpc is None else grpc.stop(DRAIN_S),
        closers=[offer.end_watching],
    ).run()
    return offer.repository.ended


class Offer:
    """Bundles, what is seen of them, and the HTTP side in front: what our server runs, and what others embed."""

    def __init__(self, folders: Mapping[str, Path], settings: Served, token: str | None) -> None:
        """Nothing is opened yet. Raises InputError for a name that is none, UsageError when nothing can be traced."""
        options = Options(
            isolate=settings.isolate,
            switch=settings.switch,
            most_waiting=settings.most_waiting,
            shadow=settings.shadow,
            hang_s=settings.hang_s,
            canary=settings.canary,
            only=settings.only,
        )
        self.repository = Repository(folders, options)
        self.history = History(self.repository)
        guards = Guards(
            token=token,
            hosts=(*LOOPBACK, settings.host, *settings.hosts) if settings.hosts else None,
            origins=settings.origins,
            most_body=settings.most_body,
        )
        seen = {("GET", "/metrics"): metrics_page(self.repository, self.history)}
        self._tracing = _tracing() if settings.trace else None
        self.ask = None if self._tracing is None else self._tracing.ask
        """What hands requests to their models; None: they do it themselves."""
        self.http = Http(self.repository, guards, seen | live_pages(self.repository, self.history), self.ask)

    def open(self) -> None:
        """Raises BundleError or UsageError when one cannot be served; none is open then."""
        try:
            for name in self.repository.names():
                _load(self.repository, name)
        except BaseException:
            self.close(drain=False)
            raise
        self.history.start()

    def close(self, drain: bool = True) -> None:
        """Let go of all models; those that wait are answered first (or fail, without `drain`)."""
        self.history.close()
        self.repository.close(drain)
        self.end_watching()

    def end_watching(self) -> None:
        """Nothing is noted any more; spans that were not sent yet are."""
        self.history.close()
        tracing, self._tracing = self._tracing, None
        if tracing is not None:
            tracing.close()


def _grpc(offer: Offer, token: str | None, settings: Served) -> GrpcServer:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return GrpcServer(offer.repository, token, f"{host}:{settings.grpc_port}", settings.most_body, offer.ask)


def _tracing() -> Tracing:
    try:
        from steelyard.telemetry.tracing import start_tracing
    except ImportError as error:
        raise UsageError(f"tracing needs OpenTelemetry: {error}", "pip install 'steelyard[otel]'") from None
    return start_tracing()


def named(bundles: Sequence[str]) -> Mapping[str, Path]:
    """`NAME=FOLDER` or `FOLDER`, which is called after its model's file. Raises UsageError for a name told twice."""
    folders: dict[str, Path] = {}
    for told in bundles:
        name, is_named, folder = told.rpartition("=")
        place = Path(folder)
        name = name if is_named else name_of(place)
        if name in folders:
            raise UsageError(f"two bundles are called '{name}'", f"say another name: other={folder}")
        folders[name] = place
    return folders


def name_of(folder: Path) -> str:
    """What a bundle's model is called unless its user says so. Raises BundleError for what is no bundle."""
    return Path(read_plan(folder).subject.model).stem


def _load(repository: Repository, name: str) -> None:
    try:
        repository.load(name)
    except CandidateFailure as failure:
        raise UsageError(f"the model '{name}' cannot be served: {failure.message}", failure.hint) from failure


def _address(opened: socket.socket) -> Address:
    host, port = opened.getsockname()[:2]
    return Address(host=host, port=port)


def _told(repository: Repository) -> Iterator[StartedModel]:
    for name in repository.names():
        slot = repository.slot(name)
        model = slot.current
        bound_ms = model.promise.bound_s * 1000
        yield StartedModel(
            name=name,
            bundle=str(slot.folder),
            variants=tuple(resident.variant for resident in model.residents),
            bound_ms=bound_ms if bound_ms < math.inf else None,
            percentile=model.promise.percentile,
        )
