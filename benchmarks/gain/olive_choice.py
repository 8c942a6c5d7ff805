"""What Olive chooses for a model: run in an environment of Olive's own (`pip install olive-ai onnxruntime requests`).

    python olive_choice.py MODEL.onnx DATA.npz OUT SECONDS

DATA.npz: for each model input an array `input:NAME` (first axis = items), and `labels`. The first tenth of the items
calibrates, the rest judges. Olive searches twice for SECONDS each, with and without quantisation, both with the tuning
of ONNX Runtime's session; the fastest model that loses at most one point of accuracy is written to OUT as `model.onnx`,
with the tuned settings in `settings.json`.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from olive import run
from olive.common import config_utils
from olive.data.registry import Registry

# Olive 0.13 asks an enumeration for None while it reads an evaluator back, and fails on the answer's `lower`.
_missing = config_utils.CaseInsensitiveEnum._missing_.__func__
config_utils.CaseInsensitiveEnum._missing_ = classmethod(lambda cls, value: value and _missing(cls, value))

MODEL, DATA, OUT, SECONDS = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
ARRAYS = dict(np.load(DATA, allow_pickle=False))
LABELS = ARRAYS.pop("labels")
INPUTS = {name.removeprefix("input:"): array for name, array in ARRAYS.items()}
CALIBRATE = len(LABELS) // 10


class Items:
    """One item at a time with its label, as Olive's loaders want it."""

    def __init__(self, start: int, stop: int) -> None:
        self._start, self._stop = start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, place: int) -> tuple[dict[str, Any], Any]:
        if not 0 <= place < len(self):
            raise IndexError(place)
        return {name: array[self._start + place] for name, array in INPUTS.items()}, LABELS[self._start + place]


@Registry.register_dataset("calibration_items")
def calibration_items(**_: Any) -> Items:
    return Items(0, CALIBRATE)


@Registry.register_dataset("judging_items")
def judging_items(**_: Any) -> Items:
    return Items(CALIBRATE, len(LABELS))


@Registry.register_post_process("most_likely_class")
def most_likely_class(outputs: Any, **_: Any) -> Any:
    """The class of each item."""
    scores = outputs if hasattr(outputs, "argmax") else next(iter(outputs.values()))
    return scores.argmax(-1)


def config(folder: Path, quantised: bool) -> dict[str, Any]:
    """Olive's own defaults of what to search, on the CPU, for latency at no more than one point of accuracy lost."""
    tuning = {"type": "OrtSessionParamsTuning", "data_config": "judging", "cpu_cores": 2}
    quantisation = {"type": "OnnxQuantization", "data_config": "calibration"}
    classes = {"task": "multiclass", "num_classes": int(LABELS.max()) + 1}
    degradation = {"type": "max-degradation", "value": 0.01}
    return {
        "input_model": {"type": "ONNXModel", "model_path": str(MODEL)},
        "systems": {
            "here": {
                "type": "LocalSystem",
                "accelerators": [{"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}],
            }
        },
        "data_configs": [
            {
                "name": name,
                "type": "DataContainer",
                "load_dataset_config": {"type": f"{name}_items"},
                "pre_process_data_config": {"type": "skip_pre_process"},
                "post_process_data_config": {"type": "most_likely_class"},
            }
            for name in ("calibration", "judging")
        ],
        "evaluators": {
            "both": {
                "metrics": [
                    {
                        "name": "accuracy",
                        "type": "accuracy",
                        "data_config": "judging",
                        "sub_types": [
                            {"name": "accuracy_score", "priority": 1, "goal": degradation, "metric_config": classes}
                        ],
                    },
                    {
                        "name": "latency",
                        "type": "latency",
                        "data_config": "judging",
                        "sub_types": [{"name": "avg", "priority": 2}],
                    },
                ]
            }
        },
        "passes": {"quantisation": quantisation, "tuning": tuning} if quantised else {"tuning": tuning},
        "evaluator": "both",
        "host": "here",
        "target": "here",
        "search_strategy": {"execution_order": "joint", "sampler": "tpe", "max_time": SECONDS, "seed": 0},
        "output_dir": str(folder),
        "cache_dir": str(folder / "cache"),
        "log_severity_level": 2,
    }


def main() -> None:
    found = []
    for quantised in (False, True):
        folder = OUT / ("quantised" if quantised else "plain")
        output = run(config(folder, quantised))
        for model in output.get_output_models():
            metrics = {name: one["value"] for name, one in model.metrics_value.items()}
            settings = model.get_inference_config() or {}
            found.append((metrics, model.model_path, settings))
            print(metrics, settings, file=sys.stderr)
    reference = max(metrics["accuracy-accuracy_score"] for metrics, _, _ in found[:1])
    able = [one for one in found if one[0]["accuracy-accuracy_score"] >= reference - 0.01]
    metrics, path, settings = min(able, key=lambda one: one[0]["latency-avg"])
    shutil.copyfile(path, OUT / "model.onnx")
    (OUT / "settings.json").write_text(json.dumps({"metrics": metrics, "settings": settings}, default=str))


if __name__ == "__main__":
    main()
