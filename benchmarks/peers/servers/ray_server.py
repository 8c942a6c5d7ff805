"""Ray Serve. JSON: `{"input": […]}`; raw bytes: the body. Run it in a network namespace of its own: it opens ports.

python ray_server.py MODEL.onnx PORT SETTINGS.json
"""

from __future__ import annotations

import os
import signal
from typing import Any

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    # What its performance guide names for throughput: user code and router on the replica's own loop, requests
    # between them by gRPC, and log lines written in heaps.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
}

import numpy as np
import ray
from onnx_model import OnnxModel, Settings
from ray import serve
from starlette.requests import Request

SETTINGS = Settings()


@serve.deployment(
    num_replicas=SETTINGS.workers, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0}, logging_config=None
)
class Served:
    """One replica."""

    def __init__(self, model: str) -> None:
        self._model = OnnxModel(model)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """One request."""
        if request.headers["content-type"] == "application/json":
            item = np.asarray((await request.json())["input"], np.float32)
        else:
            item = np.frombuffer(await request.body(), np.float32).reshape(self._model.item_shape)
        return {"output": (await self._answer(item)).tolist()}

    @serve.batch(max_batch_size=SETTINGS.batch, batch_wait_timeout_s=0.0)
    async def _together(self, items: list[Any]) -> list[Any]:
        return list(self._model(np.stack(items)))

    async def _answer(self, item: Any) -> Any:
        return await self._together(item) if SETTINGS.batch > 1 else self._model(item[None])[0]


if __name__ == "__main__":
    ray.init(include_dashboard=False, num_cpus=2, _node_ip_address="127.0.0.1", logging_level="ERROR")
    serve.start(http_options={"host": "127.0.0.1", "port": SETTINGS.port})
    serve.run(Served.bind(SETTINGS.model), route_prefix="/")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
