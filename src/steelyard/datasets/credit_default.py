"""Credit default: customers of a bank in Taiwan in 2005, and whether they paid their credit card's bill next month.

Yeh and Lien, The comparisons of data mining techniques for the predictive accuracy of probability of default of credit
card clients, Expert Systems with Applications 36, 2009; UCI Machine Learning Repository, https://doi.org/10.24432/C55S3H.
These are the 24,000 of UCI's 30,000 rows that PyCaret publishes as CSV; UCI itself has an Excel sheet.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from steelyard.datasets.examples import Array, Examples
from steelyard.datasets.sources import DataSet, Remote

FILE = "credit.csv"
TARGET = "default"
CLASSES = ("paid", "default")
WORDS: Mapping[str, Mapping[int, str]] = {
    "SEX": {1: "male", 2: "female"},
    "EDUCATION": {1: "graduate school", 2: "university", 3: "high school", 4: "other"},
    "MARRIAGE": {1: "married", 2: "single", 3: "other"},
}
"""What numbers stand for in columns of categories; other numbers occur, and nobody says what they mean: unknown."""
_MONEY = ("LIMIT_BAL", "BILL_AMT", "PAY_AMT")


def read(files: Mapping[str, Path]) -> Examples:
    """24,000 items without parts: 3 columns of categories, 20 of numbers (amounts in New Taiwan dollars)."""
    with files[FILE].open(encoding="utf-8") as lines:
        names = next(lines).strip().split(",")
        values = np.loadtxt(lines, np.float64, delimiter=",", ndmin=2)
    columns = dict(zip(names, values.T, strict=True))
    targets = columns.pop(TARGET).astype(np.int64)
    return Examples("table", {name: _column(name, found) for name, found in columns.items()}, targets, CLASSES)


def _column(name: str, values: Array) -> Array:
    if name in WORDS:
        return np.array([WORDS[name].get(int(value), "unknown") for value in values], object)
    return values.astype(np.float32 if name.startswith(_MONEY) else np.int64)


CREDIT_DEFAULT = DataSet(
    name="credit-default",
    about="24,000 customers of a bank, 23 columns, and whether they paid next month",
    licence="CC BY 4.0 (the data, UCI), MIT (PyCaret's repository)",
    source="https://archive.ics.uci.edu/dataset/350/default+of+credit+card+clients",
    folder="credit_default",
    ways=(
        (
            Remote(
                FILE,
                ("sha256:0f2c8fcc66e1f90e5fa79b92df18c0a67f8c7c4ec1eabbc4fd256438bcc608bf",),
                (
                    "https://raw.githubusercontent.com/pycaret/datasets/6999ad055606031b6c24d26e5a0ed71fede11f5f/"
                    "data/common/credit.csv",
                ),
            ),
        ),
    ),
    read=read,
)
