"""How each server is asked for one item's answer: path, headers, body, and where the numbers are in what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Item = npt.NDArray[np.float32]
"""[1, …]"""
MODEL, INPUT = "m", "image"
"""What the model and its input are called where servers name them."""
JSON = {"Content-Type": "application/json"}
OCTETS = {"Content-Type": "application/octet-stream"}
LENGTH = "Inference-Header-Content-Length"
BOUNDARY = "benchmark"


@dataclass(frozen=True)
class Ask:
    """One request, and how its answer is read."""

    path: str
    body: bytes
    read: Callable[[bytes, Mapping[str, str]], Any]
    """Of the answer's body and headers (names in lower case): the numbers, in any shape."""
    headers: Mapping[str, str] = field(default_factory=dict)


Asks = Callable[[Item], dict[str, Ask]]
"""The forms that a server takes: `json`, `binary`."""


def _v2_json(item: Item) -> Ask:
    told = {"name": INPUT, "datatype": "FP32", "shape": list(item.shape), "data": item.ravel().tolist()}
    read = lambda body, _: json.loads(body)["outputs"][0]["data"]  # noqa: E731
    return Ask(f"/v2/models/{MODEL}/infer", json.dumps({"inputs": [told]}).encode(), read, JSON)


def _v2_binary(item: Item) -> Ask:
    told = {"name": INPUT, "datatype": "FP32", "shape": item.shape, "parameters": {"binary_data_size": item.nbytes}}
    head = json.dumps({"inputs": [told], "parameters": {"binary_data_output": True}}).encode()

    def read(body: bytes, headers: Mapping[str, str]) -> Any:
        return np.frombuffer(body[int(headers[LENGTH.lower()]) :], np.float32)

    return Ask(f"/v2/models/{MODEL}/infer", head + item.tobytes(), read, OCTETS | {LENGTH: str(len(head))})


def open_inference(item: Item) -> dict[str, Ask]:
    """The Open Inference Protocol with its binary tensors."""
    return {"json": _v2_json(item), "binary": _v2_binary(item)}


def open_inference_json(item: Item) -> dict[str, Ask]:
    """The protocol without its binary tensors."""
    return {"json": _v2_json(item)}


def echo(item: Item) -> dict[str, Ask]:
    """The same bodies to something that sends them back."""
    asked = open_inference(item)
    return {form: Ask("/", ask.body, lambda _, __: (), ask.headers) for form, ask in asked.items()}


def litserve(item: Item) -> dict[str, Ask]:
    """JSON, or a file in a form."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    form = head.encode() + item.tobytes() + f"\r\n--{BOUNDARY}--\r\n".encode()
    told = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return {
        "json": Ask("/predict", json.dumps({"input": item[0].tolist()}).encode(), _output, JSON),
        "binary": Ask("/predict", form, _output, told),
    }


def bentoml(item: Item) -> dict[str, Ask]:
    """JSON, or an octet stream on a path of its own."""
    read = lambda body, _: json.loads(body)  # noqa: E731
    return {
        "json": Ask("/predict", json.dumps({"x": item.tolist()}).encode(), read, JSON),
        "binary": Ask("/raw", item.tobytes(), read, OCTETS),
    }


def ray(item: Item) -> dict[str, Ask]:
    """JSON, or the body's bytes."""
    return {
        "json": Ask("/", json.dumps({"input": item[0].tolist()}).encode(), _output, JSON),
        "binary": Ask("/", item.tobytes(), _output, OCTETS),
    }


def _output(body: bytes, _: Mapping[str, str]) -> Any:
    return json.loads(body)["output"]
