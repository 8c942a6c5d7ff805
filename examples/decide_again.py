"""Ask the ledger of an earlier weighing what other rates would cost. Run weigh_mnist.py first, in the same folder.

Run it with: python examples/decide_again.py
"""

from __future__ import annotations

import steelyard


def main() -> None:
    print("requests/s  replicas  USD/month  candidate")
    for rate in (100, 10_000, 100_000, 1_000_000):
        plan = steelyard.decide("mnist_cnn", p95="5ms", rate=f"{rate}/s", machine="m7a.large")
        if plan.chosen is None or plan.cost is None or plan.cost.per_month is None:
            print(f"{rate:>10,}  {plan.summary}")
        else:
            print(f"{rate:>10,}  {plan.replicas:>8}  {plan.cost.per_month:>9,.2f}  {plan.chosen.id}")


if __name__ == "__main__":
    main()
