"""Weigh and train on the machines of a cluster: what a node does, how Ray reaches it, and how the work is spread."""
