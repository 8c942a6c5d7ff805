"""Bundles as an application that others run: the HTTP side of `steelyard serve` without its server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from steelyard.bundle import read_plan
from steelyard.errors import UsageError
from steelyard.loop.serving import Offer, Served, name_of
from steelyard.protocol.addresses import token_of
from steelyard.protocol.embedded import Embedded
from steelyard.serve.repository import check_name


def embedded(bundles: str | Path | Mapping[str, str | Path], settings: Served) -> Embedded:
    """An application that opens the bundles with its lifespan. Of `settings`, address and ports mean nothing.

    Raises BundleError for what is no bundle, InputError for a name or token that will not do: at once, not later.
    """
    if isinstance(bundles, Mapping):
        folders = {name: Path(folder).absolute() for name, folder in bundles.items()}
    else:
        folders = {name_of(Path(bundles)): Path(bundles).absolute()}
    if not folders:
        raise UsageError("there is no bundle to serve", "give a folder, or names with their folders")
    for name, folder in folders.items():
        check_name(name)
        read_plan(folder)
    token = token_of(settings.token_file)

    def opened() -> Offer:
        offer = Offer(folders, settings, token)
        offer.open()
        return offer

    return Embedded(opened)
