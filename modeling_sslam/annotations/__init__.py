"""Annotated sound events: what they are, their formats, and the targets that models are trained on."""
