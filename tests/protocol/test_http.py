"""The HTTP side as a function: every path, every failure, what is refused before a body is read."""

from __future__ import annotations

import gzip
import json
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving import VARIANT, FakeRepository
from steelyard.errors import BundleError, Expired, InputError, Overloaded, WorkerLost
from steelyard.protocol.guards import ANY, Guards
from steelyard.protocol.http import Http
from steelyard.protocol.openapi import document
from steelyard.protocol.reply import Reply, json_reply
from steelyard.serve.callers import Promise
from steelyard.serve.requests import Answered

PATIENCE_S = 20
HOST = {b"host": b"localhost:8000"}
TOKEN = "a-token-of-some-length"
INFER = "/v2/models/double/infer"
X = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}


class Client:
    """Asks an `Http` as a server would."""

    def __init__(self, guards: Guards | None = None, pages: Any = None) -> None:
        self.models = FakeRepository()
        self.http = Http(self.models, guards or Guards(), pages)

    def ask(self, method: str, target: str, body: Any = b"", **headers: str) -> Reply:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = HOST | {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        got = self.http.handle(method, target, told, raw)
        if isinstance(got, Reply):
            return got
        promised: Promise[Answered] = Promise()
        try:
            got.start(promised)
            return got.reply(promised.future.result(PATIENCE_S))
        except Exception as error:
            return got.failed(error)

    def get(self, target: str, status: int = 200) -> Any:
        return told(self.ask("GET", target), status)

    def infer(self, request: Any, status: int = 200, model: str = "double") -> Any:
        return told(self.ask("POST", f"/v2/models/{model}/infer", request), status)


def told(reply: Reply, status: int = 200) -> Any:
    """The body of a reply whose form is right."""
    headers = dict(reply.headers)
    assert reply.status == status, reply.body
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == b"%d" % len(reply.body)
    body = json.loads(reply.body)
    if status >= 400:
        assert body["error"]
    return body


@pytest.fixture
def client() -> Client:
    return Client()


# --- what is told of the server and its models ----------------------------------------------------------------------


def test_the_server_tells_its_name_and_extensions(client: Client) -> None:
    for path in ("/v2", "/v2/"):
        server = client.get(path)
        assert (server["name"], server["version"]) == ("steelyard", "0.0.0")
        assert {"statistics", "model_configuration", "binary_tensor_data"} <= set(server["extensions"])


def test_health_is_true_or_a_failure(client: Client) -> None:
    assert client.get("/v2/health/live") == {"live": True}
    assert client.get("/v2/health/ready") == {"ready": True}
    assert client.get("/v2/models/double/ready") == {"name": "double", "ready": True}
    client.models.models["double"].ready = False
    client.models.live = False
    assert not client.get("/v2/health/live", 503)["live"]
    assert not client.get("/v2/health/ready", 503)["ready"]
    assert not client.get("/v2/models/double/ready", 503)["ready"]
    assert client.get("/v2/models/mixed/ready")["ready"]


def test_a_model_tells_what_it_takes(client: Client) -> None:
    for path in ("/v2/models/double", "/v2/models/double/versions/1"):
        assert client.get(path) == {
            "name": "double",
            "versions": ["1"],
            "platform": "numpy",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}],
        }
    assert client.get("/v2/models") == {"models": ["double", "mixed", "exact"]}


def test_the_configuration_leaves_out_the_axis_of_items(client: Client) -> None:
    config = client.get("/v2/models/mixed/config")
    assert config["max_batch_size"] == 8
    assert [(each["data_type"], each["dims"]) for each in config["input"]] == [
        ("TYPE_INT64", [-1]),
        ("TYPE_STRING", [1]),
    ]
    config = client.get("/v2/models/exact/versions/1/config")
    assert config["max_batch_size"] == 0
    assert config["input"][0]["dims"] == [2, 3]


def test_statistics_have_every_figure_that_clients_read(client: Client) -> None:
    client.infer({"inputs": [X]})
    for path in ("/v2/models/double/stats", "/v2/models/double/versions/1/stats"):
        [stats] = client.get(path)["model_stats"]
        assert (stats["name"], stats["version"]) == ("double", "1")
        assert (stats["inference_count"], stats["execution_count"]) == (1, 1)
        assert stats["last_inference"] > 0
        names = {"success", "fail", "queue", "compute_input", "compute_infer", "compute_output"}
        assert set(stats["inference_stats"]) == names | {"cache_hit", "cache_miss"}
        assert all(set(each) == {"count", "ns"} for each in stats["inference_stats"].values())
        assert stats["inference_stats"]["queue"]["count"] == 1
    client.models.unloaded.add("mixed")
    assert [each["name"] for each in client.get("/v2/models/stats")["model_stats"]] == ["double", "exact"]


