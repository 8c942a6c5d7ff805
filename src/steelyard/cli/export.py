"""`steelyard export`: its options. What it does is imported once it runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from steelyard.cli.formats import Format


class To(StrEnum):
    """Who runs it."""

    docker = "docker"
    kserve = "kserve"
    ray_serve = "ray-serve"


def export_command(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    to: Annotated[
        To,
        typer.Option(
            "--to", help="docker: an image; kserve: an image and an InferenceService; ray-serve: an application."
        ),
    ] = To.docker,
    out: Annotated[Path, typer.Option(help="An empty folder, or one that is not there yet.")] = Path("export"),
    name: Annotated[str, typer.Option(help="Of the model; that of its file unless said.")] = "",
    image: Annotated[str, typer.Option(help="Of the image, with its registry and tag.")] = "",
    form: Annotated[Format, typer.Option("--format", help="human, json (for scripts) or quiet.")] = Format.human,
) -> None:
    """Write a bundle down as something that others run: the same server, the same files."""
    from steelyard.loop.export import export
    from steelyard.records.base import to_json

    exported = export(bundle, to.value, out, name, image)
    if form is Format.json:
        typer.echo(to_json(exported).decode())
    elif form is Format.human:
        typer.echo(
            f"{exported.folder}: {', '.join(exported.files)}, and the bundle. README.md there says how to go on."
        )
