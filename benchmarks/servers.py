"""Servers in processes of their own, for the benchmarks: started, waited for, ended with all that they started."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

START_S, END_S = 120.0, 20.0
LOOK_S = 0.05


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str], port: int, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The server's process, once the port is open. What it prints goes to `server.log` in the folder, if there is one.

    Raises RuntimeError when it ends by itself, or does not listen in time.
    """
    log = None if folder is None else (folder / "server.log").open("wb")
    process = subprocess.Popen(
        list(command), env=os.environ | (environment or {}), cwd=folder, stdout=log or sys.stderr, stderr=log
    )
    try:
        wait_for(port, process)
        yield process
    finally:
        end(process)
        if log is not None:
            log.close()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until the port is open. Raises RuntimeError, see `running`."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended by itself with status {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(LOOK_S)
    raise RuntimeError(f"the server does not listen after {START_S:g} s")


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end; what of it and its children is still there a while later is killed."""
    with contextlib.suppress(psutil.NoSuchProcess):
        all_of_it = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        _, left = psutil.wait_procs(all_of_it[1:], timeout=2.0)
        for one in (*left, *([all_of_it[0]] if process.poll() is None else [])):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()


def tree(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The process and all its children."""
    root = psutil.Process(process.pid)
    return [root, *root.children(recursive=True)]


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time that it and its children have used so far."""
    return float(sum(sum(one.cpu_times()[:2]) for one in tree(process)))
