"""The ffmpeg program that comes with imageio: how it is found, started, and what it complains about."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import IO

from omnitrack.errors import OmnitrackError

_PREFIX = re.compile(r"^(\[[^\]]* @ 0x[0-9a-f]+\] )*\[(error|fatal|panic)\] ")


def start_ffmpeg(arguments: list[str], log: IO[bytes], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start ffmpeg with its standard output piped and its messages going to `log` instead of the terminal.

    Args:
        arguments: What follows the program's name.
        log: An open binary file that receives the messages, each with its level.
        stdin: As for `subprocess.Popen`.

    Raises:
        OmnitrackError: There is no ffmpeg.
    """
    import imageio_ffmpeg

    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
        command = [program, "-hide_banner", "-nostats", "-loglevel", "level+info", *arguments]
        return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=log)
    except (RuntimeError, OSError) as error:
        raise OmnitrackError(f"ffmpeg cannot be started: {error}", "pip install --upgrade imageio-ffmpeg") from error


def local_file(path: Path) -> str:
    """A path as ffmpeg takes it: never read as an option, a URL or one of its own protocols."""
    return f"file:{path}"


def read_log(log: IO[bytes]) -> str:
    """Everything ffmpeg said so far."""
    log.seek(0)
    return log.read().decode("utf-8", "replace")


def error_lines(text: str) -> list[str]:
    """The complaints in a log, first to last, without their prefixes."""
    return [_PREFIX.sub("", line).strip() for line in text.splitlines() if _PREFIX.match(line)]
