"""Pipelines for recordings of any rate and length."""
