"""What kind of source the user named, opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from steelyard.data import functions, listing
from steelyard.data.archives import opened_archive
from steelyard.data.arrays import ArrayItems, MemoryArray, MemoryTable, NpzTable, Stored, Table
from steelyard.data.convert import Conversion, check_channels, check_dtype, check_meaning, has_arithmetic, input_dtype
from steelyard.data.files import Files, FolderFiles, ZipFiles
from steelyard.data.items import Labels, Source
from steelyard.data.labels import labels_of_array
from steelyard.data.match import LABEL_NAMES, match_inputs, match_labels, order_of_axes
from steelyard.errors import DataError
from steelyard.records.data import DataSpec
from steelyard.records.model import TensorInfo

SUPPORTED = (
    "a .npz, a folder of class folders, a folder or .zip of pictures with a CSV manifest, or package.module:function"
)

_ARRAY = "save the arrays: np.savez('data.npz', x=x, labels=labels)"
_INSTEAD = {
    ".npy": "one .npy has no labels beside it: np.savez('data.npz', x=np.load('x.npy'), labels=np.load('y.npy'))",
    ".csv": "for a table: np.savez('data.npz', x=table.to_numpy('float32'), labels=labels); for a manifest of "
    "pictures: name the folder or .zip with the pictures as the source, and this file as `manifest`",
    ".parquet": "np.savez('data.npz', x=table.to_numpy('float32'), labels=labels)",
    ".pt": "pickles are never loaded: np.savez('data.npz', x=x.numpy(), labels=labels.numpy())",
    ".tar": "pack the pictures as a .zip, or unpack them into a folder",
    ".jpg": "name the folder that holds the pictures",
    ".h5": _ARRAY,
}
_SAME = {
    ".tsv": ".csv", ".feather": ".parquet", ".arrow": ".parquet", ".xlsx": ".csv", ".json": ".csv", ".jsonl": ".csv",
    ".pth": ".pt", ".pkl": ".pt", ".pickle": ".pt", ".joblib": ".pt", ".tgz": ".tar", ".7z": ".tar", ".rar": ".tar",
    ".jpeg": ".jpg", ".png": ".jpg", ".hdf5": ".h5", ".mat": ".h5", ".gz": ".h5", ".tfrecord": ".h5",
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """What is to be read, for which inputs of the model, with a folder for what has to be unpacked."""

    spec: DataSpec
    inputs: tuple[TensorInfo, ...]
    scratch: Path


def open_source(wanted: Wanted, stack: ExitStack) -> Source:
    """Open what `wanted.spec.source` names; `stack` closes it. Raises DataError when it is not a supported kind."""
    name = wanted.spec.source
    path = Path(name).expanduser()
    if path.is_dir():
        return _open_folder(wanted, path)
    if path.is_file():
        return _open_file(wanted, path, stack)
    if functions.PATTERN.fullmatch(name):
        return _open_function(wanted)
    raise DataError(f"there is no file or folder {name}", f"the data is {SUPPORTED}")


def _open_file(wanted: Wanted, path: Path, stack: ExitStack) -> Source:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        archive = stack.enter_context(opened_archive(path))
        return _open_table(wanted, NpzTable(archive, str(path), wanted.scratch), None, str(path))
    if suffix == ".zip":
        return _open_zip(wanted, path, ZipFiles(stack.enter_context(opened_archive(path)), str(path)))
    instead = _INSTEAD.get(_SAME.get(suffix, suffix), "")
    raise DataError(f"{path} is not {SUPPORTED}", instead or _ARRAY)


def _open_function(wanted: Wanted) -> Source:
    arrays, labels = functions.load(wanted.spec.source, wanted.inputs)
    return _open_table(
        wanted, MemoryTable(arrays), labels if labels is None else MemoryArray(labels), wanted.spec.source
    )


def _open_table(wanted: Wanted, table: Table, labels: Stored | None, where: str) -> Source:
    """Arrays by name: `labels` are those that came without a name, if they did."""
    spec, inputs = wanted.spec, wanted.inputs
    _check_array_settings(spec, inputs)
    labels_name = match_labels(table.headers, spec, inputs) if labels is None else None
    if labels_name is not None:
        labels = table.open(labels_name)
    names = match_inputs(table.headers, spec, inputs, labels_name)
    items, told = _array_items(wanted, table, names, where)
    found = labels if labels is None else labels_of_array(labels, spec, f"the array of labels in {where}")
    _check_counts(table, names, items.count, found)
    if spec.calibration is None:
        return Source(items, found, None, told)
    calibration, _ = _array_items(wanted, table, {inputs[0].name: _calibration(table, spec)}, where)
    return Source(items, found, calibration, told)


def _check_array_settings(spec: DataSpec, inputs: Sequence[TensorInfo]) -> None:
    check_dtype(spec.preprocess, inputs)
    if spec.preprocess.resize is not None or spec.preprocess.crop is not None:
        raise DataError("[preprocess] resize and crop work on pictures, not on arrays", "leave them out")
    if spec.manifest is not None:
        raise DataError("`manifest` lists pictures; these are arrays", "leave it out")
    if spec.calibration is not None and len(inputs) > 1:
        raise DataError(
            f"`calibration` names one array, the model takes {len(inputs)} inputs",
            "leave it out: some of the items are then set aside for calibration",
        )


def _calibration(table: Table, spec: DataSpec) -> str:
    if spec.calibration not in table.headers:
        raise DataError(f"there is no array {spec.calibration!r} for calibration; there are {', '.join(table.headers)}")
    return str(spec.calibration)


def _array_items(
    wanted: Wanted, table: Table, names: Mapping[str, str], where: str
) -> tuple[ArrayItems, tuple[str, ...]]:
    conversions, told = {}, []
    for info in wanted.inputs:
        name = names[info.name]
        conversion = _conversion(wanted, table, name, info, f"the array {name!r} in {where}")
        if conversion.axes != tuple(range(len(conversion.axes))):
            told.append(f"channels of {name} were moved: its sizes fit the model's input {info.name!r} only so")
        conversions[info.name] = conversion
    return ArrayItems({key: table.open(name) for key, name in names.items()}, conversions), tuple(told)


def _conversion(wanted: Wanted, table: Table, name: str, info: TensorInfo, where: str) -> Conversion:
    header, preprocess = table.headers[name], wanted.spec.preprocess
    dtype = input_dtype(info)
    if header.dtype.kind not in "fiub":
        raise DataError(f"{where} holds {header.dtype.name}, the model's input {info.name!r} takes numbers")
    axes = order_of_axes(header, info, where)
    check_meaning(header.dtype, info, preprocess, where)
    # Among several inputs those of integers are ids or masks: arithmetic on them would make no sense.
    arithmetic = has_arithmetic(preprocess) and (len(wanted.inputs) == 1 or dtype.kind == "f")
    channel_axis = 1 if len(axes) == 4 and preprocess.layout == "nchw" else len(axes) - 1
    if arithmetic:
        check_channels(preprocess, header.shape[axes[channel_axis]] if channel_axis else 1, where)
    return Conversion(info.name, dtype, axes, header.shape[1:], channel_axis, preprocess if arithmetic else None)


def _check_counts(table: Table, names: Mapping[str, str], items: int, labels: Labels | None) -> None:
    counts = {name: table.headers[name].items for name in names.values()}
    if labels is not None:
        counts["the labels"] = len(labels.codes)
    if set(counts.values()) != {items}:
        told = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise DataError(f"arrays differ in their number of items ({told})", "the first axis counts items")


def _check_picture_settings(spec: DataSpec) -> None:
    if spec.calibration is not None or spec.inputs:
        raise DataError("`calibration` and `inputs` name arrays of a .npz; these are pictures", "leave them out")


def _open_folder(wanted: Wanted, root: Path) -> Source:
    spec = wanted.spec
    _check_picture_settings(spec)
    folders = listing.class_folders(root)
    manifest = spec.manifest or (_single_csv(root) if len(folders) < 2 else None)
    if manifest is not None:
        path = next((p for p in (Path(manifest).expanduser(), root / manifest) if p.is_file()), None)
        return _open_images(wanted, FolderFiles(root), _manifest(spec, path, manifest))
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
        return _open_images(wanted, files, listing.list_manifest(files.read(name), spec, f"{path}/{name}"))
    named = [Path(name).expanduser(), path.parent / name] if name else []
    beside = named or [path.with_suffix(".csv"), path.with_name("labels.csv")]
    found = next((p for p in beside if p.is_file()), None)
    return _open_images(wanted, files, _manifest(spec, found, name or "a CSV inside or beside the archive"))


def _manifest(spec: DataSpec, path: Path | None, name: str) -> listing.Listing:
    if path is None:
        raise DataError(
            f"the manifest is missing: looked for {name}",
            "name a CSV with the columns file and label as `manifest`; class folders in a .zip: unpack them and name "
            "the folder",
        )
    if path.stat().st_size > listing.MOST_MANIFEST_BYTES:
        raise DataError(f"{path} is larger than {listing.MOST_MANIFEST_BYTES} bytes; a manifest is a CSV of file names")
    return listing.list_manifest(path.read_bytes(), spec, str(path))


def _open_images(wanted: Wanted, files: Files, found: listing.Listing) -> Source:
    from steelyard.data.images import ImageItems

    items = ImageItems(files, found.names, wanted.inputs, wanted.spec.preprocess)
    return Source(items, found.labels, None, found.told)


def told_no_labels(spec: DataSpec) -> str:
    """Said when labels were found nowhere."""
    return f"no labels in {spec.source}: looked for {', '.join(LABEL_NAMES)}"
