"""Serving: requests on one side, batches on the streams of a candidate on the other."""
