"""Soundscapes of isolated sounds with annotated events: drawing, rendering, writing, replaying (GISE-51, Scaper)."""
