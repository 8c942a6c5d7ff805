"""Environments of the peers: made once by pip, with pinned versions, and kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from peers.contestants import COMMON, REQUIREMENTS

DONE = "benchmark.txt"
"""Holds what was installed; written last."""


def prepared(name: str, peers: Path, python: str = sys.executable) -> bool:
    """Make the environment of this peer, of the interpreter `python`, unless it is there.

    False, and why on standard error, when it cannot be.
    """
    wanted = (*COMMON, *REQUIREMENTS[name])
    folder = peers / name
    done = folder / DONE
    if done.exists() and sorted(done.read_text().split()) == sorted(wanted):
        return True
    print(f"  installing {' '.join(wanted)} into {folder}", file=sys.stderr, flush=True)
    subprocess.run([python, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(folder / "bin" / "python")]
    made = subprocess.run([*pip, "install", "--quiet", *wanted], check=False, capture_output=True, text=True)
    if made.returncode:
        print(f"  {name} cannot be installed: {made.stderr[-500:]}", file=sys.stderr)
        return False
    done.write_text("\n".join(wanted))
    return True