# --- the repository -------------------------------------------------------------------------------------------------


def test_models_are_unloaded_and_loaded_by_name(client: Client) -> None:
    for body in (b"", {}, {"parameters": {"unload_dependents": False}}):
        assert told(client.ask("POST", "/v2/repository/models/double/unload", body))["state"] == "UNAVAILABLE"
    client.get("/v2/models/double", 404)
    index = told(client.ask("POST", "/v2/repository/index"))
    assert {each["name"]: each["state"] for each in index}["double"] == "UNAVAILABLE"
    index = told(client.ask("POST", "/v2/repository/index", {"ready": True}))
    assert [each["name"] for each in index] == ["mixed", "exact"]
    assert told(client.ask("POST", "/v2/repository/models/double/load", {}))["state"] == "READY"
    client.get("/v2/models/double")


def test_nothing_but_a_configured_name_can_be_loaded(client: Client) -> None:
    for name in ("other", "..", ".", "double%2f..", "a b", "x" * 200, "\N{SNOWMAN}"):
        told(client.ask("POST", f"/v2/repository/models/{name}/load"), 404)
    told(client.ask("POST", "/v2/repository/models/../../etc/load"), 404)
    told(client.ask("POST", "/v2/repository/models/double/load", {"parameters": {"config": "{}"}}), 400)


def test_a_bundle_that_cannot_be_served_is_not_described_to_clients(client: Client) -> None:
    client.models.load_failure = BundleError("/srv/secret/plan.json is missing")
    error = told(client.ask("POST", "/v2/repository/models/double/load"), 400)["error"]
    assert "secret" not in error
    assert "the server's log" in error


def test_one_model_is_loaded_at_a_time(client: Client) -> None:
    client.models.may_change.clear()
    pending = client.http.handle("POST", "/v2/repository/models/double/load", HOST)
    assert not isinstance(pending, Reply)
    promised: Promise[Answered] = Promise()
    pending.start(promised)
    other = client.ask("POST", "/v2/repository/models/mixed/load")
    told(other, 503)
    assert int(dict(other.headers)[b"retry-after"]) > 0
    client.models.may_change.set()
    told(pending.reply(promised.future.result(PATIENCE_S)))
    told(client.ask("POST", "/v2/repository/models/mixed/load"))


# --- inference ------------------------------------------------------------------------------------------------------


def test_an_answer_names_its_model_variant_and_request(client: Client) -> None:
    for path in ("/v2/models/double/infer", "/v2/models/double/versions/1/infer"):
        assert told(client.ask("POST", path, {"id": "mine ☃", "inputs": [X]})) == {
            "model_name": "double",
            "model_version": "1",
            "id": "mine ☃",
            "parameters": {"variant": VARIANT},
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [2.0, 4.0, 6.0, 8.0]}],
        }
    assert "id" not in client.infer({"inputs": [X]})


def test_items_are_asked_together(client: Client) -> None:
    client.infer({"inputs": [X | {"shape": [3, 4], "data": list(range(12))}]})
    [asking] = client.models.models["double"].asked
    assert asking.asked.items == 3
    np.testing.assert_array_equal(asking.asked.inputs["x"], np.arange(12, dtype=np.float32).reshape(3, 4))


def test_a_model_without_batches_takes_its_shape_alone(client: Client) -> None:
    pixels = {"name": "pixels", "datatype": "UINT8", "shape": [2, 3], "data": [0, 1, 2, 3, 4, 5]}
    assert client.infer({"inputs": [pixels]}, model="exact")["outputs"][0]["data"] == [2.5]
    client.infer({"inputs": [pixels | {"shape": [3, 2]}]}, 400, model="exact")


def test_parameters_reach_the_model(client: Client) -> None:
    parameters = {"timeout": 2500, "priority": -3, "min_quality": 0.5, "max_cost": 0.25}
    client.infer({"inputs": [X], "parameters": parameters})
    client.infer({"inputs": [X], "parameters": {"timeout": 0}})
    told, plain = (each.asked for each in client.models.models["double"].asked)
    assert (told.timeout_s, told.priority, told.min_quality, told.max_cost) == (0.0025, -3, 0.5, 0.25)
    assert (plain.timeout_s, plain.priority, plain.min_quality, plain.max_cost) == (np.inf, 0, -np.inf, np.inf)


