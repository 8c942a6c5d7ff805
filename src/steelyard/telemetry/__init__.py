"""Seeing a server at work: metrics, history, the live page, logs and spans."""
