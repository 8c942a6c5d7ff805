"""Triton, as PyTriton brings it: its own HTTP server before a function in Python. It has no backend for ONNX there.

python triton_server.py MODEL.onnx PORT SETTINGS.json
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx_model import OnnxModel, Settings
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

MODEL, INPUT = "m", "image"


def served(model: OnnxModel) -> Any:
    """One of the functions that requests are divided among."""

    @batch  # type: ignore[untyped-decorator]
    def infer(image: Any) -> Any:
        return {"output": model(image)}

    return infer


if __name__ == "__main__":
    settings = Settings()
    models = [OnnxModel(settings.model) for _ in range(settings.workers)]
    ports = {"http_port": settings.port, "allow_grpc": False, "allow_metrics": False}
    with Triton(config=TritonConfig(http_address="127.0.0.1", log_verbose=0, **ports)) as triton:
        triton.bind(
            model_name=MODEL,
            infer_func=[served(model) for model in models],
            inputs=[Tensor(name=INPUT, dtype=np.float32, shape=models[0].item_shape)],
            outputs=[Tensor(name="output", dtype=np.float32, shape=(-1,))],
            config=ModelConfig(max_batch_size=settings.batch, batching=True, batcher=DynamicBatcher()),
        )
        triton.serve()
