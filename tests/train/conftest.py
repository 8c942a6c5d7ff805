"""What all tests of training share."""

from one_thread import one_thread  # noqa: F401
