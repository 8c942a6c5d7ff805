"""The two plain ways to serve a model: FastAPI, one request at a time. Run by `bench_gain.py`.

    python plain.py torch MODEL.onnx PORT INPUTS.json   JSON lists in, JSON out, torch eager
    python plain.py ort MODEL.onnx PORT INPUTS.json     raw bytes in and out, ONNX Runtime as it comes

INPUTS.json: for each model input its name, dtype and shape of one item; a raw body holds the inputs one after another.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response

INPUTS: list[dict[str, Any]] = json.loads(Path(sys.argv[4]).read_text())


def torch_app(model: Path) -> FastAPI:
    """What most people write first: lists of numbers, `model(x)`, lists of numbers."""
    import torch

    from steelyard.records.engine import SessionSettings
    from steelyard.runtimes.torch_eager import open_session

    threads = torch.get_num_threads()
    session = open_session(model, SessionSettings(threads=threads))  # the same network as a torch module
    app = FastAPI()

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, Any]:
        body = await request.json()
        inputs = {one["name"]: np.asarray([body[one["name"]]], one["dtype"]) for one in INPUTS}
        return {"outputs": session.run(0, inputs)[0].tolist()}

    return app


def ort_app(model: Path) -> FastAPI:
    """What a careful engineer writes: ONNX Runtime with its own settings, bytes instead of text."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    sizes = [int(np.dtype(one["dtype"]).itemsize * np.prod(one["shape"])) for one in INPUTS]
    app = FastAPI()

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        body = await request.body()
        outputs = session.run(None, _unpacked(body, sizes))
        return Response(outputs[0].tobytes(), media_type="application/octet-stream")

    return app


def _unpacked(body: bytes, sizes: list[int]) -> Mapping[str, Any]:
    inputs, at = {}, 0
    for one, size in zip(INPUTS, sizes, strict=True):
        inputs[one["name"]] = np.frombuffer(body[at : at + size], one["dtype"]).reshape(1, *one["shape"])
        at += size
    return inputs


if __name__ == "__main__":
    way, model_file, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    made = torch_app(model_file) if way == "torch" else ort_app(model_file)
    uvicorn.run(made, host="127.0.0.1", port=port, log_level="error", access_log=False, timeout_keep_alive=60)
