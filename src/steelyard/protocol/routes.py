"""The table of the protocol's paths, and how each but inference is answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, TypeVar

import msgspec

from steelyard.errors import InputError, UnknownModel
from steelyard.protocol.inference import Inference
from steelyard.protocol.offered import Ask, Models, Served
from steelyard.protocol.pending import Change, Pending
from steelyard.protocol.reply import Reply, json_reply
from steelyard.serve.datatypes import shown
from steelyard.serve.requests import Metadata, TensorSpec
from steelyard.serve.statistics import Snapshot

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
)
_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_LONGEST_NAME = 128
_LONGEST_VERSION = 18


class Question(NamedTuple):
    """One request, as the handlers see it."""

    models: Models
    name: str
    """Of the model in the path; empty: there is none."""
    version: str
    """Empty: the newest."""
    headers: Mapping[bytes, bytes]
    body: bytes | memoryview
    most_body: int
    changing: threading.Lock
    ask: Ask | None
    """What hands an inference to its model; None: nobody looks on."""

    @property
    def served(self) -> Served:
        """The model that the path names. Raises UnknownModel."""
        return self.models.served(self.name, self.version)


Handler = Callable[[Question], Reply | Pending]
Handlers = Mapping[str, Handler]


def found(path: str) -> tuple[Handlers, str, str] | None:
    """The handlers by method, the model's name and its version; None: there is no such path.

    Raises UnknownModel for what cannot be a model's name or version.
    """
    return (_known if len(path) <= _SHORT_PATH else _found)(path)


def _found(path: str) -> tuple[Handlers, str, str] | None:
    parts = path.split("/")
    if len(parts) > 3 and parts[:3] == _MODELS and path not in SERVER:
        name, version, verb = parts[3], "", parts[4:]
        if len(verb) > 1 and verb[0] == "versions":
            version, verb = _checked_version(verb[1]), verb[2:]
        handlers = MODEL.get("/".join(verb)) if verb != [""] else None
        return None if handlers is None else (handlers, _checked(name), version)
    if len(parts) == 6 and parts[:4] == _CHANGES and parts[5] in CHANGE:
        return CHANGE[parts[5]], _checked(parts[4]), ""
    handlers = SERVER.get(path)
    return None if handlers is None else (handlers, "", "")


_SHORT_PATH = 256
_known = lru_cache(maxsize=256)(_found)
"""Most clients ask for the same few."""
_MODELS = ["", "v2", "models"]
_CHANGES = ["", "v2", "repository", "models"]


def _checked(name: str) -> str:
    if not name or len(name) > _LONGEST_NAME or not _NAME.issuperset(name):
        raise UnknownModel(f"{shown(name)} is no name of a model")
    return name


def _checked_version(version: str) -> str:
    if not (version.isascii() and version.isdigit() and len(version) <= _LONGEST_VERSION):
        raise UnknownModel(f"{shown(version)} is no version of a model", "versions are numbers from 1 on")
    return version


# --- the server ---------------------------------------------------------------------------------------------------


def server(asked: Question) -> Reply:
    """Name, version and extensions of the server."""
    return json_reply({"name": asked.models.name, "version": asked.models.version, "extensions": EXTENSIONS})


def live(asked: Question) -> Reply:
    """Whether it serves at all."""
    return _yes_or_no("live", asked.models.live)


def ready(asked: Question) -> Reply:
    """Whether all models answer."""
    return _yes_or_no("ready", asked.models.ready)


def _yes_or_no(what: str, is_so: bool, name: str = "") -> Reply:
    told = {"name": name, what: is_so} if name else {what: is_so}
    if is_so:
        return json_reply(told)
    return json_reply(told | {"error": f"not {what}"}, 503, ((b"retry-after", b"1"),))


def names(asked: Question) -> Reply:
    """The models' names."""
    return json_reply({"models": asked.models.names()})


# --- one model ----------------------------------------------------------------------------------------------------


def metadata(asked: Question) -> Reply:
    """What goes into the model and comes out of it."""
    told = asked.served.metadata
    return json_reply(
        {
            "name": told.name,
            "versions": told.versions,
            "platform": told.platform,
            "inputs": told.inputs,
            "outputs": told.outputs,
        }
    )


def model_ready(asked: Question) -> Reply:
    """Whether the model answers."""
    return _yes_or_no("ready", asked.served.ready, asked.name)


