"""Claims of papers measured in small: runs with several seeds, and intervals."""
