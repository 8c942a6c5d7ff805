"""A bundle becomes what others run: an image for containers, a service for KServe. The server inside is the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import jinja2

from steelyard.bundle import Bundle, read_bundle
from steelyard.errors import BundleError, UsageError
from steelyard.ladder import figures_of
from steelyard.records.base import Record
from steelyard.records.plan import Figures
from steelyard.serve.repository import check_name
from steelyard.version import VERSION

Target = Literal["docker", "kserve"]

PORT = 8000
SPARE_MEMORY = 1.5
"""Of what the variants were measured to take, for the server around them and for a second version meanwhile."""
LEAST_MEMORY_MB = 512
BASE = "python:3.11-slim"
TEMPLATES = Path(__file__).parent / "templates"


class Exported(Record):
    """What was written."""

    folder: str
    files: tuple[str, ...]
    """Relative to the folder, the bundle's own left out."""


def export(folder: Path, target: Target, out: Path, name: str = "", image: str = "") -> Exported:
    """Write what `target` needs to serve the bundle in `folder` into `out`, which must not hold anything else.

    `name`: of the model, its file's unless said. `image`: the image's name, for KServe to pull. Raises BundleError for
    a bundle that cannot be served, UsageError for a name or place that will not do.
    """
    bundle = read_bundle(folder)
    chosen = bundle.plan.chosen_figures
    if chosen is None:
        raise BundleError(f"{folder} holds a plan without a chosen candidate", "weigh again with other requirements")
    name = name or Path(bundle.plan.subject.model).stem
    check_name(name)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not an empty folder", "choose another with --out, or empty it")
    shown = _shown(bundle, chosen, name, image or f"{name.lower()}:latest")
    files = {"docker": ("Dockerfile", "README.md"), "kserve": ("Dockerfile", "README.md", "inferenceservice.yaml")}
    try:
        shutil.copytree(bundle.folder, out / "bundle", dirs_exist_ok=True, ignore=shutil.ignore_patterns("report.html"))
        (out / "packages").mkdir()
        (out / "packages" / "put-wheels-here").touch()
        for file in files[target]:
            text = _templates().get_template(f"{file}.jinja").render(target=target, **shown)
            (out / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}", "choose another place with --out") from error
    return Exported(folder=str(out), files=files[target])


def _shown(bundle: Bundle, chosen: Figures, name: str, image: str) -> dict[str, object]:
    """What the templates tell."""
    candidate = chosen.candidate
    plan = bundle.plan
    return {
        "name": name,
        "image": image,
        "base": BASE,
        "port": PORT,
        "version": VERSION,
        "replicas": plan.replicas or 1,
        "cores": candidate.threads * candidate.workers,
        "memory_mb": max(LEAST_MEMORY_MB, round(sum(each.memory_mb for each in figures_of(plan)) * SPARE_MEMORY)),
        "candidate": candidate.id,
        "summary": plan.summary,
        "extra": "[train]" if candidate.runtime.startswith("torch") else "",
    }


def _templates() -> jinja2.Environment:
    # They are text for programs, not pages: nothing is escaped, and the names that go in were checked.
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        keep_trailing_newline=True,
    )
