"""Studies: what is trained and measured, arm by arm and seed by seed, to see whether a claim holds at a small size."""
