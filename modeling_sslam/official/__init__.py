"""Readers of the authors' checkpoints, one a family; `load_official` finds the one for a file."""
