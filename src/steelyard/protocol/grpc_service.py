"""The protocol's calls over gRPC, on one event loop: plain questions, inferences, streams of them, the repository."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, NamedTuple, NoReturn, TypeVar

import grpc
import grpc.aio

from steelyard.errors import InputError, Overloaded, UnknownModel
from steelyard.protocol import grpc_told
from steelyard.protocol import inference_pb2 as pb
from steelyard.protocol.grpc_failures import Failure, failure, unexpected
from steelyard.protocol.grpc_messages import MOST_QUESTION, is_large, parsed
from steelyard.protocol.grpc_tensors import MOST_ID, Inference
from steelyard.protocol.offered import Ask, Models, Served
from steelyard.protocol.pending import Change
from steelyard.protocol.waiting import Desk, Waiting
from steelyard.serve.callers import Caller
from steelyard.serve.datatypes import shown
from steelyard.serve.requests import Answered, Withdrawable

log = logging.getLogger(__name__)

MOST_IN_STREAM = 1024
"""Requests of one stream under way; more stay with the client until one of these is answered."""
SERVICE = "inference.GRPCInferenceService"
UNSERVED = (
    "CudaSharedMemoryRegister",
    "CudaSharedMemoryStatus",
    "CudaSharedMemoryUnregister",
    "LogSettings",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryUnregister",
    "TraceSetting",
)
"""Calls of Triton that clients try. They are told at once that they are not served."""

Done = TypeVar("Done")
Context = Any
"""grpc.aio.ServicerContext, which is not typed."""


class Method(NamedTuple):
    """One call of the protocol. Its messages come as bytes: see `steelyard.protocol.grpc_messages`."""

    handler: Callable[..., Awaitable[Any]]
    """Of the message, or an iterator of them, and the call's context."""
    kind: Any = grpc.unary_unary_rpc_method_handler
    """Whether one message or several come and go."""


