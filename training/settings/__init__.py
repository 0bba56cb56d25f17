"""Settings of a run: dataclasses, and the YAML recipes that fill them."""
