"""Minnow: distil a text classifier into a small one, quantize it, and measure what that cost."""
