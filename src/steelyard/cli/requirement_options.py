"""Options that say what is demanded, what machines cost, and how long to look; of all commands that weigh or decide."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelyard.cli.formats import Format

REQUIRED, PRICES, SEARCH = "Requirements", "Prices", "Search and output"
Text = str | None
Out = Annotated[Format, typer.Option("--format", help="human, json (for scripts) or quiet.", rich_help_panel=SEARCH)]
Config = Annotated[Path | None, typer.Option(help="Settings file; default steelyard.toml.", rich_help_panel=SEARCH)]
Latency = Annotated[Text, typer.Option("--latency", help="Any percentile: --p95 5ms, --p99.9 20ms, or --latency p95=5ms.", metavar="pN=TIME", rich_help_panel=REQUIRED)]  # fmt: skip  # noqa: E501
Quality = Annotated[Text, typer.Option(help='Lowest value of the metric, ">=0.98"; of an error the highest, "<=0.1".', rich_help_panel=REQUIRED)]  # fmt: skip  # noqa: E501
Drop = Annotated[Text, typer.Option("--quality-drop", help="Largest loss against the reference; 1% unless said.", rich_help_panel=REQUIRED)]  # fmt: skip  # noqa: E501
Rate = Annotated[Text, typer.Option(help="Requests to be served: 500/s.", rich_help_panel=REQUIRED)]
Scenario = Annotated[Text, typer.Option(help="server, single or offline.", rich_help_panel=REQUIRED)]
Pattern = Annotated[Text, typer.Option("--arrivals", help="How requests come: poisson, gamma:2 (bursts), trace:FILE.", rich_help_panel=REQUIRED)]  # fmt: skip  # noqa: E501
Memory = Annotated[Text, typer.Option(help="Peak memory of one replica: 512MB.", rich_help_panel=REQUIRED)]
Budget = Annotated[Text, typer.Option(help="Money for all replicas: 200USD/month.", rich_help_panel=REQUIRED)]
Priority = Annotated[Text, typer.Option(help="cost, speed, quality or knee.", rich_help_panel=REQUIRED)]
Confidence = Annotated[Text, typer.Option(help="Of every verdict; 95% unless said.", rich_help_panel=REQUIRED)]
Headroom = Annotated[Text, typer.Option(help="Capacity to keep free: 20%.", rich_help_panel=REQUIRED)]
Spare = Annotated[Text, typer.Option(help="Replicas kept for failure: 1 is n+1.", rich_help_panel=REQUIRED)]
PriceText = Annotated[Text, typer.Option(help="Of one machine: 0.10USD/h.", rich_help_panel=PRICES)]
MachineName = Annotated[Text, typer.Option(help="Price of a known machine: m7a.large.", rich_help_panel=PRICES)]
Spot = Annotated[bool | None, typer.Option("--spot", help="Pay the spot price, and keep replicas to spare.", rich_help_panel=PRICES)]  # fmt: skip  # noqa: E501
MachinePrices = Annotated[list[str] | None, typer.Option("--machine-price", help="Of one of several machines that weighed: NAME=0.10USD/h.", rich_help_panel=PRICES)]  # fmt: skip  # noqa: E501
Catalogue = Annotated[Text, typer.Option(help="CSV of your own prices.", rich_help_panel=PRICES)]
Metric = Annotated[Text, typer.Option(help="accuracy, f1, recall:CLASS, auroc, mse, cosine …, or package.module:function.", rich_help_panel=REQUIRED)]  # fmt: skip  # noqa: E501
Within = Annotated[Text, typer.Option(help="Time for the whole search: 60s, 10min.", rich_help_panel=SEARCH)]
Exhaustive = Annotated[bool | None, typer.Option("--exhaustive", help="Measure every candidate to the end, drop none.", rich_help_panel=SEARCH)]  # fmt: skip  # noqa: E501
OutFolder = Annotated[Text, typer.Option("--out", help="Folder of the bundle.", rich_help_panel=SEARCH)]
Work = Annotated[Text, typer.Option(help="Folder kept between runs; default .steelyard.", rich_help_panel=SEARCH)]
LedgerPlace = Annotated[Text, typer.Option("--ledger", help="Ledger file or URL.", rich_help_panel=SEARCH)]
On = Annotated[Text, typer.Option("--on", help="Weigh on a Ray cluster's nodes: ray, or ray://HOST:PORT.", rich_help_panel=SEARCH)]  # fmt: skip  # noqa: E501
Mlflow = Annotated[Text, typer.Option("--mlflow", help="Log to MLflow: its URI, or auto for MLFLOW_TRACKING_URI.", rich_help_panel=SEARCH)]  # fmt: skip  # noqa: E501
Seconds = Annotated[Text, typer.Option("--candidate-time", help="No step of one candidate takes longer: 5min.", rich_help_panel=SEARCH)]  # fmt: skip  # noqa: E501
Most = Annotated[Text, typer.Option("--candidate-memory", help="No candidate may use more: 4GB.", rich_help_panel=SEARCH)]  # fmt: skip  # noqa: E501
