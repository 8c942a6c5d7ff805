"""What kind of source the user named, opened."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from steelyard.data import functions, listing, table_files
from steelyard.data.archives import opened_archive
from steelyard.data.array_source import check_no_table_words, open_arrays
from steelyard.data.arrays import MemoryArray, MemoryTable, NpzTable
from steelyard.data.files import Files, FolderFiles, ZipFiles
from steelyard.data.items import Source
from steelyard.data.match import LABEL_NAMES
from steelyard.data.table_source import open_columns
from steelyard.data.wanted import Wanted
from steelyard.errors import DataError
from steelyard.records.data import DataSpec
from steelyard.records.dotted import PATTERN

SUPPORTED = (
    "a .npz, a table (.csv, .tsv, .jsonl, .parquet), a folder of class folders, a folder or .zip of pictures with a "
    "CSV manifest, or package.module:function"
)

_ARRAY = "save the arrays: np.savez('data.npz', x=x, labels=labels)"
_INSTEAD = {
    ".npy": "one .npy has no labels beside it: np.savez('data.npz', x=np.load('x.npy'), labels=np.load('y.npy'))",
    ".arrow": "save the table as Parquet: table.to_parquet('data.parquet')",
    ".json": "save one object a line, as .jsonl: table.to_json('data.jsonl', orient='records', lines=True)",
    ".pt": "pickles are never loaded: np.savez('data.npz', x=x.numpy(), labels=labels.numpy())",
    ".tar": "pack the pictures as a .zip, or unpack them into a folder",
    ".jpg": "name the folder that holds the pictures",
    ".h5": _ARRAY,
}
_SAME = {
    ".feather": ".arrow", ".orc": ".arrow", ".xlsx": ".arrow", ".xls": ".arrow", ".sqlite": ".arrow", ".db": ".arrow",
    ".pth": ".pt", ".pkl": ".pt", ".pickle": ".pt", ".joblib": ".pt", ".tgz": ".tar", ".7z": ".tar", ".rar": ".tar",
    ".jpeg": ".jpg", ".png": ".jpg", ".hdf5": ".h5", ".mat": ".h5", ".gz": ".h5", ".tfrecord": ".h5",
}  # fmt: skip


def open_source(wanted: Wanted, stack: ExitStack) -> Source:
    """Open what `wanted.spec.source` names; `stack` closes it. Raises DataError when it is not a supported kind."""
    name = wanted.spec.source
    path = Path(name).expanduser()
    if path.is_dir():
        return _open_folder(wanted, path)
    if path.is_file():
        return _open_file(wanted, path, stack)
    if PATTERN.fullmatch(name):
        return _open_function(wanted)
    raise DataError(f"there is no file or folder {name}", f"the data is {SUPPORTED}")


def _open_file(wanted: Wanted, path: Path, stack: ExitStack) -> Source:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        archive = stack.enter_context(opened_archive(path))
        return open_arrays(wanted, NpzTable(archive, str(path), wanted.scratch), None, str(path))
    if suffix in table_files.SUFFIXES:
        return open_columns(wanted, path)
    if suffix == ".zip":
        return _open_zip(wanted, path, ZipFiles(stack.enter_context(opened_archive(path)), str(path)))
    instead = _INSTEAD.get(_SAME.get(suffix, suffix), "")
    raise DataError(f"{path} is not {SUPPORTED}", instead or _ARRAY)


def _open_function(wanted: Wanted) -> Source:
    arrays, labels = functions.load(wanted.spec.source, wanted.inputs)
    return open_arrays(
        wanted, MemoryTable(arrays), labels if labels is None else MemoryArray(labels), wanted.spec.source
    )


def _check_picture_settings(spec: DataSpec) -> None:
    check_no_table_words(spec)
    if spec.calibration is not None or spec.inputs:
        raise DataError("`calibration` and `inputs` name arrays of a .npz; these are pictures", "leave them out")


def _open_folder(wanted: Wanted, root: Path) -> Source:
    spec = wanted.spec
    _check_picture_settings(spec)
    folders = listing.class_folders(root)
    manifest = spec.manifest or (_single_csv(root) if len(folders) < 2 else None)
    if manifest is not None:
        path = next((p for p in (Path(manifest).expanduser(), root / manifest) if p.is_file()), None)
        return _open_images(wanted, FolderFiles(root), _manifest(wanted, path, manifest))
    if not folders:
        raise DataError(
            f"{root} holds neither class folders nor a CSV manifest",
            "put the pictures of each class in a folder of its own, or name a CSV with the columns file and label as "
            "`manifest`",
        )
    return _open_images(wanted, FolderFiles(root), listing.list_class_folders(root, folders, spec))


def _single_csv(root: Path) -> str | None:
    found = sorted(path.name for path in root.glob("*.csv"))
    return found[0] if len(found) == 1 else None


def _open_zip(wanted: Wanted, path: Path, files: ZipFiles) -> Source:
    spec = wanted.spec
    _check_picture_settings(spec)
    inside = [name for name in files.members if PurePosixPath(name).match("[!._]*.[cC][sS][vV]")]
    name = spec.manifest or (inside[0] if len(inside) == 1 else None)
    if name in files.members:
        return _open_images(
            wanted, files, listing.list_manifest(files.read(name), spec, f"{path}/{name}", measured=wanted.measured)
        )
    named = [Path(name).expanduser(), path.parent / name] if name else []
    beside = named or [path.with_suffix(".csv"), path.with_name("labels.csv")]
    found = next((p for p in beside if p.is_file()), None)
    return _open_images(wanted, files, _manifest(wanted, found, name or "a CSV inside or beside the archive"))


def _manifest(wanted: Wanted, path: Path | None, name: str) -> listing.Listing:
    if path is None:
        raise DataError(
            f"the manifest is missing: looked for {name}",
            "name a CSV with the columns file and label as `manifest`; class folders in a .zip: unpack them and name "
            "the folder",
        )
    if path.stat().st_size > listing.MOST_MANIFEST_BYTES:
        raise DataError(f"{path} is larger than {listing.MOST_MANIFEST_BYTES} bytes; a manifest is a CSV of file names")
    return listing.list_manifest(path.read_bytes(), wanted.spec, str(path), measured=wanted.measured)


def _open_images(wanted: Wanted, files: Files, found: listing.Listing) -> Source:
    from steelyard.data.images import ImageItems

    items = ImageItems(files, found.names, wanted.inputs, wanted.spec.preprocess)
    return Source(items, found.labels, None, found.told)


def told_no_labels(spec: DataSpec) -> str:
    """Said when labels were found nowhere."""
    return f"no labels in {spec.source}: looked for {', '.join(LABEL_NAMES)}"
