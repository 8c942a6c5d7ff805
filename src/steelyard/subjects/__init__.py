"""What can be weighed. The first kind: a model with validation data."""
