"""The options of `weigh` that say where the validation data is and how it goes into the model."""

from __future__ import annotations

from typing import Annotated

import typer

PANEL = "Data"
Text = str | None
Texts = list[str] | None
Number = int | None

Data = Annotated[
    Text,
    typer.Option(
        help=".npz, .csv, .jsonl, .parquet, folder of class folders, images with --manifest, or "
        "package.module:function.",
        rich_help_panel=PANEL,
    ),
]
Variants = Annotated[
    Texts, typer.Option("--variant", help="Another model, weighed as a variant of this one: small=small.onnx.")
]
Labels = Annotated[Text, typer.Option(help="Array or column that holds the labels.", rich_help_panel=PANEL)]
Classes = Annotated[
    Text, typer.Option(help="Names of the classes in the order of the outputs: cat,dog.", rich_help_panel=PANEL)
]
Calibration = Annotated[Text, typer.Option(help="Array, or table, that only calibrates.", rich_help_panel=PANEL)]
Inputs = Annotated[
    Texts, typer.Option("--input", help="Model input and array or columns: image=x, x=a,b.", rich_help_panel=PANEL)
]
Columns = Annotated[
    Text, typer.Option(help="Columns of a table for the model's one input: a,b,c.", rich_help_panel=PANEL)
]
Tokenizer = Annotated[Text, typer.Option(help="tokenizer.json for columns of text.", rich_help_panel=PANEL)]
Words = Annotated[Texts, typer.Option("--text", help="Column of text; twice for pairs.", rich_help_panel=PANEL)]
MaxTokens = Annotated[Number, typer.Option(help="Longer texts are cut.", rich_help_panel=PANEL)]
Padding = Annotated[
    bool | None,
    typer.Option(
        "--padding/--no-padding",
        help="Items of different length may be filled up; yes where there is a mask.",
        rich_help_panel=PANEL,
    ),
]
Missing = Annotated[
    Text, typer.Option(help="Items with missing values: drop, or keep for the model.", rich_help_panel=PANEL)
]
Duplicates = Annotated[Text, typer.Option(help="Equal items: drop or keep.", rich_help_panel=PANEL)]
Manifest = Annotated[Text, typer.Option(help="CSV naming images and their labels.", rich_help_panel=PANEL)]
Offset = Annotated[Number, typer.Option(help="Added to every label.", rich_help_panel=PANEL)]
Limit = Annotated[Number, typer.Option(help="Use at most this many items.", rich_help_panel=PANEL)]
Seed = Annotated[Number, typer.Option(help="Of the split.", rich_help_panel=PANEL)]
Preprocess = Annotated[
    Texts, typer.Option(help="KEY=VALUE: resize=224, mean=127, std=128, scale=0.0039 …", rich_help_panel=PANEL)
]
Output = Annotated[
    Text, typer.Option("--output", help="The model's output that is judged.", rich_help_panel="Requirements")
]
