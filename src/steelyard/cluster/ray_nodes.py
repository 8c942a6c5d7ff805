"""The nodes of a Ray cluster that were started for weighing. Nobody else knows Ray but `ray_training.py`.

A node takes part when it has the custom resource `steelyard`; one search holds all of it and all of the node's
processors, so that nothing else that Ray schedules disturbs a measurement. Through Ray go bytes and plain values.
https://docs.ray.io/en/latest/ray-core/scheduling/resources.html
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steelyard.cluster.far import NodeLost
from steelyard.cluster.node import Node
from steelyard.errors import BY_NAME, SteelyardError, UsageError
from steelyard.records.base import from_json, to_json
from steelyard.records.errand import Failed

RESOURCE = "steelyard"
LABEL = "steelyard-machine"
FREE_S = 60.0
"""A node that is busy with something else for longer is left out."""
KNOCK_S = 5.0
UNREACHABLE_S = 5.0
"""A node that answers nothing for so long is lost."""
START = f"""start each with: ray start --address=HEAD --resources='{{"{RESOURCE}": 1}}' --labels={LABEL}=m7a.large"""
_DONE, _FAILED = b"+", b"-"


class Desk:
    """The actor: a node whose errors are told as JSON as well."""

    def __init__(self) -> None:
        self._node: Node | None = None

    def do(self, method: str, *arguments: Any) -> bytes:
        """One method's answer or error."""
        try:
            self._node = self._node or Node()
            return _DONE + (getattr(self._node, method)(*arguments) or b"")
        except SteelyardError as error:
            return _FAILED + to_json(Failed(name=type(error).__name__, message=error.message, hint=error.hint))
        except Exception as error:
            return _FAILED + to_json(Failed(name="", message=f"{type(error).__name__}: {error}"))


class RayNode:
    """See `cluster.far.FarNode`."""

    def __init__(self, told: dict[str, Any]) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.name = f"{told['NodeManagerHostname']}/{told['NodeID'][:6]}"
        self.label = str(told.get("Labels", {}).get(LABEL, ""))
        resources = told["Resources"]
        actor: Any = ray.remote(Desk)
        self._actor: Any = actor.options(
            num_cpus=resources.get("CPU", 0),
            num_gpus=resources.get("GPU", 0),
            resources={RESOURCE: resources[RESOURCE]},
            scheduling_strategy=NodeAffinitySchedulingStrategy(told["NodeID"], soft=False),
        ).remote()  # fmt: skip

    def is_free(self) -> bool:
        """Whether it has begun to work for us, within a minute."""
        import ray

        try:
            ray.get(self._actor.do.remote("greet"), timeout=FREE_S)
        except ray.exceptions.RayError:
            return False
        return True

    def ask(self, method: str, *arguments: Any) -> bytes:
        """The answer of one method there."""
        answer = self._answer(method, *arguments)
        if answer[:1] == _DONE:
            return answer[1:]
        failed = from_json(answer[1:], Failed)
        raise BY_NAME.get(failed.name, SteelyardError)(f"{self.name}: {failed.message}", failed.hint)

    def _answer(self, method: str, *arguments: Any) -> bytes:
        import ray

        patience = time.monotonic() + UNREACHABLE_S
        while True:
            try:
                answer: bytes = ray.get(self._actor.do.remote(method, *arguments))
                return answer
            except ray.exceptions.RayError as error:
                # What may be asked twice is asked again while the node may only be out of reach.
                passing = isinstance(error, ray.exceptions.ActorUnavailableError) and method == "told"
                if not passing or time.monotonic() > patience:
                    raise NodeLost(f"{self.name} went away: {type(error).__name__}") from error
                time.sleep(0.2)

    def end(self) -> None:
        """Let go of it; whatever it still does ends."""
        import ray

        with contextlib.suppress(Exception):
            ray.kill(self._actor)


@contextlib.contextmanager
def ray_nodes(address: str, log: Path) -> Iterator[list[RayNode]]:
    """The nodes of the cluster at `address` that take part and are free; what Ray prints goes to `log`.

    `ray`: the cluster that this machine is part of, or that RAY_ADDRESS names; `ray://HOST:PORT`: through Ray's client
    port. Raises UsageError when there is no such cluster, or no node takes part.
    """
    with log.open("a", encoding="utf-8") as sink, contextlib.redirect_stdout(sink), connected(address) as ray:
        told = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get(RESOURCE)]
        if not told:
            raise UsageError(f"no node of the Ray cluster has the resource '{RESOURCE}'", START)
        nodes = [RayNode(node) for node in told]
        try:
            free = [node for node in nodes if node.is_free()]
            if not free:
                raise UsageError(
                    f"all {len(nodes)} nodes of the Ray cluster are busy", "wait, or end what runs there (ray status)"
                )
            yield free
        finally:
            for node in nodes:
                node.end()


@contextlib.contextmanager
def connected(address: str, purpose: str = "weighing") -> Iterator[Any]:
    """Ray, connected to the cluster at `address`. Raises UsageError when there is none, or Ray is missing."""
    # Before it is imported: Ray reports its use to its makers otherwise.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_TRAIN_V2_ENABLED"] = "1"  # which newer versions of Ray Train are without being told
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UsageError(f"{purpose} on Ray needs the package ray", "pip install 'steelyard[ray]'") from error
    if ray.is_initialized():
        yield ray
        return
    try:
        with _own_signals():
            place = os.environ.get("RAY_ADDRESS", "auto") if address == "ray" else address
            _knock(place)
            ray.init(address=place, log_to_driver=False, logging_level=logging.CRITICAL)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"there is no Ray cluster at {address}: {reason}", START) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(place: str) -> None:
    """Whether anyone listens there: Ray itself would wait for minutes. Raises OSError, or ValueError for no address."""
    if place in ("auto", "local"):
        return
    host, _, port = place.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"expected HOST:PORT, got {place}")
    with socket.create_connection((host, int(port)), timeout=KNOCK_S):
        pass


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray sets a handler for SIGTERM when it connects; ours saves what was measured."""
    mine = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGTERM, before)
