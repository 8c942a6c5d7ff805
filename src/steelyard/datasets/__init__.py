"""Data sets to train on: by name, with their source and licence, or a user's own. What they become is `Examples`."""