def test_a_model_or_version_that_is_not_served_is_not_found(client: Client) -> None:
    assert "'none'" in client.infer({"inputs": [X]}, 404, "none")["error"]
    told(client.ask("POST", "/v2/models/double/versions/2/infer", {"inputs": [X]}), 404)
    client.models.unloaded.add("double")
    client.infer({"inputs": [X]}, 404)


def test_texts_are_answered_as_texts(client: Client) -> None:
    ids = {"name": "ids", "datatype": "INT64", "shape": [2, 3], "data": [[1, 2, 3], [4, 5, 6]]}
    text = {"name": "text", "datatype": "BYTES", "shape": [2, 1], "data": ["a", "zwölf"]}
    answer = client.infer({"inputs": [text, ids], "outputs": [{"name": "loud"}, {"name": "sum"}]}, model="mixed")
    assert [(each["name"], each["data"]) for each in answer["outputs"]] == [("loud", ["A", "ZWÖLF"]), ("sum", [6, 15])]


def test_the_largest_values_are_told_when_asked_for(client: Client) -> None:
    wanted = {"name": "y", "parameters": {"classification": 2}}
    rows = X | {"shape": [2, 4], "data": [1, 4, 3, 2, 0, 0, 0, 9]}
    [output] = client.infer({"inputs": [rows], "outputs": [wanted]})["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, 2])
    assert output["data"] == ["8.000000:1", "6.000000:2", "18.000000:3", "0.000000:0"]
    wanted["parameters"] = {"classification": 100}
    assert client.infer({"inputs": [rows], "outputs": [wanted]})["outputs"][0]["shape"] == [2, 4]


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"inputs": []}, "'double' takes each of these inputs once: 'x' FP32[-1, 4]; got none"),
        ({"inputs": [X, X]}, "got 'x', 'x'"),
        ({"inputs": [X | {"name": "z"}]}, "got 'z'"),
        ({"inputs": [X | {"datatype": "INT32"}]}, "'x' takes FP32, got INT32"),
        ({"inputs": [X | {"datatype": "FP8"}]}, "unknown datatype 'FP8'"),
        ({"inputs": [X | {"shape": [4]}]}, "takes the shape [-1, 4], got [4]"),
        ({"inputs": [X | {"shape": [1, 5]}]}, "got [1, 5]"),
        ({"inputs": [X | {"shape": [0, 4]}]}, "got [0, 4]"),
        ({"inputs": [X | {"shape": [9, 4], "data": [0] * 36}]}, "may bring 8 items, got 9"),
        ({"inputs": [X], "outputs": [{"name": "z"}]}, "no output 'z'; it has y"),
        ({"inputs": [X], "outputs": [{"name": "y"}, {"name": "y"}]}, "twice"),
        ({"inputs": [X], "parameters": {"sequence_id": 7}}, "sequences"),
        ({"inputs": [X | {"parameters": {"shared_memory_region": "r"}}]}, "shared memory"),
        ({"inputs": [X], "outputs": [{"name": "y", "parameters": {"shared_memory_region": "r"}}]}, "shared memory"),
    ],
)
def test_what_the_model_does_not_take_is_refused(client: Client, request_: Any, why: str) -> None:
    assert why in client.infer(request_, 400)["error"]
    assert not client.models.models["double"].asked


def test_inputs_must_bring_the_same_items(client: Client) -> None:
    ids = {"name": "ids", "datatype": "INT64", "shape": [2, 1], "data": [1, 2]}
    text = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["a"]}
    assert "'text' brings 1 items, 'ids' brings 2" in client.infer({"inputs": [ids, text]}, 400, "mixed")["error"]


@pytest.mark.parametrize(
    ("error", "status", "after"),
    [
        (Overloaded("full", "later", 2.1), 503, b"3"),
        (Overloaded("full", retry_after_s=0.01), 503, b"1"),
        (WorkerLost("died"), 503, b"1"),
        (Expired("late"), 504, None),
        (InputError("no variant"), 400, None),
    ],
)
def test_failures_have_their_status(client: Client, error: Exception, status: int, after: bytes | None) -> None:
    model = client.models.models["double"]
    for place in ("refusal", "failure"):
        model.refusal = model.failure = None
        setattr(model, place, error)
        reply = client.ask("POST", "/v2/models/double/infer", {"inputs": [X]})
        assert str(error).split("\n")[0] in told(reply, status)["error"]
        assert dict(reply.headers).get(b"retry-after") == after


