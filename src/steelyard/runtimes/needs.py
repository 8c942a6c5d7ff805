"""What runtimes need beside their package. Each function says in one sentence what this machine lacks, or nothing."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path


def cpp_compiler() -> str:
    """For torch.compile, which generates C++ that includes Python's headers."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"there is no C++ compiler '{compiler}': install one (Debian: apt install g++), or name it in CXX"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "Python's headers are missing: install them (Debian: apt install python3-dev)"
    return ""
