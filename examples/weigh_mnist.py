"""Weigh the network that comes with Steelyard on the digits that come with it.

Run it with: python examples/weigh_mnist.py

Leaves a bundle in `mnist-plan`; open its report.html.
"""

from __future__ import annotations

import steelyard
from steelyard.assets import mnist_model, mnist_test


def main(limit: int = 10_000, within: str = "60s") -> None:
    balance = steelyard.weigh(
        mnist_model(),
        mnist_test(),
        preprocess={"scale": 1 / 255},  # the digits are stored as 0..255, the network takes 0..1
        p95="5ms",
        quality_drop="1%",
        machine="m7a.large",
        limit=limit,
        within=within,
        out="mnist-plan",
    )
    plan = balance.plan
    print(f"{plan.status}: {plan.summary}")
    for candidate in plan.candidates:
        print(f"  {candidate.id:<36} {candidate.verdict:<13} {candidate.reason}")
    print(f"report: {balance.bundle / 'report.html'}")


if __name__ == "__main__":
    main()
