"""Runners that a child process opens in the tests: well-behaved, slow, and every kind of bad."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.errors import CandidateFailure, DataError


class Plain:
    """Answers item number modulo ten; takes `ms` milliseconds a batch plus `per_item_ms` an item."""

    def __init__(self, argument: Mapping[str, Any]) -> None:
        self._argument = argument

    def answers(self, start: int, stop: int) -> Any:
        if self._argument.get("unreadable"):
            raise DataError("the metric cannot read these outputs")
        answers = np.arange(start, stop) % 10
        every, first = self._argument.get("wrong_every", 0), self._argument.get("wrong_from", 0)
        if every:
            items = np.arange(start, stop)
            answers = np.where((items % every == 0) & (items >= first), (answers + 1) % 10, answers)
        return answers[: len(answers) - self._argument.get("short_by", 0)]

    def serve(self, stream: int, batch: int) -> None:
        seconds = (self._argument.get("ms", 0.5) + batch * self._argument.get("per_item_ms", 0.1)) / 1e3
        stop = time.perf_counter() + seconds
        while time.perf_counter() < stop:
            time.sleep(min(0.0005, seconds / 4))


class Busy(Plain):
    """Computes while it serves, where `Plain` sleeps."""

    def serve(self, stream: int, batch: int) -> None:
        stop = time.perf_counter() + self._argument.get("ms", 0.5) / 1e3
        while time.perf_counter() < stop:
            pass


class Bad(Plain):
    """Misbehaves in `serve`, as `how` says."""

    def serve(self, stream: int, batch: int) -> None:
        HOW[self._argument["how"]]()


def segfault() -> None:
    ctypes.string_at(0)


def hang() -> None:
    time.sleep(3600)


def grow() -> None:
    kept = []
    while True:
        kept.append(np.ones(4_000_000))
        time.sleep(0.01)


def grab() -> None:
    np.ones(25_000_000_000)


def leave() -> None:
    os._exit(7)


def shot() -> None:
    os.kill(os.getpid(), 9)


def complain() -> None:
    raise ValueError("the engine says no\nwith details")


HOW = {f.__name__: f for f in (segfault, hang, grow, grab, leave, shot, complain)}


def open_busy(argument: Mapping[str, Any]) -> Busy:
    return Busy(argument)


def open_plain(argument: Mapping[str, Any]) -> Plain:
    print("an engine prints to standard output", flush=True)
    print("and to standard error", file=sys.stderr, flush=True)
    return Plain(argument)


def open_bad(argument: Mapping[str, Any]) -> Bad:
    return Bad(argument)


class Telling(Plain):
    """Writes down which process served on which stream."""

    def serve(self, stream: int, batch: int) -> None:
        with Path(self._argument["file"]).open("a") as file:
            file.write(f"{os.getpid()} {stream}\n")


class DiesAsASibling(Plain):
    """Dies of a signal in a process that another child started."""

    def serve(self, stream: int, batch: int) -> None:
        if "steelyard.measure.child" in Path(f"/proc/{os.getppid()}/cmdline").read_text():
            segfault()
        super().serve(stream, batch)


def open_telling(argument: Mapping[str, Any]) -> Telling:
    return Telling(argument)


def open_second_dies(argument: Mapping[str, Any]) -> DiesAsASibling:
    return DiesAsASibling(argument)


def open_failing(argument: Mapping[str, Any]) -> Plain:
    raise CandidateFailure("unsupported", "this engine cannot do it", "use another")


def double(argument: Mapping[str, Any]) -> dict[str, Any]:
    return {"twice": argument["number"] * 2}


def refuse(argument: Mapping[str, Any]) -> None:
    raise DataError("the data is not good", "get better data")


def build_file(argument: Mapping[str, Any]) -> dict[str, str]:
    time.sleep(argument.get("seconds", 0))
    (Path(argument["into"]) / "artefact.bin").write_bytes(b"built by " + str(os.getpid()).encode())
    return {"main": "artefact.bin"}


def spawn_and_wait(argument: Mapping[str, Any]) -> None:
    Path(argument["file"]).write_text(str(os.getpid()))
    time.sleep(3600)
