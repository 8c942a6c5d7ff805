"""`steelyard weigh`, `demo` and `decide`: their options. What they do is imported once they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from steelyard.cli.data_options import (
    Calibration,
    Classes,
    Columns,
    Data,
    Duplicates,
    Inputs,
    Labels,
    Limit,
    Manifest,
    MaxTokens,
    Missing,
    Offset,
    Output,
    Padding,
    Preprocess,
    Seed,
    Tokenizer,
    Variants,
    Words,
)
from steelyard.cli.formats import Format
from steelyard.cli.requirement_options import (
    Budget,
    Catalogue,
    Confidence,
    Config,
    Drop,
    Exhaustive,
    Headroom,
    Latency,
    LedgerPlace,
    MachineName,
    MachinePrices,
    Memory,
    Metric,
    Mlflow,
    Most,
    On,
    Out,
    OutFolder,
    Pattern,
    PriceText,
    Priority,
    Quality,
    Rate,
    Scenario,
    Seconds,
    Spare,
    Spot,
    Within,
    Work,
)


def weigh_command(
    model: Annotated[str | None, typer.Argument(help="The model: .onnx, or OpenVINO .xml.")] = None,
    variants: Variants = None,
    data: Data = None,
    labels: Labels = None,
    classes: Classes = None,
    calibration: Calibration = None,
    inputs: Inputs = None,
    columns: Columns = None,
    tokenizer: Tokenizer = None,
    text: Words = None,
    max_tokens: MaxTokens = None,
    padding: Padding = None,
    missing: Missing = None,
    duplicates: Duplicates = None,
    manifest: Manifest = None,
    label_offset: Offset = None,
    limit: Limit = None,
    seed: Seed = None,
    preprocess: Preprocess = None,
    metric: Metric = None,
    output: Output = None,
    latency: Latency = None,
    quality: Quality = None,
    quality_drop: Drop = None,
    rate: Rate = None,
    scenario: Scenario = None,
    arrivals: Pattern = None,
    memory: Memory = None,
    budget: Budget = None,
    priority: Priority = None,
    confidence: Confidence = None,
    headroom: Headroom = None,
    spare: Spare = None,
    price: PriceText = None,
    machine: MachineName = None,
    spot: Spot = None,
    machines: MachinePrices = None,
    catalogue: Catalogue = None,
    within: Within = None,
    exhaustive: Exhaustive = None,
    out: OutFolder = None,
    work: Work = None,
    ledger: LedgerPlace = None,
    on: On = None,
    mlflow: Mlflow = None,
    candidate_time: Seconds = None,
    candidate_memory: Most = None,
    config: Config = None,
    form: Out = Format.human,
) -> None:
    """Weigh a model: find the cheapest way to run it that keeps every requirement, and prove it."""
    from steelyard.cli import run

    run.weigh(_flags(locals()), config, form.value)


def demo_command(
    out: OutFolder = None,
    work: Work = None,
    within: Within = None,
    latency: Latency = None,
    price: PriceText = None,
    machine: MachineName = None,
    form: Out = Format.human,
) -> None:
    """Weigh the network that comes with Steelyard on the digits that come with it. Needs no network."""
    from steelyard.cli import run

    run.demo(_flags(locals()), form.value)


def decide_command(
    bundle: Annotated[Path | None, typer.Argument(help="A bundle whose subject and requirements are meant.")] = None,
    subject: Annotated[str, typer.Option(help="Name or key of the subject; default the newest.")] = "",
    latency: Latency = None,
    quality: Quality = None,
    quality_drop: Drop = None,
    rate: Rate = None,
    scenario: Scenario = None,
    arrivals: Pattern = None,
    memory: Memory = None,
    budget: Budget = None,
    priority: Priority = None,
    confidence: Confidence = None,
    headroom: Headroom = None,
    spare: Spare = None,
    price: PriceText = None,
    machine: MachineName = None,
    spot: Spot = None,
    machines: MachinePrices = None,
    catalogue: Catalogue = None,
    work: Work = None,
    ledger: LedgerPlace = None,
    config: Config = None,
    form: Out = Format.human,
) -> None:
    """Answer new requirements or prices from the ledger at once, without measuring."""
    from steelyard.cli import run

    run.decide(bundle, subject, _flags(locals()), config, form.value)


def _flags(given: dict[str, Any]) -> dict[str, Any]:
    """The settings among a command's arguments."""
    return {k: v for k, v in given.items() if k not in ("config", "form", "bundle", "subject", "run")}
