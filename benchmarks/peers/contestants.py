"""Who is measured, with which settings, and how each is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from peers import asking

SERVERS = Path(__file__).parent / "servers"
COMMON = ("onnxruntime==1.32.0",)
"""In every peer's environment."""
NUMPY = "numpy==2.4.6"
FAST = ("uvloop==0.23.0", "httptools==0.9.0")
"""What uvicorn is fastest with; not all peers bring them."""
REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    "litserve": (NUMPY, "litserve==0.2.19", "python-multipart==0.0.34", *FAST),
    # MLServer's workers do not start with a newer uvloop.
    "mlserver": (NUMPY, "mlserver==1.7.1", "uvloop==0.21.0", "httptools==0.9.0"),
    "bentoml": (NUMPY, "bentoml==1.4.40", *FAST),
    "ray": (NUMPY, "ray[serve]==2.60.0", *FAST),
    "triton": ("numpy==1.26.4", "nvidia-pytriton==0.7.0"),
}
"""By environment. Each has one of its own: what they pin of protobuf, pydantic and starlette excludes the others."""
OURS = ("steelyard", "steelyard-granian")


@dataclass(frozen=True)
class Setting:
    """One way to run a peer."""

    name: str
    workers: int = 1
    batch: int = 1
    """Requests that may be answered together; 1: none."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contestant:
    """One server."""

    name: str
    asks: asking.Asks
    settings: Sequence[Setting] = (Setting("as it comes"),)
    """All that are tried; the best is measured."""

    def command(self, peers: Path, model: Path, bundle: Path, port: int, settings: Path) -> list[str]:
        """What starts it."""
        if self.name == "steelyard":
            serve = (sys.executable, "-m", "steelyard.cli.main", "serve", f"{asking.MODEL}={bundle}", "--no-switch")
            return [*serve, "--port", str(port), "--grpc-port", "-1", "--format", "quiet"]
        if self.name == "steelyard-granian":
            return [sys.executable, str(SERVERS / "granian_server.py"), str(bundle), str(port)]
        python = peers / self.name / "bin" / "python" if self.name in REQUIREMENTS else Path(sys.executable)
        return [str(python), str(SERVERS / f"{self.name}_server.py"), str(model), str(port), str(settings)]


HAPROXY = {"RAY_SERVE_ENABLE_HA_PROXY": "1"}
CONTESTANTS = (
    Contestant("steelyard", asking.open_inference),
    Contestant("steelyard-granian", asking.open_inference),
    Contestant("echo", asking.echo),
    Contestant(
        "litserve", asking.litserve, (Setting("1 worker"), Setting("2 workers", 2), Setting("1, batches", batch=16))
    ),
    Contestant(
        "mlserver",
        asking.open_inference_json,
        (Setting("no workers", 0), Setting("1 worker"), Setting("no workers, batches", 0, 16)),
    ),
    Contestant(
        "bentoml", asking.bentoml, (Setting("1 worker"), Setting("2 workers", 2), Setting("1, batches", batch=16))
    ),
    Contestant(
        "ray",
        asking.ray,
        (
            Setting("HAProxy", environment=HAPROXY),
            Setting("HAProxy, batches", batch=16, environment=HAPROXY),
            Setting("its own proxy"),
        ),
    ),
    Contestant(
        "triton",
        asking.open_inference,
        (Setting("1 function", 1, 32), Setting("2 functions", 2, 32)),
    ),
)
