"""The two plain ways to serve a model: FastAPI, one request at a time. Run by `bench_gain.py`.

    python plain.py torch MODEL.onnx PORT INPUTS.json   JSON lists in, JSON out, torch eager
    python plain.py ort MODEL.onnx PORT INPUTS.json     raw bytes in and out, ONNX Runtime as it comes

INPUTS.json: see `bodies.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from gain.bodies import Bodies

BODIES = Bodies(sys.argv[4])


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
        inputs = {each.name: np.asarray([body[each.name]], each.dtype) for each in BODIES.inputs}
        return {"outputs": session.run(0, inputs)[0].tolist()}

    return app


def ort_app(model: Path) -> FastAPI:
    """What a careful engineer writes: ONNX Runtime with its own settings, bytes instead of text."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    app = FastAPI()

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        outputs = session.run(None, BODIES.item(await request.body()))
        return Response(outputs[0].tobytes(), media_type="application/octet-stream")

    return app


if __name__ == "__main__":
    way, model_file, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    made = torch_app(model_file) if way == "torch" else ort_app(model_file)
    uvicorn.run(made, host="127.0.0.1", port=port, log_level="error", access_log=False, timeout_keep_alive=60)
