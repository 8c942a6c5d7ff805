"""Measuring candidates, each in a child process that can be killed."""
