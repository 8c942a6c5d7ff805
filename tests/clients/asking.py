"""What tritonclient asks of a server, and what it must be told. Runs in tritonclient's own environment.

`python -m clients.asking KIND PORT TOKEN`, see `four_clients.run_all`. The model is `made_networks.two_inputs`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clients.four_clients import Client, refused, run_all, same

MODEL = "two"


def normal(*shape: int, seed: int) -> Any:
    """As `made_networks.normal`."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def logits(a: Any, b: Any) -> Any:
    """What the model `two` computes, see `made_networks.two_inputs`."""
    return a @ normal(8, 6, seed=0) + b @ normal(4, 6, seed=1)


def some(items: int, seed: int = 7) -> tuple[Any, Any]:
    """The inputs a and b."""
    return normal(items, 8, seed=seed), normal(items, 4, seed=seed + 1)


def asked(client: Client, a: Any, b: Any, **more: Any) -> Sequence[Any]:
    """The inputs of a request."""
    return [client.input("a", a, **more), client.input("b", b, **more)]


# --- the server and its models ------------------------------------------------------------------------------------


def check_health(client: Client) -> None:
    assert client.call("is_server_live") is True
    assert client.call("is_server_ready") is True
    assert client.call("is_model_ready", MODEL) is True
    assert client.call("is_model_ready", MODEL, client.told("get_model_metadata", MODEL)["versions"][0]) is True


def check_what_is_told_of_the_server(client: Client) -> None:
    told = client.told("get_server_metadata")
    assert told["name"] == "steelyard"
    assert "binary_tensor_data" in told["extensions"]


def check_what_is_told_of_the_model(client: Client) -> None:
    told = client.told("get_model_metadata", MODEL)
    assert [(each["name"], each["datatype"]) for each in told["inputs"]] == [("a", "FP32"), ("b", "FP32")]
    assert [[int(size) for size in each["shape"]] for each in told["inputs"]] == [[-1, 8], [-1, 4]]
    assert [each["name"] for each in told["outputs"]] == ["mean", "logits"]


def check_the_configuration(client: Client) -> None:
    told = client.told("get_model_config", MODEL)
    told = told.get("config", told)
    assert told["max_batch_size"] > 1
    assert [int(size) for size in told["input"][0]["dims"]] == [8]
    assert told["output"][1]["data_type"] == "TYPE_FP32"


def check_statistics_count(client: Client) -> None:
    def counted() -> tuple[int, int]:
        [told] = client.told("get_inference_statistics", MODEL)["model_stats"]
        return int(told["inference_count"]), int(told["inference_stats"]["queue"]["count"])

    before = counted()
    client.infer(MODEL, asked(client, *some(3)))
    assert counted() == (before[0] + 3, before[1] + 1)


def check_the_index_and_the_coming_and_going_of_models(client: Client) -> None:
    def state() -> str:
        told = client.told("get_model_repository_index")
        models = told if isinstance(told, list) else told["models"]
        return str(next(each["state"] for each in models if each["name"] == MODEL))

    assert state() == "READY"
    client.call("unload_model", MODEL)
    try:
        assert state() == "UNAVAILABLE"
        assert client.call("is_model_ready", MODEL) is False
        assert "the model 'two' is not loaded" in refused(lambda: client.infer(MODEL, asked(client, *some(1))))
    finally:
        client.call("load_model", MODEL)
    assert state() == "READY"
    assert "parameters" in refused(lambda: client.call("load_model", MODEL, config="{}"))


def check_nothing_is_told_without_the_token(client: Client) -> None:
    assert client.call("is_server_live", headers={}) is True
    assert "token" in refused(lambda: client.call("get_server_metadata", headers={}))
    assert "token" in refused(lambda: client.infer(MODEL, asked(client, *some(1)), headers={}))


# --- inference ----------------------------------------------------------------------------------------------------


def check_answers_are_right(client: Client) -> None:
    for items in (1, 5, 64):
        a, b = some(items, items)
        result = client.infer(MODEL, asked(client, a, b), request_id=f"request {items}")
        same(result, "logits", logits(a, b))
        same(result, "mean", logits(a, b).mean(axis=1, keepdims=True))
        told = result.get_response() if client.is_http else result.get_response(as_json=True)
        assert told["id"] == f"request {items}"
        assert told["model_name"] == MODEL


def check_numbers_go_and_come_as_bytes_or_json(client: Client) -> None:
    if not client.is_http:
        return
    a, b = some(3)
    for goes in (True, False):
        for comes in (True, False):
            outputs = [client.output("logits", binary=comes)]
            result = client.infer(MODEL, asked(client, a, b, binary=goes), outputs=outputs)
            same(result, "logits", logits(a, b))
            assert result.as_numpy("mean") is None
    mixed = [client.input("a", a, binary=True), client.input("b", b, binary=False)]
    outputs = [client.output("logits", binary=False), client.output("mean", binary=True)]
    result = client.infer(MODEL, mixed, outputs=outputs)
    same(result, "logits", logits(a, b))
    same(result, "mean", logits(a, b).mean(axis=1, keepdims=True))


