"""Validation data: read, clean, shuffle, split, and write as rows that other processes read by number."""
