"""Rows from a source to splits."""
