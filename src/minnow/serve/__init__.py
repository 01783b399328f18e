"""A released model where there is no torch."""
