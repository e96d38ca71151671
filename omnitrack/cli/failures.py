"""The one place where exceptions become ``error:`` and ``hint:``."""

from __future__ import annotations

import difflib
import errno
import os
import shlex
import signal
import sys
from typing import Any

from omnitrack.errors import OmnitrackError, UsageError

RESUMED_BY_FLAG = ("fit",)


class Terminated(KeyboardInterrupt):
    """SIGTERM, by which Slurm, systemd and Docker end a process: it stops the work as Ctrl-C does."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM inside a command; typer would leave on a `KeyboardInterrupt` without a word.

    Args:
        by: What stopped it.
    """

    def __init__(self, by: KeyboardInterrupt) -> None:
        super().__init__()
        self.by = by


def stop_on_sigterm() -> None:
    """Let SIGTERM stop this process as Ctrl-C does; what was finished is saved."""

    def stop(*_: object) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)


def explain(error: BaseException, arguments: list[str], kept: str = "") -> OmnitrackError:
    """Say what went wrong and what to type next.

    Args:
        error: Anything that a command let through.
        arguments: The command line, without the program's name.
        kept: Names what was finished before it was stopped, and stays; empty: nothing.

    Returns:
        A known failure; an unexpected one says so.
    """
    if isinstance(error, OmnitrackError):
        return error
    if isinstance(error, (KeyboardInterrupt, Interrupted)):
        by = error.by if isinstance(error, Interrupted) else error
        word, status = ("stopped by SIGTERM", 143) if isinstance(by, Terminated) else ("interrupted", 130)
        told, hint = f"kept: {kept}", f"go on with: {resume_command(arguments)}"
        if not kept:
            told, hint = "nothing was finished yet", f"start again with: {shlex.join(['omnitrack', *arguments])}"
        stopped = OmnitrackError(f"{word}; {told}", hint)
        stopped.exit_status = status
        return stopped
    if hasattr(error, "format_message"):  # click's own, which typer vendors from 0.26 on: no common class to name
        return _usage(error)
    return _system_error(error) or _out_of_memory(error) or _unexpected(error)


def resume_command(arguments: list[str]) -> str:
    """The command line that goes on where this one stopped."""
    by_flag = bool(arguments) and arguments[0] in RESUMED_BY_FLAG and "--resume" not in arguments
    return shlex.join(["omnitrack", *arguments, *(["--resume"] if by_flag else [])])


def _usage(error: Any) -> UsageError:
    """A click exception in our wording: what is wrong, then the nearest right thing or where to read about it."""
    possibilities = getattr(error, "possibilities", None)
    message, _, suggestion = error.format_message().partition(". Did you mean ")
    if possibilities:
        nearest = difflib.get_close_matches(error.option_name, possibilities, n=1, cutoff=0)
        message, suggestion = error.message, f"{nearest[0]}?"
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "omnitrack"
    hint = f"did you mean {suggestion}" if suggestion else f"see what it takes: {path} --help"
    return UsageError(message[:1].lower() + message[1:].rstrip("."), hint)


def _system_error(error: BaseException) -> OmnitrackError | None:
    if not isinstance(error, OSError):
        return None
    named = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, (str, bytes)) else ""
    # HDF5 reports a full disk in its text, without an errno
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
    # torch's allocator and OpenCV have no exception class of their own for a full main memory
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
