"""Two labelled Ray nodes on this machine, one of which is killed while it measures: `two_nodes.py FOLDER ARGUMENTS…`.

Runs `steelyard weigh ARGUMENTS… --on ray` beside them and hands on its standard output, error and status.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from ray.cluster_utils import Cluster

NODE: dict[str, Any] = {"num_cpus": 1, "resources": {"steelyard": 1}, "labels": {"steelyard-machine": "m7a.large"}}


def main() -> int:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(**NODE) for _ in range(2)]
    command = [sys.executable, "-m", "steelyard.cli.main", "weigh", *sys.argv[2:], "--on", "ray"]
    environment = os.environ | {"RAY_ADDRESS": cluster.address}
    with subprocess.Popen(command, cwd=sys.argv[1], env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            print(line, end="", file=sys.stderr)
            at_work = re.match(r"reference: [^:]*/(\w+): measuring", line)
            if at_work and len(nodes) == 2:
                victim = next(node for node in nodes if node.node_id.startswith(at_work[1]))
                nodes.remove(victim)
                cluster.remove_node(victim, allow_graceful=False)
    cluster.shutdown()  # type: ignore[no-untyped-call]
    return running.returncode


if __name__ == "__main__":
    sys.exit(main())
