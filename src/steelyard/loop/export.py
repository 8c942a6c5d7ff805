"""A bundle becomes what others run: an image, a service of KServe, an application of Ray Serve. All answer as we do."""

from __future__ import annotations

import math
import platform
import re
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Literal

import jinja2

from steelyard.bundle import ARTEFACTS, PLAN, Bundle, read_bundle
from steelyard.errors import BundleError, UsageError
from steelyard.ladder import figures_of
from steelyard.protocol.server import DRAIN_S
from steelyard.records.base import Record
from steelyard.records.plan import Figures, Plan
from steelyard.serve.repository import check_name
from steelyard.version import VERSION

Target = Literal["docker", "kserve", "ray-serve"]

PORT, GRPC_PORT = 8000, 8001
USER = 10001
"""Who runs the server in a container: nobody that a machine has."""
GRACE_S = DRAIN_S + 15
"""Between being told to end and being killed: more than the server takes for what is under way."""
OPEN_S = 600
"""So long a server may take to open its models before it is given up."""
MOST_BUSY = 0.9
"""Share of the planned use of the processors at which more replicas are started."""
MORE_REPLICAS = 2
"""Times those that the plan needs, when more requests come than it was made for."""
SPARE_MEMORY = 1.5
"""Of what the variants were measured to take, for the server around them and for a second version meanwhile."""
LEAST_MEMORY_MB = 512
LONGEST_SERVICE = 40
"""Characters: KServe adds some, and names of hosts have at most 63."""
BASE = "python:{0[0]}.{0[1]}-slim".format(platform.python_version_tuple())
"""The Python of where this is exported, for which the versions of the engines are known to exist."""
ENGINES = ("numpy", "onnxruntime", "openvino", "torch")
"""Packages whose versions decide speed and answers."""
TEMPLATES = Path(__file__).parent / "templates"
FILES: Mapping[Target, tuple[str, ...]] = {
    "docker": ("Dockerfile", "README.md", "constraints.txt"),
    "kserve": ("Dockerfile", "README.md", "constraints.txt", "inferenceservice.yaml"),
    "ray-serve": ("README.md", "app.py", "constraints.txt", "serve.yaml"),
}


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
    image = image or f"{service_name(name)}:latest"
    check_image(image)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not an empty folder", "choose another with --out, or empty it")
    shown = _shown(bundle.plan, chosen) | {"name": name, "service": service_name(name), "image": image}
    try:
        _copy(bundle, out / "bundle")
        if target != "ray-serve":
            (out / "packages").mkdir()
            (out / "packages" / "put-wheels-here").touch()
        for file in FILES[target]:
            template = f"README.{target}.md" if file == "README.md" else file
            (out / file).write_text(_templates().get_template(f"{template}.jinja").render(shown), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}", "choose another place with --out") from error
    return Exported(folder=str(out), files=FILES[target])


def service_name(name: str) -> str:
    """What Kubernetes and Ray call the model: small letters, digits and hyphens, a letter first."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST_SERVICE].rstrip("-")
    return plain if plain[:1].isalpha() else f"model-{plain}".rstrip("-")


def check_image(image: str) -> None:
    """Refuse what cannot be an image's name: it is written into files that other programs read."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}", image):
        raise UsageError(f"'{image[:80]}' is no name of an image", "for example --image registry.example.org/digits:1")


def _copy(bundle: Bundle, into: Path) -> None:
    """The plan and the files that it names: nothing else that lies in the folder is given away."""
    into.mkdir(parents=True)
    shutil.copyfile(bundle.folder / PLAN, into / PLAN)
    for variant, hashes in bundle.plan.artefacts.items():
        for file in hashes:
            target = into / ARTEFACTS / variant / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.artefact(variant) / file, target)


def _shown(plan: Plan, chosen: Figures) -> dict[str, object]:
    """What the templates tell of the plan."""
    candidate, replicas = chosen.candidate, plan.replicas or 1
    ongoing, most_ongoing = _ongoing(plan, chosen)
    return {
        "version": VERSION,
        "base": BASE,
        "user": USER,
        "port": PORT,
        "grpc_port": GRPC_PORT,
        "grace_s": GRACE_S,
        "open_s": OPEN_S,
        "replicas": replicas,
        "most_replicas": replicas * MORE_REPLICAS,
        "cores": candidate.threads * candidate.workers,
        "busy": round(100 / (1 + plan.requirements.headroom) * MOST_BUSY),
        "memory_mb": max(LEAST_MEMORY_MB, round(sum(each.memory_mb for each in figures_of(plan)) * SPARE_MEMORY)),
        "ongoing": ongoing,
        "most_ongoing": most_ongoing,
        # A plan may come from anywhere: what it tells must not begin a line of its own.
        "candidate": " ".join(candidate.id.split()),
        "summary": " ".join(plan.summary.split()),
        "extras": ("train",) if any("torch" in each.candidate.runtime for each in figures_of(plan)) else (),
        "engines": _engines(),
    }


def _ongoing(plan: Plan, chosen: Figures) -> tuple[float, int]:
    """Requests that a replica has at once: on average under the plan's load, and at most within the plan's bound.

    By Little's law: how many come in a second, times how long each stays. Workers must also find full batches.
    """
    latency, bound = chosen.latency, plan.requirements.latency
    stays_ms = sum(latency.quantiles) / len(latency.quantiles) if latency.quantiles else latency.p50
    batches = 2 * chosen.candidate.workers * chosen.candidate.max_batch
    within_bound = 0.0 if bound is None else chosen.capacity_per_replica * bound.bound_ms / 1000
    return max(1.0, round(latency.rate_per_s * stays_ms / 1000, 1)), max(batches, math.ceil(within_bound))


def _engines() -> dict[str, str]:
    """Versions of what is installed here, without what tells one build from another."""
    installed = {each.metadata["Name"].lower(): each.version for each in metadata.distributions()}
    return {name: installed[name].partition("+")[0] for name in ENGINES if name in installed}


def _templates() -> jinja2.Environment:
    # They are text for programs, not pages: nothing is escaped, and the names that go in were checked.
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        keep_trailing_newline=True,
    )
