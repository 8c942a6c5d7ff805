"""The files of a model on disk: what may be opened, how large it is, and what its contents hash to."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from steelyard.errors import ModelError

_CHUNK = 1 << 20


def in_words(size: int) -> str:
    """A number of bytes for people: `200 GB`, `1.5 MB`, `12 bytes` (decimal units)."""
    for unit, power in (("TB", 4), ("GB", 3), ("MB", 2), ("kB", 1)):
        if size >= 1000**power:
            return (
                f"{size / 1000**power:.3g} {unit}" if size < 1000 ** (power + 1) else f"{size // 1000**power:,} {unit}"
            )
    return f"{size} bytes"


def model_path(text: object) -> Path:
    """The absolute path that the user means; it need not exist. Raises ModelError when it cannot be a path."""
    if not isinstance(text, str) or not text or "\0" in text:
        raise ModelError(f"expected the path of a model file, got {text!r}", "give the path of an .onnx or .xml file")
    return Path(text).expanduser().absolute()


def status_of(path: Path) -> os.stat_result:
    """What the file system says of `path` (links followed). Raises ModelError when it is not there or barred."""
    try:
        return path.stat()
    except OSError as error:
        raise unreadable(path, error) from error


def size_of_plain_file(path: Path, max_bytes: int) -> int:
    """Bytes in the regular file `path`, from 1 to `max_bytes`. Raises ModelError otherwise."""
    status = status_of(path)
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
        raise ModelError(f"expected a model file, {path} is {kind}", "give the path of the .onnx or .xml file itself")
    if status.st_size == 0:
        raise ModelError(f"{path} is empty (0 bytes)", "export or download the model again")
    require_below(status.st_size, max_bytes, str(path))
    return status.st_size


def require_below(size: int, max_bytes: int, what: str) -> None:
    """Raises ModelError when `what` takes more than `max_bytes`."""
    if size > max_bytes:
        raise ModelError(
            f"{what} takes {in_words(size)}, more than the limit of {in_words(max_bytes)}",
            "use a smaller model, or raise the limit if the machine has the memory",
        )


def read_start(path: Path, count: int) -> bytes:
    """The first `count` bytes at most. Raises ModelError when the file cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise unreadable(path, error) from error


def resolve_inside(folder: Path, location: str, what: str) -> Path:
    """The regular file that `location`, written by whoever made the model, names inside `folder`.

    Refused with ModelError: an absolute path, `..`, a drive or a backslash, a symbolic link anywhere below
    `folder`, a file with a second hard link (its other name may lie outside), anything but a regular file, and
    a file that is not there. `what` says in the message whose location it is.
    """
    parts = PurePosixPath(location).parts
    if not parts or ".." in parts or parts[0] == "/" or _is_odd(location):
        raise ModelError(
            f"{what} lies at {location!r}: expected a relative path inside the folder of the model, without '..'",
            "do not run this model unless you trust its source; save it again with its data beside it",
        )
    path = folder
    for part in parts:
        path = path / part
        status = _status_without_following(path, location, what)
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{what} lies at {location!r}, which is not a regular file", "copy the data there")
    if status.st_nlink > 1:
        raise ModelError(
            f"{what} lies at {location!r}, a file with {status.st_nlink} hard links: one may lie outside the folder",
            f"make it a file of its own: cp {path.name} copy && mv copy {path.name}",
        )
    return path


def sha256_of(paths: Iterable[Path]) -> str:
    """SHA-256 (hex) over the contents of the files, one after the other, read in small pieces."""
    total = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                while piece := file.read(_CHUNK):
                    total.update(piece)
        except OSError as error:
            raise unreadable(path, error) from error
    return total.hexdigest()


def unreadable(path: Path, error: OSError) -> ModelError:
    """The ModelError that tells why the operating system did not let `path` be read."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return ModelError(f"there is no file {path}", "check the spelling; relative paths count from where you are")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ModelError(f"no permission to read {path}", f"for example: chmod u+r {path.name}")
    return ModelError(f"cannot read {path}: {error.strerror or error}", "check the disk and the path")


def _is_odd(location: str) -> bool:
    # ONNX Runtime takes a location with this mark for an address in its own memory, whatever file lies there.
    marks = ("\0", "\\", "_ORT_MEM_ADDR_")
    return bool(PureWindowsPath(location).drive) or any(mark in location for mark in marks)


def _status_without_following(path: Path, location: str, what: str) -> os.stat_result:
    try:
        status = path.lstat()
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        reason = "which is missing" if missing else f"which cannot be read ({error.strerror})"
        raise ModelError(
            f"{what} lies at {location!r}, {reason}", f"put the file into {path.parent}, beside the model"
        ) from error
    if stat.S_ISLNK(status.st_mode):
        raise ModelError(
            f"{what} lies at {location!r}: {path} is a symbolic link, which may lead outside the folder",
            "copy the model with its links replaced by files: cp -rL FOLDER COPY",
        )
    return status
