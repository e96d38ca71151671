"""Tracks in the file formats of other programs: one pure function per format, and their table (`formats.py`)."""
