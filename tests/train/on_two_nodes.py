"""A program beside two Ray nodes of this machine: `on_two_nodes.py ARGUMENTS…` is `python ARGUMENTS… --on ray`."""

from __future__ import annotations

import os
import subprocess
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from ray.cluster_utils import Cluster


def main() -> int:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1, resources={"steelyard": 1})
    environment = os.environ | {"RAY_ADDRESS": cluster.address}
    done = subprocess.run([sys.executable, *sys.argv[1:], "--on", "ray"], env=environment, check=False)
    cluster.shutdown()  # type: ignore[no-untyped-call]
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
