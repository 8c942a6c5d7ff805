"""A load generator for any server of the Open Inference Protocol: open loop, latency from the scheduled arrival."""
