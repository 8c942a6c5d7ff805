"""Weigh a torch module on arrays; needs the extra `train`. The labels are what the module itself answers.

Run it with: python examples/weigh_torch_module.py
"""

from __future__ import annotations

import torch
from torch import nn

import steelyard


def main(within: str = "60s") -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    inputs = torch.randn(500, 64)
    with torch.no_grad():
        labels = network(inputs).argmax(dim=1)
    balance = steelyard.weigh(
        network,
        (inputs.numpy(), labels.numpy()),
        p95="20ms",
        quality_drop="5%",
        price="0.10USD/h",
        within=within,
        out="torch-plan",
    )
    plan = balance.plan
    print(f"{plan.status}: {plan.summary}")
    if plan.quality is not None:
        print(f"the drop is at most {plan.quality.bound:.2%} at {plan.quality.confidence:.0%} confidence")


if __name__ == "__main__":
    main()
