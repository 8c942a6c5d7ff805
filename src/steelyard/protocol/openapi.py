"""The protocol's paths as an OpenAPI document, and as a page for people that needs nothing from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any

from steelyard.protocol.reply import Reply, json_reply, reply
from steelyard.serve.datatypes import DATATYPES
from steelyard.version import VERSION

NUMBER, INTEGER, TEXT, FLAG = ({"type": kind} for kind in ("number", "integer", "string", "boolean"))


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties} | ({"required": list(required)} if required else {})


def _list(of: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": of, **more}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_NAMED = {"name": TEXT, "datatype": {"type": "string", "enum": list(DATATYPES)}}
_SPEC = _object(("name", "datatype", "shape"), **_NAMED, shape=_list(INTEGER))
_SHAPE = _list({"type": "integer", "minimum": 0}, maxItems=32)
_DATA = {"type": "array", "items": {}, "description": "Row by row: flat, or nested as the shape says."}
_DURATION = _object(("count", "ns"), count=INTEGER, ns=INTEGER)
_DURATIONS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")

SCHEMAS: Mapping[str, Any] = {
    "Error": _object(("error",), error=TEXT),
    "Server": _object(("name", "version", "extensions"), name=TEXT, version=TEXT, extensions=_list(TEXT)),
    "Live": _object(("live",), live=FLAG),
    "Ready": _object(("ready",), ready=FLAG, name=TEXT),
    "Names": _object(("models",), models=_list(TEXT)),
    "Model": _object(
        ("name", "versions", "platform", "inputs", "outputs"),
        name=TEXT,
        versions=_list(TEXT),
        platform=TEXT,
        inputs=_list(_SPEC),
        outputs=_list(_SPEC),
    ),
    "Config": _object(("name", "max_batch_size", "input", "output"), name=TEXT, max_batch_size=INTEGER),
    "Statistics": _object(
        ("model_stats",),
        model_stats=_list(
            _object(
                ("name", "version", "inference_count", "execution_count", "inference_stats"),
                name=TEXT,
                version=TEXT,
                last_inference={"type": "integer", "description": "Unix time in milliseconds; 0: never."},
                inference_count={"type": "integer", "description": "Items."},
                execution_count={"type": "integer", "description": "Batches."},
                inference_stats=_object(_DURATIONS, **dict.fromkeys(_DURATIONS, _DURATION)),
            )
        ),
    ),
    "InferRequest": _object(
        ("inputs",),
        id=TEXT | {"maxLength": 1024},
        parameters=_object(
            timeout={"type": "integer", "minimum": 0, "description": "Microseconds; 0: none."},
            priority={"type": "integer", "description": "Larger is sooner."},
            min_quality={"type": "number", "description": "Only variants at least this good may answer."},
            max_cost={"type": "number", "description": "Per thousand requests; only variants this cheap may answer."},
            binary_data_output=FLAG,
        ),
        inputs=_list(
            _object(
                ("name", "datatype", "shape"),
                **_NAMED,
                shape=_SHAPE,
                data=_DATA,
                parameters=_object(binary_data_size={"type": "integer", "minimum": 0}),
            )
        ),
        outputs=_list(
            _object(
                ("name",),
                name=TEXT,
                parameters=_object(binary_data=FLAG, classification={"type": "integer", "minimum": 0}),
            )
        ),
    ),
    "InferReply": _object(
        ("model_name", "model_version", "outputs"),
        model_name=TEXT,
        model_version=TEXT,
        id=TEXT,
        parameters=_object(variant=TEXT),
        outputs=_list(
            _object(
                ("name", "datatype", "shape"),
                **_NAMED,
                shape=_SHAPE,
                data=_DATA,
                parameters=_object(binary_data_size=INTEGER),
            )
        ),
    ),
    "IndexRequest": _object(ready=FLAG),
    "Index": _list(_object(("name", "version", "state", "reason"), name=TEXT, version=TEXT, state=TEXT, reason=TEXT)),
    "ChangeRequest": _object(parameters={"type": "object"}),
    "Changed": _object(("name", "state"), name=TEXT, state=TEXT),
}

_OPERATIONS = (
    ("get", "/v2", "Name, version and extensions of the server", "", "Server"),
    ("get", "/v2/health/live", "Whether the server serves at all", "", "Live"),
    ("get", "/v2/health/ready", "Whether all models answer", "", "Ready"),
    ("get", "/v2/models", "The models' names", "", "Names"),
    ("get", "/v2/models/stats", "What all models count", "", "Statistics"),
    ("get", "/v2/models/{model}", "What goes into a model and comes out of it", "", "Model"),
    ("get", "/v2/models/{model}/ready", "Whether a model answers", "", "Ready"),
    ("post", "/v2/models/{model}/infer", "Ask a model", "InferRequest", "InferReply"),
    ("get", "/v2/models/{model}/config", "A model's configuration, as Triton's clients read it", "", "Config"),
    ("get", "/v2/models/{model}/stats", "What a model counts", "", "Statistics"),
    ("post", "/v2/repository/index", "All models and their state", "IndexRequest", "Index"),
    ("post", "/v2/repository/models/{model}/load", "Open a model's bundle anew", "ChangeRequest", "Changed"),
    ("post", "/v2/repository/models/{model}/unload", "Let go of a model", "ChangeRequest", "Changed"),
)
"""Method, path, summary, schema of the request (empty: none) and of the reply."""

_STATUSES = {
    "400": "The request is not as expected",
    "401": "A token is missing",
    "403": "This host or origin is not allowed",
    "404": "There is no such path or model",
    "413": "The request is too large",
    "415": "The content encoding is not known",
    "503": "Not now: `Retry-After` says when",
    "504": "Nobody waits for the answer any longer",
    "default": "Any other failure",
}


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path, summary, asks, answers in _with_versions():
        paths.setdefault(path, {})[method] = _operation(path, summary, asks, answers)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Steelyard",
            "version": VERSION,
            "summary": "Models behind the Open Inference Protocol.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic", "description": "The token, of whatever user"},
            },
        },
        "security": [{}, {"token": []}, {"password": []}],
    }


def _with_versions() -> Iterator[tuple[str, str, str, str, str]]:
    for operation in _OPERATIONS:
        yield operation
        method, path, summary, asks, answers = operation
        if path.startswith("/v2/models/{model}"):
            yield method, path.replace("{model}", "{model}/versions/{version}"), summary, asks, answers


def _operation(path: str, summary: str, asks: str, answers: str) -> dict[str, Any]:
    named = [name for name in ("model", "version") if f"{{{name}}}" in path]
    told: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": {"description": "Done", "content": _content(answers)}}
        | {status: {"description": what, "content": _content("Error")} for status, what in _STATUSES.items()},
    }
    if named:
        told["parameters"] = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in named]
    if asks:
        told["requestBody"] = {"required": asks == "InferRequest", "content": _content(asks)}
    return told


def _content(schema: str) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": _ref(schema)}}
    if schema in ("InferRequest", "InferReply"):
        content["application/octet-stream"] = {}
    return content


def page() -> bytes:
    """The same for people, in HTML."""
    rows = "\n".join(
        f"<tr><td><b>{method.upper()}</b></td><td><code>{html.escape(path)}</code></td><td>{html.escape(what)}</td></tr>"
        for method, path, what, _, _ in _OPERATIONS
    )
    return _PAGE.replace("@ROWS@", rows).replace("@VERSION@", html.escape(VERSION)).encode()


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Steelyard: paths</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2330; background: #fdfdfb }
table { border-collapse: collapse; width: 100% } td { padding: .4rem .8rem .4rem 0; border-top: 1px solid #ddd }
pre { background: #f0f0ea; padding: 1rem; overflow-x: auto; border-radius: .4rem }
code { overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) { body { color: #e6e6e0; background: #16181d } pre { background: #23262d }
  td { border-color: #383c45 } a { color: #8ab4f8 } }
</style></head><body>
<h1>Steelyard @VERSION@</h1>
<p>Models behind the Open Inference Protocol. The same for programs: <a href="openapi.json">/openapi.json</a>.</p>
<table>
@ROWS@
</table>
<p>Each path below <code>/v2/models/{model}</code> also exists as <code>/v2/models/{model}/versions/{version}</code>.
Failures are <code>{"error": "…"}</code> with a status of 400 or above.</p>
<h2>Asking a model</h2>
<pre>curl localhost:8000/v2/models/MODEL/infer -d '{
  "id": "1",
  "parameters": {"timeout": 50000},
  "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]
}'</pre>
<p>The reply's <code>parameters</code> name the variant that answered. Tensors may also follow the JSON as bytes:
each names its <code>binary_data_size</code> in its parameters, the header
<code>Inference-Header-Content-Length</code> tells the length of the JSON, and <code>binary_data_output</code>
asks for the same in return. Bodies may be compressed with gzip or deflate.</p>
</body></html>
"""

_SHUT = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)


def _document_page(_: Mapping[str, str]) -> Reply:
    return json_reply(document())


def _people_page(_: Mapping[str, str]) -> Reply:
    return reply(page(), b"text/html; charset=utf-8", more=_SHUT)


PAGES = {("GET", "/openapi.json"): _document_page, ("GET", "/docs"): _people_page}
"""Served beside the protocol."""
