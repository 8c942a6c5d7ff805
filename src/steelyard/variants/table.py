"""The table of variants."""

from __future__ import annotations

from steelyard.records.engine import VariantSpec

VARIANTS: dict[str, VariantSpec] = {
    # From what changes the answers least to what may change them most: they are proven in this order.
    "original": VariantSpec(
        name="original",
        maker="steelyard.variants.original:make",
        reads=("onnx", "openvino"),
        writes=None,
        runtimes=(
            "onnxruntime",
            "openvino",
            "torch",
            "torch-inductor",
            "onnxruntime-cuda",
            "onnxruntime-tensorrt",
        ),
        summary="the model as it was given",
    ),
    "optimised": VariantSpec(
        name="optimised",
        maker="steelyard.variants.optimised:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime",),
        packages=("onnxruntime",),
        summary="ONNX Runtime's graph optimisations made beforehand: loads sooner",
    ),
    "tf32": VariantSpec(
        name="tf32",
        maker="steelyard.variants.original:make",
        reads=("onnx",),
        writes=None,
        runtimes=("onnxruntime-cuda", "onnxruntime-tensorrt"),
        precisions=("tf32",),
        summary="the model as it was given, products rounded to TF32 as GPUs do it",
    ),
    "bf16": VariantSpec(
        name="bf16",
        maker="steelyard.variants.original:make",
        reads=("onnx", "openvino"),
        writes=None,
        runtimes=("openvino",),
        precisions=("bf16",),
        summary="the model as it was given, computed in bfloat16",
    ),
    "int8-dynamic": VariantSpec(
        name="int8-dynamic",
        maker="steelyard.variants.int8_dynamic:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime",),
        packages=("onnx", "onnxruntime"),
        summary="8-bit weights of matrix products and LSTMs; activations are scaled while it runs",
    ),
    "int8-nncf": VariantSpec(
        name="int8-nncf",
        maker="steelyard.variants.int8_nncf:make",
        reads=("onnx", "openvino"),
        writes="openvino",
        runtimes=("openvino",),
        precisions=("f32", "bf16"),
        calibrates=True,
        packages=("nncf", "openvino"),
        summary="8-bit weights and activations, scaled once on calibration items by NNCF",
    ),
    "int8-static": VariantSpec(
        name="int8-static",
        maker="steelyard.variants.int8_static:make",
        reads=("onnx",),
        writes="onnx",
        runtimes=("onnxruntime", "openvino"),
        precisions=("f32", "bf16"),
        calibrates=True,
        packages=("onnx", "onnxruntime"),
        summary="8-bit weights and activations, scaled once on calibration items by ONNX Runtime",
    ),
}
