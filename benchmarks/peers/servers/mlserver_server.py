"""MLServer with a runtime of our own that calls ONNX Runtime. Its HTTP side takes JSON only.

python mlserver_server.py MODEL.onnx PORT SETTINGS.json    writes its settings into the current folder and starts it
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from onnx_model import OnnxModel, Settings


class Runtime(MLModel):
    """Loaded by MLServer, in each of its workers."""

    async def load(self) -> bool:
        """Open the model."""
        self._model = OnnxModel(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request, or a batch that was put together of several."""
        told = payload.inputs[0]
        batch = NumpyCodec.decode_input(told).reshape(-1, *self._model.item_shape)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", self._model(batch))])


def write(settings: Settings, folder: Path) -> None:
    """The two files that MLServer reads."""
    server = {
        "host": "127.0.0.1",
        "http_port": settings.port,
        "grpc_port": settings.port + 1,
        "metrics_endpoint": None,
        "parallel_workers": settings.workers,
        "debug": False,
        "gzip_enabled": False,
    }
    model = {
        "name": "m",
        "implementation": "mlserver_server.Runtime",
        "parameters": {"uri": settings.model},
    } | ({"max_batch_size": settings.batch, "max_batch_time": 0.001} if settings.batch > 1 else {})
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))


if __name__ == "__main__":
    write(Settings(), Path())
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    mlserver = Path(sys.executable).with_name("mlserver")
    os.execv(mlserver, [str(mlserver), "start", "."])  # noqa: S606