def infer(asked: Question) -> Pending:
    """The request, decoded."""
    served = asked.models.answering(asked.name, asked.version)
    return Inference(served, asked.headers, asked.body, asked.most_body, asked.ask)


def config(asked: Question) -> Reply:
    """The model's configuration in the form that Triton's clients read."""
    return json_reply(config_of(asked.served.metadata))


def config_of(told: Metadata) -> dict[str, object]:
    """See `config`."""
    batches = told.max_batch_size > 0
    return {
        "name": told.name,
        "platform": told.platform,
        "backend": told.platform,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": told.max_batch_size,
        "input": [_configured(spec, batches) | {"format": "FORMAT_NONE"} for spec in told.inputs],
        "output": [_configured(spec, batches) | {"label_filename": ""} for spec in told.outputs],
        "instance_group": [{"name": told.name, "kind": "KIND_CPU", "count": 1}],
        "default_model_filename": "",
        "parameters": {},
    } | ({"dynamic_batching": {}} if batches else {})


def _configured(spec: TensorSpec, batches: bool) -> dict[str, object]:
    data_type = "TYPE_STRING" if spec.datatype == "BYTES" else f"TYPE_{spec.datatype}"
    return {"name": spec.name, "data_type": data_type, "dims": spec.shape[1:] if batches else spec.shape}


def statistics(asked: Question) -> Reply:
    """What the model counts; without a version: in all that answer."""
    served = asked.served
    told = [served] if asked.version else asked.models.versions(asked.name)
    return json_reply({"model_stats": [_counted(each) for each in told]})


def all_statistics(asked: Question) -> Reply:
    """What all loaded models count, in all versions that answer."""
    models = asked.models
    return json_reply({"model_stats": [_counted(each) for name in models.names() for each in models.versions(name)]})


def _counted(served: Served) -> dict[str, object]:
    counted: Snapshot = served.statistics.snapshot()
    durations = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
    return {
        "name": served.metadata.name,
        "version": served.version,
        "last_inference": counted.last_inference_ms,
        "inference_count": counted.inference_count,
        "execution_count": counted.execution_count,
        "inference_stats": {name: getattr(counted, name) for name in (*durations, "cache_hit", "cache_miss")},
        "batch_stats": [],
        "memory_usage": [],
    }


# --- the repository -----------------------------------------------------------------------------------------------


class IndexRequest(msgspec.Struct):
    """The body of a request for the index."""

    ready: bool = False


class ChangeRequest(msgspec.Struct):
    """The body of a request to load or unload a model."""

    parameters: dict[str, msgspec.Raw] | None = None


def index(asked: Question) -> Reply:
    """All models and their state."""
    only_ready = _body(asked, IndexRequest).ready
    return json_reply([each for each in asked.models.index() if each.state == "READY" or not only_ready])


def load(asked: Question) -> Pending:
    """Open a configured model anew."""
    if _body(asked, ChangeRequest).parameters:
        raise InputError("a model is loaded as the server is configured", "send no parameters")
    return Change(asked.name, asked.models.load, "READY", asked.changing)


def unload(asked: Question) -> Pending:
    """Let go of a model."""
    _body(asked, ChangeRequest)
    return Change(asked.name, asked.models.unload, "UNAVAILABLE", asked.changing)


Body = TypeVar("Body", IndexRequest, ChangeRequest)


def _body(asked: Question, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(bytes(asked.body).strip() or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"the request is not as expected: {error}") from None


# --- the table ----------------------------------------------------------------------------------------------------

SERVER: Mapping[str, Handlers] = {
    "/v2": {"GET": server},
    "/v2/": {"GET": server},
    "/v2/health/live": {"GET": live},
    "/v2/health/ready": {"GET": ready},
    "/v2/models": {"GET": names},
    "/v2/models/stats": {"GET": all_statistics},
    "/v2/repository/index": {"POST": index},
}
MODEL: Mapping[str, Handlers] = {
    "": {"GET": metadata},
    "ready": {"GET": model_ready},
    "infer": {"POST": infer},
    "config": {"GET": config},
    "stats": {"GET": statistics},
}
"""What follows /v2/models/{model} or /v2/models/{model}/versions/{version}."""
CHANGE: Mapping[str, Handlers] = {"load": {"POST": load}, "unload": {"POST": unload}}
"""What follows /v2/repository/models/{model}."""
