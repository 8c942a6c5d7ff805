"""Build the catalogue of prices that Steelyard ships, from a copy of the generated tables of Karpenter for AWS.

Reads in `--source`: `aws_us_east_1.csv` (prices joined with the instance types' sizes), `SOURCE.txt` (commit) and
`zz_generated.pricing_aws.go` (date and region; every price must agree with it).
Writes into `--out`: `aws_us_east_1.csv` and `aws_us_east_1.toml`. The same source gives the same bytes.

    python scripts/build_prices.py --source FOLDER
"""

from __future__ import annotations

import argparse
import csv
import os
import re
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "src" / "steelyard" / "machines"
NAME = "aws_us_east_1.csv"
COLUMNS = {
    "machine": "instance_type",
    "usd_per_hour": "usd_per_hour",
    "vcpu": "vcpu",
    "memory_mib": "memory_mib",
    "arch": "arch",
    "cpu_vendor": "cpu_vendor",
    "clock_mhz": "clock_mhz",
    "gpu_count": "gpu_count",
    "gpu_name": "gpu_name",
}
"""Our column → the source's."""

CATALOGUE = """# Written by scripts/build_prices.py: columns of the source chosen and renamed, rows sorted by name.
title = "AWS on-demand"
region = "{region}"
date = {date}
currency = "USD"
file = "{name}"

[source]
repository = "https://github.com/aws/karpenter-provider-aws"
commit = "{commit}"
files = ["pkg/providers/pricing/zz_generated.pricing_aws.go", "website/content/en/docs/reference/instance-types.md"]
licence = "Apache-2.0"
notice = \"\"\"
Karpenter
Copyright Amazon.com, Inc. or its affiliates. All Rights Reserved.

{notice}
\"\"\"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    mirror = os.environ.get("STEELYARD_DATA")
    default = Path(mirror, "prices_aws_karpenter") if mirror else None
    parser.add_argument("--source", type=Path, default=default, required=not mirror)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    generated = (options.source / "zz_generated.pricing_aws.go").read_text(encoding="utf-8")
    machines = read_machines(options.source / NAME)
    check_prices(machines, generated)
    options.out.mkdir(parents=True, exist_ok=True)
    write_machines(machines, options.out / NAME)
    notes = describe(generated, (options.source / "SOURCE.txt").read_text(encoding="utf-8"))
    (options.out / NAME).with_suffix(".toml").write_text(notes, encoding="utf-8", newline="\n")
    print(f"{len(machines)} machines")


def read_machines(path: Path) -> list[dict[str, str]]:
    """Rows with our columns, sorted by name."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{ours: row[theirs] for ours, theirs in COLUMNS.items()} for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: row["machine"])


def check_prices(machines: list[dict[str, str]], generated: str) -> None:
    """Stop when a price of the table differs from the generated source."""
    prices = dict(re.findall(r'"([a-z0-9.-]+)": (\d+\.\d+)', generated))
    wrong = [row["machine"] for row in machines if float(row["usd_per_hour"]) != float(prices.get(row["machine"], 0))]
    if wrong:
        raise SystemExit(f"the price of {', '.join(wrong)} differs from zz_generated.pricing_aws.go")


def write_machines(machines: list[dict[str, str]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(machines)


def describe(generated: str, source: str) -> str:
    """Date, region, origin and licence notice, as TOML."""
    made = found(r"generated at (\d{4}-\d\d-\d\d)T\S+ for (\S+)", generated)
    commit = found(r"karpenter-provider-aws @ ([0-9a-f]{40})", source)
    notice = found(r"/\*\n(Licensed under the Apache License.*?)\n\*/", generated)
    return CATALOGUE.format(date=made[1], region=made[2], commit=commit[1], notice=notice[1], name=NAME)


def found(pattern: str, text: str) -> re.Match[str]:
    match = re.search(pattern, text, re.DOTALL)
    if match is None:
        raise SystemExit(f"the source does not hold what was expected: {pattern}")
    return match


if __name__ == "__main__":
    main()
