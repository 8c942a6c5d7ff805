"""Where files of data sets lie on this machine: in a mirror that somebody keeps, or in the cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path

MIRROR = "STEELYARD_DATA"
"""Environment variable: a folder with one folder per data set, looked at before anything is downloaded."""
CACHE = "STEELYARD_CACHE"
"""Environment variable: where downloads are kept, instead of the system's folder for caches."""


def mirror_folder() -> Path | None:
    """The local mirror, if there is one."""
    named = os.environ.get(MIRROR)
    return Path(named).expanduser() if named else None


def cache_folder() -> Path:
    """Where downloads are kept: $STEELYARD_CACHE, or `steelyard` in the system's folder for caches.

    XDG Base Directory Specification 0.8 (Linux and others); File System Programming Guide (macOS); Known Folders
    (Windows).
    """
    named = os.environ.get(CACHE)
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "steelyard" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "steelyard"
    return _xdg_cache() / "steelyard"


def _xdg_cache() -> Path:
    named = os.environ.get("XDG_CACHE_HOME", "")
    return Path(named) if Path(named).is_absolute() else Path.home() / ".cache"  # relative ones are to be ignored
