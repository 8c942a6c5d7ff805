"""The files of a data set: from a local mirror, from the cache, or downloaded, checked, and put into the cache.

A download is written under another name, synchronised, checked and then renamed, so that half of one is never taken for
a whole, however the program ends. Two programs may load the same at once.
"""

from __future__ import annotations

import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from steelyard.data.room import room
from steelyard.datasets.places import CACHE, MIRROR, mirror_folder
from steelyard.datasets.progress import Progress
from steelyard.datasets.sources import DataSet, Remote, digest, is_whole
from steelyard.errors import DataError
from steelyard.version import VERSION

MOST_BYTES = 256 * 2**20
"""Of one file: a server that never ends shall not fill the disk."""
PATIENCE_S = 30.0
"""Seconds without a byte, then the next address is tried."""
_BLOCK = 2**16


class _Failed(Exception):  # noqa: N818 - one of several attempts
    """One address did not give the file; another may."""


def obtain(dataset: DataSet, cache: Path, progress: Progress) -> dict[str, Path]:
    """File name → where it lies now, checked. Raises DataError when a file is wrong, or cannot be had."""
    for files in dataset.ways:
        mirrored = _in_mirror(dataset, files)
        if mirrored is not None:
            return mirrored
    folder = cache / "datasets" / dataset.folder
    for files in dataset.ways:
        if all((folder / remote.name).is_file() and is_whole(folder / remote.name, remote) for remote in files):
            return {remote.name: folder / remote.name for remote in files}
    files = next(files for files in dataset.ways if all(remote.urls for remote in files))
    return {remote.name: _cached(dataset, remote, folder, progress) for remote in files}


def _in_mirror(dataset: DataSet, files: tuple[Remote, ...]) -> dict[str, Path] | None:
    """None when there is no mirror, or not all of these files are in it."""
    mirror = mirror_folder()
    if mirror is None:
        return None
    if not mirror.is_dir():
        raise DataError(
            f"{MIRROR} names {mirror}, which is no folder", "set it to the folder of the mirror, or unset it"
        )
    found = {remote.name: mirror / dataset.folder / remote.name for remote in files}
    if not all(path.is_file() for path in found.values()):
        return None
    for remote in files:
        _check_mirrored(found[remote.name], remote)
    return found


def _check_mirrored(path: Path, remote: Remote) -> None:
    if not is_whole(path, remote):
        raise DataError(
            f"{path} is not the file that it should be: it has {digest(path, 'sha256')}, expected "
            f"{' or '.join(remote.digests)}",
            f"it is damaged or another version: copy it into the mirror anew, or unset {MIRROR} to download it",
        )


def _cached(dataset: DataSet, remote: Remote, folder: Path, progress: Progress) -> Path:
    path = folder / remote.name
    if not path.is_file() or not is_whole(path, remote):
        _download(dataset, remote, _made(folder), progress)
    return path


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise DataError(
            f"nothing can be written to the cache {folder}: {error.strerror}", f"name another folder in {CACHE}"
        ) from None


def _download(dataset: DataSet, remote: Remote, folder: Path, progress: Progress) -> None:
    problems = []
    for url in remote.urls:
        try:
            _fetch(url, remote, folder, progress)
            return
        except _Failed as failure:
            problems.append(f"{url}: {failure}")
    raise DataError(
        f"{remote.name} of the data set {dataset.name} could not be downloaded: {'; '.join(problems)}",
        f"try again with a connection; or get the file where there is one, put it into {dataset.folder}/ of a folder, "
        f"and set {MIRROR} to that folder",
    )


def _fetch(url: str, remote: Remote, folder: Path, progress: Progress) -> None:
    """Into `folder/remote.name`, whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=f".{remote.name}.", suffix=".part", dir=folder)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            _receive(url, remote.name, out, folder, progress)
        if not is_whole(part, remote):
            raise _Failed(
                f"came with {digest(part, 'sha256')}, expected {' or '.join(remote.digests)}; it was not kept"
            )
        part.replace(folder / remote.name)
        _synchronise(folder)
    finally:
        part.unlink(missing_ok=True)


def _receive(url: str, name: str, out: IO[bytes], folder: Path, progress: Progress) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": f"steelyard/{VERSION}"})  # noqa: S310 - our own addresses
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 - the same
            total = _length(answer.headers)
            done = _copy(answer, out, folder, total, lambda bytes_so_far: progress(name, bytes_so_far, total))
    except urllib.error.HTTPError as error:
        raise _Failed(f"the server answered {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _Failed(_reason(error)) from None
    if total is not None and done != total:
        raise _Failed(f"broke off after {done} of {total} bytes")


def _copy(
    answer: http.client.HTTPResponse, out: IO[bytes], folder: Path, total: int | None, tell: Callable[[int], None]
) -> int:
    done = 0
    with room(folder, total or 0):
        while block := answer.read(_BLOCK):
            done += len(block)
            if done > MOST_BYTES:
                raise _Failed(f"is larger than {MOST_BYTES} bytes")
            out.write(block)
            tell(done)
        out.flush()
        os.fsync(out.fileno())
    return done


def _length(headers: Mapping[str, str]) -> int | None:
    told = headers.get("Content-Length") or ""
    return int(told) if told.isdecimal() else None


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", error)
    return getattr(inner, "strerror", None) or str(inner) or type(error).__name__


def _synchronise(folder: Path) -> None:
    """The new name, too, shall outlive a power cut. Windows has no such thing for folders."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
