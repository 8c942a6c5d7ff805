"""The Open Inference Protocol over HTTP and gRPC: what comes in from the wire, and what goes out."""
