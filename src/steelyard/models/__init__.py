"""Read and check a portable model (ONNX or OpenVINO IR), and make one from a torch module."""