class Service:
    """Answers the calls that come on one event loop. Made on that loop."""

    def __init__(self, models: Models, most: int, ask: Ask | None = None) -> None:
        """`most`: bytes that a request for an inference may have. `ask` hands those to their models."""
        self._models = models
        self._most = most
        self._ask = ask
        self._desk = Desk()
        self._changing = threading.Lock()

    def methods(self) -> dict[str, Method]:
        """All calls by name."""
        return {
            "ServerLive": self._plain(grpc_told.server_live, pb.ServerLiveRequest),
            "ServerReady": self._plain(grpc_told.server_ready, pb.ServerReadyRequest),
            "ServerMetadata": self._plain(grpc_told.server_metadata, pb.ServerMetadataRequest),
            "ModelReady": self._plain(grpc_told.model_ready, pb.ModelReadyRequest),
            "ModelMetadata": self._plain(grpc_told.model_metadata, pb.ModelMetadataRequest),
            "ModelConfig": self._plain(grpc_told.model_config, pb.ModelConfigRequest),
            "ModelStatistics": self._plain(grpc_told.model_statistics, pb.ModelStatisticsRequest),
            "ModelInfer": Method(self.infer),
            "ModelStreamInfer": Method(self.infer_stream, grpc.stream_stream_rpc_method_handler),
            "RepositoryIndex": self._plain(grpc_told.repository_index, pb.RepositoryIndexRequest),
            "RepositoryModelLoad": Method(self.load),
            "RepositoryModelUnload": Method(self.unload),
            **dict.fromkeys(UNSERVED, Method(_unserved)),
        }

    def _plain(self, question: Callable[[Models, Any], Any], kind: Any) -> Method:
        """A call that is answered at once."""

        async def handler(raw: bytes, context: Context) -> Any:
            try:
                return question(self._models, parsed(kind, raw, MOST_QUESTION))
            except Exception as error:
                failed = failure(error)
            return await refuse(context, failed)

        return Method(handler)

    async def infer(self, raw: bytes, context: Context) -> bytes:
        """One inference. It leaves the queue when its client goes away or does not wait any longer."""
        response = pb.ModelInferResponse()
        try:
            request = await self._parsed(raw)
            is_long = await self._infer(request, is_large(raw), context, response)
            return await self._done(is_long, response.SerializeToString)
        except Exception as error:
            failed = failure(error)
        return await refuse(context, failed)

    async def infer_stream(self, raws: AsyncIterable[bytes], context: Context) -> None:
        """Inferences side by side. Each is told as soon as it is answered; one that fails does not end the stream."""
        stream = Stream(context)
        try:
            async with asyncio.TaskGroup() as under_way:
                async for raw in raws:
                    await stream.room.acquire()
                    under_way.create_task(self._infer_in(stream, raw))
        except* grpc.aio.BaseError:
            log.debug("a client left its stream before all was told")

    async def _infer_in(self, stream: Stream, raw: bytes) -> None:
        """One request of a stream."""
        response, request, is_long = pb.ModelStreamInferResponse(), pb.ModelInferRequest(), False
        try:
            request = await self._parsed(raw)
            is_long = await self._infer(request, is_large(raw), stream.context, response.infer_response)
            response.infer_response.parameters["triton_final_response"].bool_param = True
        except Exception as error:
            response = _failed(request, failure(error))
        try:
            await stream.tell(await self._done(is_long, response.SerializeToString))
        finally:
            stream.room.release()

    async def _done(self, takes_long: bool, work: Callable[[], Done]) -> Done:
        """What `work` returns; it holds up nobody if it takes long."""
        return await self._desk.aside.run(work) if takes_long else work()

    async def _parsed(self, raw: bytes) -> pb.ModelInferRequest:
        request: pb.ModelInferRequest = await self._done(
            is_large(raw), lambda: parsed(pb.ModelInferRequest, raw, self._most)
        )
        return request

    async def _infer(
        self, request: pb.ModelInferRequest, is_long: bool, context: Context, response: pb.ModelInferResponse
    ) -> bool:
        """Writes the answer into `response`. Whether it is a long one."""
        served = grpc_told.answering(self._models, request.model_name, request.model_version)
        inference = await self._done(is_long, lambda: Inference(served, request, left_s(context)))
        answered = await self._answer(self._start(served, inference, context))
        is_long = inference.is_large(answered)
        await self._done(is_long, lambda: inference.tell(answered, response))
        return is_long

    def _start(
        self, served: Served, inference: Inference, context: Context
    ) -> Callable[[Caller[Answered]], Withdrawable]:
        ask = self._ask
        if ask is None:
            return inference.start
        return lambda caller: ask(served, inference.asked, caller, traceparent(context))

    async def _answer(self, start: Callable[[Caller[Answered]], Withdrawable]) -> Answered:
        """What `start` has been answered; what still waits is withdrawn when this is cancelled."""
        waiting = Waiting(self._desk)
        under_way = start(waiting)
        if not waiting.is_done:
            await waiting.end(under_way)
        if waiting.answered is None:
            raise waiting.error or RuntimeError("neither an answer nor an error")
        return waiting.answered

    async def load(self, raw: bytes, context: Context) -> pb.RepositoryModelLoadResponse:
        """Open a configured model anew."""
        failed = await self._change(raw, pb.RepositoryModelLoadRequest, self._models.load)
        return pb.RepositoryModelLoadResponse() if failed is None else await refuse(context, failed)

    async def unload(self, raw: bytes, context: Context) -> pb.RepositoryModelUnloadResponse:
        """Let go of a model."""
        failed = await self._change(raw, pb.RepositoryModelUnloadRequest, self._models.unload)
        return pb.RepositoryModelUnloadResponse() if failed is None else await refuse(context, failed)

    async def _change(self, raw: bytes, kind: Any, change: Callable[[str], None]) -> Failure | None:
        try:
            request = parsed(kind, raw, MOST_QUESTION)
            name = request.model_name
            if name not in self._models.names():
                raise UnknownModel(f"there is no model {shown(name)}")
            if request.parameters and kind is pb.RepositoryModelLoadRequest:
                raise InputError("a model is loaded as the server is configured", "send no parameters")
        except InputError as error:
            return failure(error)
        try:
            await self._answer(Change(name, change, "", self._changing).start)
        except (UnknownModel, Overloaded) as error:
            return failure(error)
        except Exception as error:  # why a bundle cannot be served names files of the server: that is for its log
            return unexpected(error, f"the model '{name}' could not be changed", grpc.StatusCode.INVALID_ARGUMENT)
        return None


class Stream:
    """One stream of answers: they go one at a time."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.room = asyncio.Semaphore(MOST_IN_STREAM)
        self._turn = asyncio.Lock()

    async def tell(self, response: bytes) -> None:
        """Send it after those that came before it."""
        async with self._turn:
            await self.context.write(response)


def left_s(context: Context) -> float:
    """How long the client still waits; infinite when it did not say."""
    left: float | None = context.time_remaining()
    return float("inf") if left is None else max(0.0, left)


def traceparent(context: Context) -> str:
    """What the client sent with the call; empty: nothing."""
    for name, value in context.invocation_metadata() or ():
        if name == "traceparent" and isinstance(value, str):
            return value
    return ""


async def _unserved(_: bytes, context: Context) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this call is not served")


def _failed(request: pb.ModelInferRequest, failed: Failure) -> pb.ModelStreamInferResponse:
    """What is told in a stream of a request that failed; of one that could not be read not even whose it is."""
    whose = pb.ModelInferResponse(model_name=request.model_name[: grpc_told.MOST_NAME], id=request.id[:MOST_ID])
    return pb.ModelStreamInferResponse(error_message=failed.text, infer_response=whose)


async def refuse(context: Context, failed: Failure) -> NoReturn:
    """End the call."""
    await context.abort(failed.status, failed.text, failed.metadata)
    raise AssertionError("an aborted call goes on")
