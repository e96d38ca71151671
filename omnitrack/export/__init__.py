"""Tracks in the files of other programs: a pure function a format, and the table of them (`formats.py`)."""
