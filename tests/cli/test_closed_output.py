"""`steelyard … | head`: a reader that goes away ends the command quietly, with the status that shells expect."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from command import COMMAND
from steelyard.cli.output import HUNG_UP


def unread(folder: Path, *arguments: str) -> tuple[int, str]:
    """Status and standard error of a command whose output nobody reads."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*COMMAND, *arguments], cwd=folder, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    finally:
        os.close(write)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "arguments", [("doctor",), ("config", "--format", "json"), ("--version",)], ids=lambda arguments: arguments[0]
)
def test_a_reader_that_went_away_is_no_fault(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert unread(tmp_path, *arguments) == (HUNG_UP, "")


def test_wrong_usage_is_still_told(tmp_path: Path) -> None:
    status, told = unread(tmp_path, "decide", "--rate", "often")
    assert status == 2
    assert "--rate needs requests per unit of time" in told


def test_the_first_lines_can_be_had(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "doctor"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()
        status = process.wait(60)
    assert b"cores" in first
    assert (status in (0, HUNG_UP), told) == (True, b"")
