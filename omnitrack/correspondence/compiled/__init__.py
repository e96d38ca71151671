"""What flow and the filter do most, compiled: the extra ``fast``. Importing a part needs numba.

Each part stands beside a reference of the same interface in numpy or torch, which is used where numba is not installed
or a part does not agree with it (`omnitrack.compiled_parts`).
"""
