"""wrk (https://github.com/wg/wrk), the client: a closed loop over some connections, in C, on one thread."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from peers.asking import Ask

SCRIPT = Path(__file__).with_name("send.lua")


@dataclass(frozen=True)
class Rate:
    """What one run told."""

    answered: int
    per_s: float
    """Answers with status 2xx a second."""
    p50_ms: float
    p99_ms: float
    failed: int
    client_cores: float
    """Of one core's time, what the client used."""


def is_there() -> bool:
    """Whether it is installed."""
    return shutil.which("wrk") is not None


def run(ask: Ask, port: int, connections: int, seconds: float) -> Rate:
    """Send this request over and over, each connection as soon as it was answered. Raises RuntimeError on failure."""
    whole = max(1, round(seconds))  # wrk takes whole seconds
    with tempfile.NamedTemporaryFile() as body:
        Path(body.name).write_bytes(ask.body)
        url = f"http://127.0.0.1:{port}{ask.path}"
        headers = [f"{name}:{value}" for name, value in ask.headers.items()]
        command = ["wrk", "-t1", f"-c{connections}", f"-d{whole}s", "-s", str(SCRIPT), url, "--", body.name, *headers]
        begun, before = time.monotonic(), os.times()
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        took, after = time.monotonic() - begun, os.times()
    if done.returncode:
        raise RuntimeError(f"wrk ended with status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    told = json.loads(done.stdout.splitlines()[-1])
    used = after.children_user + after.children_system - before.children_user - before.children_system
    good = told["requests"] - told["failed"]
    return Rate(
        answered=good,
        per_s=good / told["seconds"],
        p50_ms=told["p50"] / 1000,
        p99_ms=told["p99"] / 1000,
        failed=told["failed"],
        client_cores=max(0.0, used / took),
    )
