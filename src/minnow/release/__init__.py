"""The folder that ships, and its loader."""
