"""The folder that a plan becomes: `plan.json`, `report.html`, and the artefacts that were measured, with hashes.

    OUT/
      plan.json                   the plan (schema steelyard.plan/1), hashes of all artefacts in it
      report.html                 for people
      artefacts/VARIANT/…         exactly the files that were measured; `built.json` names the main one

A bundle is made beside its place and renamed into it, so a crash or a full disk leaves the old one or none.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from steelyard.errors import BundleError
from steelyard.records.base import from_json, to_json
from steelyard.records.plan import SCHEMA, Plan

PLAN = "plan.json"
REPORT = "report.html"
ARTEFACTS = "artefacts"
BUILT = "built.json"
"""Written last into a folder of built artefacts: what the build returned, the main file among it. A folder without it
is not finished."""
LARGEST_PLAN = 64 * 10**6


@dataclass(frozen=True)
class Bundle:
    """A bundle whose hashes were found right."""

    folder: Path
    plan: Plan

    def artefact(self, variant: str) -> Path:
        """The folder of one variant's files. Raises `BundleError` when the bundle does not hold it."""
        if variant not in self.plan.artefacts:
            raise BundleError(
                f"{self.folder} holds no variant '{variant}'", f"it holds: {', '.join(self.plan.artefacts)}"
            )
        return self.folder / ARTEFACTS / variant

    def main(self, variant: str) -> Path:
        """The main model file of one variant. Raises `BundleError` when the bundle does not hold it."""
        folder = self.artefact(variant)
        try:
            name = from_json((folder / BUILT).read_bytes(), dict[str, str])["main"]
        except (OSError, KeyError, msgspec.DecodeError) as error:
            raise BundleError(f"{folder / BUILT} does not name the main file: {error}", "weigh again") from error
        _check_name(folder, name)
        return folder / name


def write_bundle(plan: Plan, report: str, artefacts: Mapping[str, Path], into: Path) -> Bundle:
    """Write a bundle: `artefacts` maps variant → folder of built files. Replaces an older bundle in one step.

    Raises `BundleError` when the place holds something else or cannot be written.
    """
    check_place(into)
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{into.name}-", dir=into.parent))
    except OSError as error:
        raise _unwritable(into, error) from error
    try:
        hashes = {variant: _copied(folder, fresh / ARTEFACTS / variant) for variant, folder in artefacts.items()}
        plan = msgspec.structs.replace(plan, artefacts=hashes)
        (fresh / PLAN).write_bytes(to_json(plan, indent=2))
        (fresh / REPORT).write_text(report, encoding="utf-8")
        fresh.chmod(0o755)
        _swap(fresh, into)
    except OSError as error:
        raise _unwritable(into, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Bundle(into, plan)


def check_place(into: Path) -> None:
    """Refuse a place that holds anything but an older bundle, before hours are spent on measuring."""
    if into.is_symlink() or (into.exists() and not into.is_dir()):
        raise BundleError(f"{into} is not a folder", "choose another place with --out")
    if into.is_dir() and any(into.iterdir()) and not (into / PLAN).is_file():
        raise BundleError(
            f"{into} holds other files and will not be overwritten", "choose another place with --out, or empty it"
        )


def _unwritable(into: Path, error: OSError) -> BundleError:
    reason = error.strerror or str(error)
    return BundleError(
        f"the bundle cannot be written to {into}: {reason}",
        "free some space or choose another place with --out, then run the same command again: "
        "what was measured is kept",
    )


def _copied(source: Path, target: Path) -> dict[str, str]:
    """Copy the regular files of a folder; relative path → sha256."""
    hashes = {}
    for file in sorted(source.rglob("*")):
        if file.is_file() and not file.is_symlink():
            relative = file.relative_to(source)
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target / relative)
            hashes[relative.as_posix()] = sha256(target / relative)
    return hashes


def _swap(fresh: Path, into: Path) -> None:
    """Put the new folder in the place of the old one."""
    old = Path(tempfile.mkdtemp(prefix=f".{into.name}-old-", dir=into.parent))
    try:
        if into.exists():
            into.rename(old / into.name)
        try:
            fresh.rename(into)
        except OSError:
            if (old / into.name).exists():
                (old / into.name).rename(into)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def sha256(file: Path) -> str:
    """Hash of a file's contents."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_bundle(folder: str | Path) -> Bundle:
    """The bundle in `folder`, every hash checked. Raises `BundleError` telling what is missing or changed."""
    folder = Path(folder)
    plan = read_plan(folder)
    try:
        for variant, hashes in plan.artefacts.items():
            for name, expected in hashes.items():
                _check_file(folder, ARTEFACTS, variant, name, expected)
    except OSError as error:
        raise BundleError(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    return Bundle(folder, plan)


def read_plan(folder: str | Path) -> Plan:
    """The plan of a bundle (or the plan file itself), artefacts not looked at."""
    folder = file = Path(folder)
    try:
        file = folder / PLAN if folder.is_dir() else folder
        if file.stat().st_size > LARGEST_PLAN:
            raise BundleError(f"{file} is too large for a plan ({file.stat().st_size:,} bytes)")
        raw = file.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{folder} is not a bundle: there is no {PLAN}", "'steelyard weigh' makes one") from None
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}") from error
    return _parsed(raw, file)


def _parsed(raw: bytes, file: Path) -> Plan:
    try:
        schema = msgspec.json.decode(raw, type=dict[str, object]).get("schema")
        if schema != SCHEMA:
            raise BundleError(
                f"{file} has the schema {schema!r}, this version reads '{SCHEMA}'",
                "weigh again with this version, or use the version that made it",
            )
        return from_json(raw, Plan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{file} is not a plan: {error}", "weigh again to make a new one") from error


def _check_name(folder: Path, name: str) -> None:
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"the bundle names a file outside itself: {name}")


def _check_file(folder: Path, *parts: str) -> None:
    *place, expected = parts
    file = folder.joinpath(*place)
    root = folder / ARTEFACTS
    if not file.resolve().is_relative_to(root.resolve()) or ".." in Path(place[-1]).parts:
        raise BundleError(f"the plan names a file outside the bundle: {place[-1]}")
    if not file.is_file() or file.is_symlink():
        raise BundleError(f"{file} is missing", "copy the whole bundle, or weigh again")
    if sha256(file) != expected:
        raise BundleError(f"{file} is not the file that was measured: its hash has changed", "weigh again")