def check_compressed(client: Client) -> None:
    a, b = some(100)
    for way in ("gzip", "deflate"):
        if client.is_http:
            more = {"request_compression_algorithm": way, "response_compression_algorithm": way}
            result = client.infer(MODEL, asked(client, a, b), **more)
        else:
            result = client.infer(MODEL, asked(client, a, b), compression_algorithm=way)
        same(result, "logits", logits(a, b))


def check_floats_of_other_widths_are_taken(client: Client) -> None:
    a, b = some(2)
    for datatype, sent in (("FP16", np.float16), ("FP64", np.float64), ("BF16", np.float32)):
        inputs = [client.input("a", a.astype(sent), datatype), client.input("b", b.astype(sent), datatype)]
        got = client.infer(MODEL, inputs).as_numpy("logits")
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, logits(a, b), atol=0.2 if datatype == "BF16" else 0.02)


def check_classification(client: Client) -> None:
    a, b = some(2)
    result = client.infer(MODEL, asked(client, a, b), outputs=[client.output("logits", classes=2)])
    best = np.argsort(-logits(a, b), axis=1)[:, :2]
    told = [[each.decode().split(":") for each in row] for row in result.as_numpy("logits")]
    assert [[int(place) for _, place in row] for row in told] == best.tolist()
    values = [[float(value) for value, _ in row] for row in told]
    np.testing.assert_allclose(values, np.take_along_axis(logits(a, b), best, axis=1), atol=1e-4)


def check_a_timeout_and_a_priority_may_be_told(client: Client) -> None:
    a, b = some(1)
    same(client.infer(MODEL, asked(client, a, b), timeout=20_000_000, priority=1), "logits", logits(a, b))
    same(client.infer(MODEL, asked(client, a, b), timeout=2**62), "logits", logits(a, b))


def check_parameters_reach_the_model(client: Client) -> None:
    told = refused(lambda: client.infer(MODEL, asked(client, *some(1)), parameters={"min_quality": 2.0}))
    assert "no variant satisfies" in told


def check_errors_say_what_is_wrong(client: Client) -> None:
    a, b = some(2)
    wrong: dict[str, Callable[[], object]] = {
        "takes the shape [-1, 8], got [2, 7]": lambda: client.infer(MODEL, asked(client, a[:, :7].copy(), b)),
        "'b' brings 1 items": lambda: client.infer(MODEL, asked(client, a, b[:1])),
        "takes each of these inputs once": lambda: client.infer(MODEL, [client.input("a", a)]),
        "takes FP32, got INT32": lambda: client.infer(
            MODEL, [client.input("a", a.astype(np.int32), "INT32"), client.input("b", b)]
        ),
        "has no output 'scores'": lambda: client.infer(MODEL, asked(client, a, b), outputs=[client.output("scores")]),
        "no model 'three'": lambda: client.infer("three", asked(client, a, b)),
        "in version": lambda: client.infer(MODEL, asked(client, a, b), model_version="77"),
        "sequences of requests are not served": lambda: client.infer(MODEL, asked(client, a, b), sequence_id=5),
    }
    for expected, call in wrong.items():
        told = refused(call)
        assert expected in told, told
    assert refused(lambda: client.told("get_model_metadata", "three"))
    same(client.infer(MODEL, asked(client, a, b)), "logits", logits(a, b))


def check_many_at_once_get_their_own(client: Client) -> None:
    pairs = [some(1 + seed % 3, seed) for seed in range(60)]
    results = client.infer_side_by_side(MODEL, [asked(client, *pair) for pair in pairs])
    for pair, result in zip(pairs, results, strict=True):
        same(result, "logits", logits(*pair))


def check_a_stream(client: Client) -> None:
    if client.is_http:
        return
    pairs = {str(seed): some(1 + seed % 3, seed) for seed in range(40)}
    requests = [(identity, asked(client, *pair)) for identity, pair in pairs.items()]
    requests.insert(20, ("wrong", asked(client, some(1)[0][:, :5].copy(), some(1)[1])))
    answers = client.stream(MODEL, requests)
    assert "takes the shape" in str(answers.pop("wrong", answers.pop("", None)))
    assert set(answers) == set(pairs)
    for identity, pair in pairs.items():
        same(answers[identity], "logits", logits(*pair))


if __name__ == "__main__":
    run_all(globals(), sys.argv[1:])
