"""Rows of `python -m training.benchmark`."""
