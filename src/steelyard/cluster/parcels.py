"""Files on their way to a node and back: named by path and sha256, checked on arrival."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from steelyard.bundle import sha256
from steelyard.errors import InputError
from steelyard.records.base import digest
from steelyard.records.data import Prepared
from steelyard.records.errand import Parcel
from steelyard.records.model import ModelInfo

CHUNK = 16 * 2**20
"""Bytes that travel at once."""
MODEL, VARIANTS, DATA = "model", "variants", "data"


def pack(
    info: ModelInfo, prepared: Prepared, others: Mapping[str, ModelInfo] | None = None
) -> tuple[Parcel, dict[str, Path]]:
    """What travels, and where each content lies here. `others`: models that were given as variants, by name."""
    models = {MODEL: info} | {f"{VARIANTS}/{name}": other for name, other in (others or {}).items()}
    mains = {at: f"{at}/{Path(model.path).name}" for at, model in models.items()}
    places = {f"{at}/{n}": Path(model.path).parent / n for at, model in models.items() for n in model.files}
    folder = Path(prepared.folder)
    places |= {f"{DATA}/{f.relative_to(folder).as_posix()}": f for f in sorted(folder.rglob("*.npy"))}
    files = {name: sha256(place) for name, place in places.items()}
    moved = msgspec.structs.replace(prepared, folder=DATA)
    variants = {name: mains[f"{VARIANTS}/{name}"] for name in others or {}}
    parcel = Parcel(files=files, model=mains[MODEL], variants=variants, prepared=moved)
    return parcel, {files[name]: place for name, place in places.items()}


def chunks(file: Path) -> Iterator[bytes]:
    """The contents, piece by piece; one empty piece of an empty file."""
    with file.open("rb") as stream:
        yield stream.read(CHUNK)
        while chunk := stream.read(CHUNK):
            yield chunk


class Shelf:
    """A folder of contents by sha256, and of parcels laid out from them; it holds one parcel at a time."""

    def __init__(self, folder: Path) -> None:
        self._contents = folder / "contents"
        self._parcels = folder / "parcels"

    def missing(self, parcel: Parcel) -> list[str]:
        """Hashes of the contents that are not here; what belongs to other parcels is thrown away."""
        wanted = {_checked(content) for content in parcel.files.values()}
        for place in (self._contents, self._parcels):
            place.mkdir(parents=True, exist_ok=True)
        for old in self._contents.iterdir():
            if old.name not in wanted:
                old.unlink()
        for old in self._parcels.iterdir():
            if old.name != _name(parcel):
                shutil.rmtree(old, ignore_errors=True)
        return sorted(content for content in wanted if not (self._contents / content).exists())

    def take(self, content: str, chunk: bytes, *, last: bool) -> None:
        """The next piece of some contents. Raises InputError when the whole has another hash."""
        unfinished = self._contents / f"{_checked(content)}.part"
        with unfinished.open("ab") as file:
            file.write(chunk)
        if last:
            found = sha256(unfinished)
            if found != content:
                unfinished.unlink()
                raise InputError(f"contents were damaged on their way: expected sha256 {content}, got {found}")
            unfinished.rename(self._contents / content)

    def laid_out(self, parcel: Parcel) -> Path:
        """The folder with the parcel's files; made once."""
        place = self._parcels / _name(parcel)
        if not place.exists():
            unfinished = place.with_suffix(".part")
            shutil.rmtree(unfinished, ignore_errors=True)
            for name, content in parcel.files.items():
                target = unfinished / inside(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                # Copied, not linked: a model file that is a link is refused.
                shutil.copyfile(self._contents / _checked(content), target)
            unfinished.rename(place)
        return place


def _name(parcel: Parcel) -> str:
    return digest(parcel.files)


def _checked(content: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", content):
        raise InputError(f"expected a sha256, got {content!r}")
    return content


def inside(name: str) -> PurePosixPath:
    """A relative path that cannot leave its folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name or "\0" in name:
        raise InputError(f"expected a path inside a folder, got {name!r}")
    return path