def test_what_is_nobodys_fault_is_not_described(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.models.models["double"].failure = RuntimeError("/srv/secret.py, line 3")
    error = client.infer({"inputs": [X]}, 500)["error"]
    assert "secret" not in error
    [record] = caplog.records
    assert vars(record)["correlation"] == error.split()[-1]
    assert record.exc_info is not None


# --- compression ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_requests_may_be_compressed(client: Client, name: str, pack: Any) -> None:
    raw = pack(json.dumps({"inputs": [X]}).encode())
    reply = client.ask("POST", "/v2/models/double/infer", raw, content_encoding=name)
    assert told(reply)["outputs"][0]["data"] == [2, 4, 6, 8]
    for broken in (raw[:-5], raw + b"x", b"x" + raw, b""):
        told(client.ask("POST", "/v2/models/double/infer", broken, content_encoding=name), 400)
    told(client.ask("POST", "/v2/models/double/infer", raw, content_encoding="br"), 415)


def test_a_body_that_swells_is_refused() -> None:
    client = Client(Guards(most_body=100_000))
    for pack in (gzip.compress, zlib.compress):
        bomb = pack(bytes(100_000_000))
        assert len(bomb) < 100_000 or pack is gzip.compress
        name = "gzip" if pack is gzip.compress else "deflate"
        told(client.ask("POST", "/v2/models/double/infer", bomb, content_encoding=name), 413)


@pytest.mark.parametrize(
    ("accepts", "encoding"),
    [
        ("gzip", b"gzip"),
        ("deflate", b"deflate"),
        ("deflate, GZIP;q=0.5", b"gzip"),
        ("gzip;q=0, deflate", b"deflate"),
        ("gzip;q=0.000", None),
        ("br, identity", None),
        ("", None),
    ],
)
def test_answers_are_compressed_as_asked(accepts: str, encoding: bytes | None) -> None:
    client = Client()
    ids = {"name": "ids", "datatype": "INT64", "shape": [1, 2000], "data": [7] * 2000}
    request = {"inputs": [ids, {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["a"]}]}
    request["parameters"] = {"binary_data_output": True}  # type: ignore[assignment]
    plain = client.ask("POST", "/v2/models/mixed/infer", request)
    reply = client.ask("POST", "/v2/models/mixed/infer", request, accept_encoding=accepts)
    assert dict(reply.headers).get(b"content-encoding") == encoding
    undo: dict[bytes | None, Callable[[bytes], bytes]] = {b"gzip": gzip.decompress, b"deflate": zlib.decompress}
    undo[None] = bytes
    assert undo[encoding](reply.body) == plain.body
    assert dict(reply.headers)[b"content-length"] == b"%d" % len(reply.body)
    assert b"content-encoding" not in dict(client.ask("GET", "/openapi.json", accept_encoding=accepts).headers)


# --- paths, methods, pages ------------------------------------------------------------------------------------------

NOWHERE = [
    "/",
    "",
    "/v1/models",
    "/v2/x",
    "/v2//",
    "/v2/health",
    "/v2/models/",
    "/v2/models/double/",
    "/v2/models/double/x",
    "/v2/models/double/infer/x",
    "/v2/models/double/versions",
    "/v2/models/double/versions/1/x",
    "/v2/models/double/versions/1/infer/x",
    "/v2/models/double/versions/x/infer",
    "/v2/models/double/versions/٣/infer",
    "/v2/models/double/versions/",
    "/v2/models/double/versions//infer",
    "/v2/models/double/versions/1/",
    "/v2/models/../models/double",
    "/v2/repository/models/double",
    "/v2/repository/models/double/x",
    "/v2/systemsharedmemory/status",
    "/v2/trace/setting",
]


@pytest.mark.parametrize("path", NOWHERE)
def test_what_is_nowhere_is_not_found(client: Client, path: str) -> None:
    told(client.ask("GET", path), 404)
    told(client.ask("POST", path, {"inputs": [X]}), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v2", b"GET, HEAD"),
        ("GET", "/v2/models/double/infer", b"POST"),
        ("DELETE", "/v2/models/double", b"GET, HEAD"),
        ("OPTIONS", "/v2/models/double/infer", b"POST"),
        ("GET", "/v2/repository/models/double/load", b"POST"),
        ("POST", "/docs", b"GET, HEAD"),
        ("PUT", "/v2/health/live", b"GET, HEAD"),
    ],
)
def test_another_method_is_told_the_right_one(client: Client, method: str, path: str, allowed: bytes) -> None:
    reply = client.ask(method, path)
    told(reply, 405)
    assert dict(reply.headers)[b"allow"] == allowed


