"""The pipeline again with one thing changed."""
