"""Files by relative name, in a folder or in a zip: regular files only, no links, nothing outside, a cap on size."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Protocol

from steelyard.data.archives import BROKEN, is_regular, points_outside
from steelyard.errors import DataError

MOST_FILE_BYTES = 64 * 2**20
TOO_LARGE = f"the file is larger than {MOST_FILE_BYTES // 2**20} MiB"


class Unreadable(Exception):  # noqa: N818 - it is counted, not reported as an error
    """One file cannot be used; the others may be. `reason` completes `3 items left out: …`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Files(Protocol):
    """Files by relative name."""

    @property
    def where(self) -> str:
        """For messages."""

    def read(self, name: str) -> bytes:
        """The whole file. Raises Unreadable, saying why not."""


class FolderFiles:
    """The files under a folder."""

    def __init__(self, root: Path) -> None:
        self.where = str(root)
        self._root = Path(os.path.realpath(root))

    def read(self, name: str) -> bytes:
        """The whole file. Raises Unreadable when it is missing, too large, or reached over a link."""
        path = self._root / name
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or os.path.realpath(path) != os.path.normpath(path):
                raise Unreadable("a link or no regular file")
            if status.st_size > MOST_FILE_BYTES:
                raise Unreadable(TOO_LARGE)
            return path.read_bytes()
        except FileNotFoundError:
            raise Unreadable("the file is missing") from None
        except OSError as error:
            raise Unreadable(f"the file cannot be read: {error.strerror}") from None


class ZipFiles:
    """The regular files of an opened zip, read member by member and never extracted."""

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        self.where = where
        self._archive = archive
        regular = (member for member in archive.infolist() if is_regular(member))
        self.members = {_spelt(member.filename): member for member in regular}

    def read(self, name: str) -> bytes:
        """The whole member. Raises Unreadable when it is missing, too large or damaged."""
        member = self.members.get(name)
        if member is None:
            raise Unreadable("the file is missing")
        if member.file_size > MOST_FILE_BYTES:
            raise Unreadable(TOO_LARGE)
        try:
            return self._archive.read(member)
        except BROKEN:
            raise Unreadable("the archive is damaged here") from None


def plain_name(name: str, where: str) -> str:
    """A relative name in one spelling. Raises DataError when it points out of its folder."""
    if points_outside(name):
        raise DataError(
            f"{where} names {name!r}, which lies outside of the pictures' folder",
            "file names are relative to the folder or archive that holds the pictures",
        )
    return _spelt(name)


def _spelt(name: str) -> str:
    return str(PurePosixPath(name.replace("\\", "/")))
