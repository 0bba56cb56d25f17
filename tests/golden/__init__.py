"""Recorded numbers of the official implementations, and the handlers that hold this package against them."""
