"""BentoML. JSON: `{"x": [[…]]}`; raw bytes: an octet stream, which it hands on as a file.

python bentoml_server.py MODEL.onnx PORT SETTINGS.json
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.validators import ContentType
from onnx_model import OnnxModel, Settings

TOLD = json.loads(os.environ.get("SERVED", '{"model": "", "workers": 1, "batch": 1}'))
BATCHING = {"batchable": True, "max_batch_size": TOLD["batch"], "max_latency_ms": 1000} if TOLD["batch"] > 1 else {}


@bentoml.service(workers=TOLD["workers"])
class Served:
    """Opened in each worker."""

    def __init__(self) -> None:
        self._model = OnnxModel(TOLD["model"])

    @bentoml.api(**BATCHING)
    def predict(self, x: np.ndarray) -> np.ndarray:
        """A batch, of one request or put together of several."""
        return self._model(np.asarray(x, np.float32))

    @bentoml.api
    def raw(self, file: Annotated[Path, ContentType("application/octet-stream")], /) -> np.ndarray:
        """One item as bytes."""
        item: Any = np.frombuffer(file.read_bytes(), np.float32)
        return self._model(item.reshape(1, *self._model.item_shape))


if __name__ == "__main__":
    settings = Settings()
    os.environ |= {
        "SERVED": json.dumps({"model": settings.model, "workers": settings.workers, "batch": settings.batch}),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_CONFIG_OPTIONS": "api_server.logging.access.enabled=false api_server.metrics.enabled=false",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    program = Path(sys.executable).with_name("bentoml")
    place = ("--host", "127.0.0.1", "--port", str(settings.port))
    os.execv(program, [str(program), "serve", "bentoml_server:Served", *place])  # noqa: S606
