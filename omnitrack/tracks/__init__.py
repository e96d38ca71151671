"""Tracks: their data structure, and reading and writing their files."""
