"""Explanation of exceptions to the user of the command line: the cause, and what to type next."""

from __future__ import annotations

import errno
import os
import sys

from omnitrack.errors import OmnitrackError


def diagnose(error: BaseException) -> OmnitrackError:
    """Return the known failure behind an exception; an unexpected exception is reported as a fault of omnitrack."""
    if isinstance(error, OmnitrackError):
        return error
    return _system_error(error) or _out_of_memory(error) or _unexpected(error)


def _system_error(error: BaseException) -> OmnitrackError | None:
    if not isinstance(error, OSError):
        return None
    named = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, (str, bytes)) else ""
    # HDF5 reports a full disk in its message, without an errno
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
        return OmnitrackError(f"the disk is full{named}", "free some space and type the same command again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and named:
        return OmnitrackError(f"no permission to use this path{named}", "check its owner and permissions")
    if error.errno is not None and named:
        return OmnitrackError(f"{(error.strerror or 'cannot use this path').lower()}{named}", "check the path")
    return None


def _out_of_memory(error: BaseException) -> OmnitrackError | None:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return OmnitrackError(
            "the GPU is out of memory",
            "use less of it with a smaller --set fit.anchors=N, or the processor with --device cpu",
        )
    # torch's CPU allocator and OpenCV have no exception class for running out of memory
    told = any(text in str(error) for text in ("DefaultCPUAllocator", "Insufficient memory"))
    if told or isinstance(error, MemoryError):
        return OmnitrackError(
            "the computer is out of memory",
            "use a smaller --set fit.anchors=N, or a smaller project: omnitrack init VIDEO PROJECT --max-size 480",
        )
    return None


def _unexpected(error: BaseException) -> OmnitrackError:
    return OmnitrackError(
        f"unexpected {type(error).__name__}: {error}",
        "this is a fault of omnitrack; run again with -v for the traceback, and report it with that text",
    )
