"""LitServe. JSON: `{"input": […]}`; raw bytes: a file in a form, which is how it takes them.

python litserve_server.py MODEL.onnx PORT SETTINGS.json
"""

# No `from __future__ import annotations`: LitServe reads the annotation of `decode_request` itself.
from typing import Any

import litserve
import numpy as np
from fastapi import Request
from onnx_model import OnnxModel, Settings


class Served(litserve.LitAPI):
    """The four verbs of LitServe."""

    def __init__(self, model: str, **how: Any) -> None:
        super().__init__(**how)
        self._file = model

    def setup(self, device: str) -> None:  # noqa: ARG002 - there is but one kind here
        """In each worker."""
        self.model = OnnxModel(self._file)

    def decode_request(self, request: Request) -> Any:
        """One item, without the axis that counts items."""
        if "file" in request:
            return np.frombuffer(request["file"].file.read(), np.float32).reshape(self.model.item_shape)
        return np.asarray(request["input"], np.float32)

    def predict(self, request: Any) -> Any:
        """One item, or the stack of a batch."""
        return self.model(request if self.max_batch_size > 1 else request[None])

    def encode_response(self, output: Any) -> Any:
        """One item's answer."""
        return {"output": output.tolist()}


if __name__ == "__main__":
    settings = Settings()
    api = Served(settings.model, max_batch_size=settings.batch, batch_timeout=0.001 if settings.batch > 1 else 0.0)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=settings.workers, fast_queue=True)
    server.run(host="127.0.0.1", port=settings.port, log_level="error", generate_client_file=False, access_log=False)
