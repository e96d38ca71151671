"""Tracks: their structure, and the files that they are written to and read from."""
