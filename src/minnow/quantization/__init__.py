"""From a float student to a packed one that fits a size."""