def test_head_is_get_without_a_body(client: Client) -> None:
    reply, whole = client.ask("HEAD", "/v2/health/ready"), client.ask("GET", "/v2/health/ready")
    assert reply == whole._replace(body=b"")


def test_pages_answer_with_their_query() -> None:
    client = Client(pages={("GET", "/page"): json_reply})
    assert client.get("/page?a=1&b=%20x&a=2&c=") == {"a": "2", "b": " x", "c": ""}
    assert client.get("/page") == {}
    for query in ("a=1&" * 33, "a" * 5000):
        client.get(f"/page?{query}", 400)
    with pytest.raises(ValueError, match="GET"):
        Client(pages={("POST", "/page"): json_reply})


def test_a_page_that_fails_is_a_failure_like_any_other(client: Client) -> None:
    def broken(query: Mapping[str, str]) -> Reply:
        raise RuntimeError("no")

    Client(pages={("GET", "/page"): broken}).get("/page", 500)


def test_the_document_tells_of_paths_that_are_there(client: Client) -> None:
    told_ = client.get("/openapi.json")
    assert told_ == json.loads(json.dumps(document()))
    for path, methods in told_["paths"].items():
        for method in methods:
            target = path.replace("{model}", "double").replace("{version}", "1")
            assert client.ask(method.upper(), target).status in (200, 400), target
    refs = json.dumps(told_).split('"#/components/schemas/')[1:]
    assert {ref.split('"')[0] for ref in refs} == set(told_["components"]["schemas"])


def test_the_page_for_people_asks_for_nothing_from_elsewhere(client: Client) -> None:
    reply = client.ask("GET", "/docs")
    assert dict(reply.headers)[b"content-type"].startswith(b"text/html")
    assert b"default-src 'none'" in dict(reply.headers)[b"content-security-policy"]
    text = reply.body.decode()
    assert "/v2/models/{model}/infer" in text
    assert not any(sign in text for sign in ("http://", "https://", "src=", "<script", "url(", "@ROWS@", "@VERSION@"))


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(["GET", "POST", "HEAD", "", "\0"]),
    st.text(max_size=40) | st.lists(st.sampled_from(["v2", "models", "double", "infer", "..", "", "?"])).map("/".join),
    st.dictionaries(st.binary(max_size=9), st.binary(max_size=9), max_size=5),
    st.binary(max_size=60),
)
def test_anything_at_all_gets_a_reply(method: str, target: str, headers: dict[bytes, bytes], body: bytes) -> None:
    got = Client(Guards(hosts=[ANY])).http.handle(method, target, headers, body)
    if isinstance(got, Reply):
        assert got.status < 500


# --- guards ---------------------------------------------------------------------------------------------------------


def guarded(guards: Guards, headers: Sequence[tuple[bytes, bytes]], path: str = "/v2") -> int:
    got = Http(FakeRepository(), guards).admit(path, headers)
    if not isinstance(got, Reply):
        return 200
    told(got, got.status)
    return got.status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"localhost", 200),
        (b"LOCALHOST:8000", 200),
        (b"127.0.0.1:1", 200),
        (b"[::1]:8000", 200),
        (b"[::1]", 200),
        (b"evil.example", 403),
        (b"evil.example:8000", 403),
        (b"localhost.evil.example", 403),
        (b"localhost:evil", 403),
        (b"", 403),
    ],
)
def test_only_names_of_this_machine_are_answered_to(host: bytes, status: int) -> None:
    assert guarded(Guards(), [(b"host", host)]) == status
    assert guarded(Guards(hosts=[ANY]), [(b"host", host)]) == 200


def test_other_names_are_answered_to_when_allowed() -> None:
    guards = Guards(hosts=["Mine.example"])
    assert guarded(guards, [(b"host", b"mine.example:8000")]) == 200
    assert guarded(guards, [(b"host", b"localhost")]) == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (b"http://localhost:8000", 200),
        (b"https://localhost:8000", 200),
        (b"https://mine.example", 200),
        (b"https://MINE.example", 200),
        (b"http://localhost:9", 403),
        (b"https://evil.example", 403),
        (b"https://mine.example.evil", 403),
        (b"null", 403),
        (b"", 403),
    ],
)
def test_only_known_pages_may_call(origin: bytes, status: int) -> None:
    guards = Guards(origins=["https://mine.example/"])
    assert guarded(guards, [(b"host", b"localhost:8000"), (b"origin", origin)]) == status


