"""Zip archives that nobody trusts: regular files with plain names only, read member by member, never extracted.

Limits are on the count, the size and the ratio of compression. Small members may be compressed by any ratio: an
attention mask of ones is honest and shrinks a thousandfold.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from steelyard.errors import DataError

MOST_MEMBERS = 1_000_000
MOST_BYTES = 64 * 2**30
"""Of all members together, uncompressed."""
MOST_RATIO = 200
FREE_RATIO_BYTES = 256 * 2**20
"""Below this size the ratio is not looked at."""

BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What zipfile raises when a member is damaged, encrypted or compressed in a way that it does not know."""

_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


@contextmanager
def opened_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive at `path`, its table of contents checked. Raises DataError saying what is wrong with it."""
    try:
        archive = zipfile.ZipFile(path)
    except BROKEN as error:
        raise DataError(
            f"{path} is not a complete zip archive ({error})",
            "it may have been cut off while it was copied or written: make it again",
        ) from None
    with archive:
        check(archive.infolist(), path)
        yield archive


def check(members: list[zipfile.ZipInfo], path: Path) -> None:
    """Raises DataError when the archive is too large, a bomb, encrypted, or has members that point out of it."""
    if len(members) > MOST_MEMBERS:
        raise DataError(f"{path} holds {len(members)} members, at most {MOST_MEMBERS} are read")
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES:
        raise DataError(f"{path} unpacks to {total} bytes, at most {MOST_BYTES} are read")
    packed = sum(member.compress_size for member in members)
    if total > FREE_RATIO_BYTES and total > MOST_RATIO * packed:
        raise DataError(f"{path} looks like a zip bomb: {packed} bytes unpack to {total}")
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise DataError(f"{path} holds two members of the same name")
    for member in members:
        _check_member(member, path)


def _check_member(member: zipfile.ZipInfo, path: Path) -> None:
    if points_outside(member.filename):
        raise DataError(f"{path}: the member {member.filename!r} points out of the archive")
    if member.flag_bits & 0x1:
        raise DataError(f"{path}: the member {member.filename!r} is encrypted", "make the archive without a password")
    if member.compress_type not in _METHODS:
        raise DataError(
            f"{path}: the member {member.filename!r} is neither stored nor deflated",
            "make the archive with the usual compression (deflate)",
        )


def points_outside(name: str) -> bool:
    """Whether a relative file name is absolute or climbs out of its folder."""
    plain = name.replace("\\", "/")
    return plain.startswith("/") or ".." in PurePosixPath(plain).parts or ":" in plain.split("/")[0]


def is_regular(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a file: no folder, no symbolic link, no device (as far as the archive says)."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    return not member.is_dir() and kind in (0, stat.S_IFREG)
