"""Training: from a recipe and data to a network that is ready to be weighed."""
