"""One training in a process of its own: `once.py TRAINER JOB SEED` prints the time and how right the network is.

The environment says CAREFUL=1 for what a careful user of torch does: pictures and kernels lie pixel by pixel.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

import numpy as np
from trainers.job import JOBS, parts


def main(way: str, name: str, seed: int) -> None:
    job = JOBS[name]
    training, validation, test = parts(job)
    trainer = import_module(f"trainers.by_{way}")
    network, spent = trainer.train(job, training, validation, seed)
    if way == "keras":
        outputs = network.predict(test.x, batch_size=1024, verbose=0)
    else:
        import torch

        with torch.inference_mode():
            outputs = np.concatenate([network(x).numpy() for x in torch.from_numpy(test.x).split(1024)])
    right = float((outputs.argmax(1) == test.y).mean())
    print(json.dumps({"wall": spent.wall, "cpu": spent.cpu, "accuracy": right}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
