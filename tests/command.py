"""Steelyard as its users meet it: a command, an exit status, what is printed, and the files it leaves."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.cli.main import main

COMMAND = [sys.executable, "-m", "steelyard.cli.main"]


@dataclass(frozen=True)
class Ran:
    """One run of the command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run_in(folder: Path, *arguments: str, **environment: str) -> Ran:
    """Run `steelyard ARGUMENTS` in a folder; a traceback is never acceptable."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def run_here(folder: Path, *arguments: str) -> Ran:
    """The same in this process, where it is not the process that is tested: some of them take seconds to start."""
    out, err, before = io.StringIO(), io.StringIO(), Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(list(arguments))
    except SystemExit as ended:
        assert "Traceback" not in err.getvalue(), err.getvalue()
        return Ran(int(ended.code or 0), out.getvalue(), err.getvalue())
    finally:
        os.chdir(before)
    raise AssertionError("a command ends with its status")


Run = Callable[..., Ran]
