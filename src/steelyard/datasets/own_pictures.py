"""Class folders of pictures become items."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from steelyard.data.files import FolderFiles, Unreadable
from steelyard.data.images import decode
from steelyard.data.listing import Listing, class_folders, list_class_folders
from steelyard.data.match import told_shape
from steelyard.datasets.examples import Array, Examples
from steelyard.datasets.own import OwnData, targets_of
from steelyard.errors import DataError
from steelyard.records.data import DataSpec, Preprocess


def read_folders(own: OwnData, root: Path) -> Examples:
    """The pictures below `root`, each of the class of its folder.

    Raises DataError when there are none, when they differ in size, or when some cannot be decoded and are not to be
    dropped.
    """
    folders = class_folders(root)
    if len(folders) < 2:
        raise DataError(
            f"{root} holds {len(folders)} class folders, at least 2 are needed",
            "put the pictures of each class in a folder of its own, called as the class",
        )
    listed = list_class_folders(root, folders, DataSpec(source=own.source, classes=own.classes))
    if listed.labels is None:
        raise DataError(f"{root} has no classes")
    targets, classes = targets_of(listed.labels, own, str(root))
    pictures, kept = _decoded(own, root, listed)
    return Examples("images", {"image": np.stack(pictures)}, targets[kept], classes)


def _decoded(own: OwnData, root: Path, listed: Listing) -> tuple[list[Array], list[int]]:
    preprocess = Preprocess(resize=own.resize, crop=_square(own.resize), colour=own.colour)
    files = FolderFiles(root)
    pictures: list[Array] = []
    kept: list[int] = []
    faults: list[str] = []
    for number, name in enumerate(listed.names):
        try:
            picture = decode(files.read(name), preprocess)
        except Unreadable as fault:
            faults.append(f"{name} ({fault.reason})")
            continue
        if pictures and picture.shape != pictures[0].shape:
            _differs(name, picture, listed.names[kept[0]], pictures[0])
        pictures.append(picture)
        kept.append(number)
    if faults and (own.unreadable == "refuse" or not pictures):
        raise DataError(
            f"{len(faults)} of {len(listed.names)} pictures in {root} cannot be read: {', '.join(faults[:3])}"
            f"{', …' if faults[3:] else ''}",
            'mend or delete them, or leave them out of training: unreadable = "drop"',
        )
    return pictures, kept


def _square(resize: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """The shorter side alone leaves pictures of different sizes: the middle is cut out."""
    return (resize, resize) if isinstance(resize, int) else None


def _differs(name: str, picture: Array, first_name: str, first: Array) -> None:
    raise DataError(
        f"pictures differ in size: {name} is {told_shape(picture.shape[:2])}, {first_name} "
        f"{told_shape(first.shape[:2])} (height × width)",
        f"resize = [{first.shape[0]}, {first.shape[1]}] brings all to one size, resize = {min(first.shape[:2])} cuts a "
        "square out of the middle",
    )