def basic(told: str) -> str:
    return f"Basic {b64encode(told.encode()).decode()}"


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer", 401),
        ("", 401),
        ("Bearer \xff", 401),
        (basic(f"somebody:{TOKEN}"), 200),
        (basic(f":{TOKEN}"), 200),
        (basic(f"somebody:{TOKEN}").replace("Basic", "basic"), 200),
        (basic(f"somebody:{TOKEN}x"), 401),
        (basic(f"{TOKEN}:"), 401),
        (basic(f"somebody:else:{TOKEN}"), 401),
        (basic(TOKEN), 401),
        (basic(f"somebody:{TOKEN}") + "=", 401),
        ("Basic ", 401),
        ("Basic", 401),
        ("Basic \xff", 401),
    ],
)
def test_a_token_must_be_right(value: str, status: int) -> None:
    headers = [(b"host", b"anything"), (b"authorization", value.encode("latin-1"))]
    assert guarded(Guards(token=TOKEN), headers) == status


def test_without_the_token_every_path_but_the_open_ones_is_shut() -> None:
    client = Client(Guards(token=TOKEN, open_paths=["/v2/health/live"]), {("GET", "/page"): json_reply})
    paths = [path.replace("{model}", "double").replace("{version}", "1") for path in document()["paths"]]
    shut = [path for path in (*paths, *NOWHERE, "/page", "/docs", "/openapi.json") if path != "/v2/health/live"]
    for path in shut:
        for method in ("GET", "POST", "HEAD", "DELETE"):
            reply = client.ask(method, path, {"inputs": [X]})
            assert reply.status == 401, path
            asks = [value for name, value in reply.headers if name == b"www-authenticate"]
            assert asks == [b"Bearer", b'Basic realm="steelyard"']
    assert client.get("/v2/health/live") == {"live": True}
    assert client.ask("GET", "/v2", authorization=f"Bearer {TOKEN}").status == 200


def test_a_password_that_a_browser_sends_for_another_page_changes_nothing() -> None:
    client = Client(Guards(token=TOKEN))
    state_changing = ("/v2/repository/models/double/unload", "/v2/repository/models/double/load", INFER)
    for path in state_changing:
        for origin in ("https://evil.example", "http://localhost:9", "null"):
            told(client.ask("POST", path, {"inputs": [X]}, authorization=basic(f"me:{TOKEN}"), origin=origin), 403)
    assert client.models.unloaded == set()
    assert client.models.models["double"].asked == []
    own = {"authorization": basic(f"me:{TOKEN}"), "origin": "http://localhost:8000"}
    for path in state_changing[1:]:
        told(client.ask("POST", path, {"inputs": [X]} if path == INFER else {}, **own))


def test_bodies_and_headers_have_bounds() -> None:
    guards = Guards(most_body=1000, most_headers=5, most_header_bytes=200)
    host = (b"host", b"localhost")
    for length, status in (
        (b"1000", 200),
        (b"1001", 413),
        (b"9" * 18, 413),
        (b"9" * 40, 400),
        (b"-1", 400),
        (b"", 400),
    ):
        assert guarded(guards, [host, (b"content-length", length)]) == status
    assert guarded(guards, [host, *((b"x%d" % n, b"") for n in range(5))]) == 431
    assert guarded(guards, [host, (b"x", b"y" * 200)]) == 431
    client = Client(guards)
    told(client.ask("POST", "/v2/models/double/infer", b"x" * 1001), 413)


def test_a_second_header_is_no_way_around_a_check() -> None:
    for name in (b"host", b"origin", b"authorization", b"content-length", b"inference-header-content-length"):
        assert guarded(Guards(), [(b"host", b"localhost"), (name, b"1"), (name, b"1")]) == 400
    http = Http(FakeRepository(), Guards())
    headers = http.admit("/v2", [(b"host", b"localhost"), (b"accept-encoding", b"gzip"), (b"accept-encoding", b"br")])
    assert not isinstance(headers, Reply)
    assert headers[b"accept-encoding"] == b"gzip, br"
