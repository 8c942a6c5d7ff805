"""What is told over gRPC of the server, its models and what they count. Each answer is one message."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from google.protobuf import json_format

from steelyard.errors import UnknownModel
from steelyard.protocol import inference_pb2 as pb
from steelyard.protocol.offered import Models, Served
from steelyard.protocol.routes import EXTENSIONS, config_of
from steelyard.serve.datatypes import shown
from steelyard.serve.requests import TensorSpec

MOST_NAME = 128
MOST_VERSION = 18
DURATIONS = (
    "success",
    "fail",
    "queue",
    "compute_input",
    "compute_infer",
    "compute_output",
    "cache_hit",
    "cache_miss",
)


def served(models: Models, name: str, version: str = "") -> Served:
    """What a request names. Raises UnknownModel."""
    _check_named(name, version)
    return models.served(name, version)


def answering(models: Models, name: str, version: str = "") -> Served:
    """What answers a request for an inference. Raises UnknownModel."""
    _check_named(name, version)
    return models.answering(name, version)


def _check_named(name: str, version: str) -> None:
    if len(name) > MOST_NAME or len(version) > MOST_VERSION:
        raise UnknownModel(f"there is no model {shown(name)} of version {shown(version)}")


def server_live(models: Models, _: pb.ServerLiveRequest) -> pb.ServerLiveResponse:
    """Whether it serves at all."""
    return pb.ServerLiveResponse(live=models.live)


def server_ready(models: Models, _: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
    """Whether all models answer."""
    return pb.ServerReadyResponse(ready=models.ready)


def model_ready(models: Models, request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
    """Whether the model answers. Of one that is configured and not loaded: no. Raises UnknownModel for any other."""
    try:
        return pb.ModelReadyResponse(ready=served(models, request.name, request.version).ready)
    except UnknownModel:
        if request.version or request.name not in models.names():
            raise
        return pb.ModelReadyResponse(ready=False)


def server_metadata(models: Models, _: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
    """Name, version and extensions of the server."""
    return pb.ServerMetadataResponse(name=models.name, version=models.version, extensions=EXTENSIONS)


def model_metadata(models: Models, request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
    """What goes into the model and comes out of it."""
    told = served(models, request.name, request.version).metadata
    return pb.ModelMetadataResponse(
        name=told.name,
        versions=told.versions,
        platform=told.platform,
        inputs=_tensors(told.inputs),
        outputs=_tensors(told.outputs),
    )


def _tensors(specs: Sequence[TensorSpec]) -> list[pb.ModelMetadataResponse.TensorMetadata]:
    kind = pb.ModelMetadataResponse.TensorMetadata
    return [kind(name=spec.name, datatype=spec.datatype, shape=spec.shape) for spec in specs]


def model_config(models: Models, request: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
    """The model's configuration: the same as over HTTP."""
    told = msgspec.json.encode(config_of(served(models, request.name, request.version).metadata))
    response = pb.ModelConfigResponse()
    json_format.Parse(told, response.config, ignore_unknown_fields=True)
    return response


def model_statistics(models: Models, request: pb.ModelStatisticsRequest) -> pb.ModelStatisticsResponse:
    """What one model counts; without a name: what all do that are loaded. Without a version: in all that answer."""
    if request.name:
        one = served(models, request.name, request.version)
        told = [one] if request.version else models.versions(request.name)
    else:
        told = [each for name in models.names() for each in models.versions(name)]
    return pb.ModelStatisticsResponse(model_stats=[_counted(each) for each in told])


def _counted(model: Served) -> pb.ModelStatistics:
    counted = model.statistics.snapshot()
    durations = {name: getattr(counted, name) for name in DURATIONS}
    return pb.ModelStatistics(
        name=model.metadata.name,
        version=model.version,
        last_inference=counted.last_inference_ms,
        inference_count=counted.inference_count,
        execution_count=counted.execution_count,
        inference_stats=pb.InferStatistics(
            **{name: pb.StatisticDuration(count=each.count, ns=each.ns) for name, each in durations.items()}
        ),
    )


def repository_index(models: Models, request: pb.RepositoryIndexRequest) -> pb.RepositoryIndexResponse:
    """All models and their state."""
    kind = pb.RepositoryIndexResponse.ModelIndex
    return pb.RepositoryIndexResponse(
        models=[
            kind(name=each.name, version=each.version, state=each.state, reason=each.reason)
            for each in models.index()
            if each.state == "READY" or not request.ready
        ]
    )
