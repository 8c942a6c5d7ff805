"""Whether the server serves, in the words of gRPC's own probes: Kubernetes, load balancers, grpc_health_probe.

Without a name they ask for the whole server, which is ready when every model is; otherwise for the model of that name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import grpc
import grpc.aio

from steelyard.errors import UnknownModel
from steelyard.protocol import grpc_service, grpc_told, health_pb2
from steelyard.protocol import inference_pb2 as pb
from steelyard.protocol.grpc_failures import NO_TOKEN, Failure, failure
from steelyard.protocol.grpc_messages import MOST_QUESTION, parsed
from steelyard.protocol.grpc_service import Context, Method, refuse
from steelyard.protocol.offered import Models

SERVICE = "grpc.health.v1.Health"
WHOLE = frozenset({"", grpc_service.SERVICE})
"""Names of the server as a whole."""
LOOK_S = 0.5
"""How often those who watch are looked for: nobody is told when a process goes missing."""
MOST_WATCHING = 256
"""Anybody may watch, and holds a call for as long."""

Metadata = Sequence[tuple[str, str | bytes]]
Status = health_pb2.HealthCheckResponse


class Health:
    """Answers the calls that come on one event loop."""

    def __init__(self, models: Models, admits: Callable[[Metadata], bool] | None) -> None:
        """`admits`: whether a caller may hear of single models; None: everybody may."""
        self._models = models
        self._admits = admits
        self._watching = 0
        self._is_ending = False

    def methods(self) -> dict[str, Method]:
        """All calls by name."""
        return {"Check": Method(self.check), "Watch": Method(self.watch, grpc.unary_stream_rpc_method_handler)}

    def end(self) -> None:
        """Those who watch are told that it no longer serves; nobody waits for them."""
        self._is_ending = True

    async def check(self, raw: bytes, context: Context) -> Status:
        """How it stands."""
        try:
            name = self._named(raw)
            if self._may_ask(name, context):
                return Status(status=self._status(name))
            failed = NO_TOKEN
        except Exception as error:
            failed = failure(error)
        return await refuse(context, failed)

    async def watch(self, raw: bytes, context: Context) -> None:
        """How it stands, now and whenever that changes."""
        try:
            name = self._named(raw)
        except Exception as error:
            await refuse(context, failure(error))
        if not self._may_ask(name, context):
            await refuse(context, NO_TOKEN)
        if self._watching >= MOST_WATCHING:
            await refuse(context, Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MOST_WATCHING} watch already"))
        self._watching += 1
        try:
            await self._tell(name, context)
        finally:
            self._watching -= 1

    async def _tell(self, name: str, context: Context) -> None:
        told: Status.ServingStatus | None = None
        while not self._is_ending:
            status = self._status_or_unknown(name)
            if status != told:
                await context.write(Status(status=status))
                told = status
            await asyncio.sleep(LOOK_S)
        await context.write(Status(status=Status.NOT_SERVING))

    def _named(self, raw: bytes) -> str:
        name: str = parsed(health_pb2.HealthCheckRequest, raw, MOST_QUESTION).service
        return name

    def _may_ask(self, name: str, context: Context) -> bool:
        return name in WHOLE or self._admits is None or self._admits(context.invocation_metadata() or ())

    def _status(self, name: str) -> Status.ServingStatus:
        """Raises UnknownModel for a name that is neither the server's nor a model's."""
        if name in WHOLE:
            is_ready = self._models.ready
        else:
            is_ready = grpc_told.model_ready(self._models, pb.ModelReadyRequest(name=name)).ready
        return Status.SERVING if is_ready else Status.NOT_SERVING

    def _status_or_unknown(self, name: str) -> Status.ServingStatus:
        try:
            return self._status(name)
        except UnknownModel:
            return Status.SERVICE_UNKNOWN
