"""Environments of the peers: made once by pip, with pinned versions, and kept."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from peers.contestants import COMMON, REQUIREMENTS

DONE = "benchmark.txt"
"""Holds what was installed; written last."""


def prepared(name: str, peers: Path) -> bool:
    """Make the environment of this peer unless it is there. False, and why on standard error, when it cannot be."""
    wanted = (*COMMON, *REQUIREMENTS[name])
    folder = peers / name
    done = folder / DONE
    if done.exists() and done.read_text().split() == list(wanted):
        return True
    print(f"  installing {' '.join(wanted)} into {folder}", file=sys.stderr, flush=True)
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    made = subprocess.run([*pip, *wanted], check=False, capture_output=True, text=True)
    if made.returncode:
        print(f"  {name} cannot be installed: {made.stderr[-500:]}", file=sys.stderr)
        return False
    done.write_text("\n".join(wanted))
    return True
