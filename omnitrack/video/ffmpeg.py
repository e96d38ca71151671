"""The ffmpeg program that comes with imageio: how it is started, ended, and what it complains about."""

from __future__ import annotations

import re
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from omnitrack.errors import OmnitrackError
from omnitrack.image_header import PIXEL_BYTES
from omnitrack.limits import content_limit

# ffmpeg's names of containers and streams of pictures, and of sound, so that a file of sound alone is called that.
FORMATS = (
    *("mov", "matroska", "avi", "mpeg", "mpegts", "mpegvideo", "asf", "flv", "ogg", "mxf", "gxf", "dv", "rm", "wtv"),
    *("gif", "apng", "webp_anim", "jpegxl_anim", "nut", "yuv4mpegpipe", "ivf", "obu", "av1", "h264", "hevc", "vvc"),
    *("h261", "h263", "m4v", "mjpeg", "vc1", "dirac", "dnxhd", "cavsvideo", "swf", "nsv", "roq", "smk", "bink", "r3d"),
    *("png_pipe", "jpeg_pipe", "tiff_pipe", "webp_pipe", "bmp_pipe", "j2k_pipe", "exr_pipe", "dpx_pipe"),
    *("mp3", "wav", "w64", "aac", "ac3", "flac", "aiff", "au", "caf", "amr"),
)
_COMPLAINT = re.compile(r"^(?:\[[^\]]* @ 0x[0-9a-f]+\] )*\[(?:error|fatal|panic)\] (.*)")


class Ffmpeg:
    """A running ffmpeg whose messages stay off the terminal; a context manager that ends it, done or not.

    Attributes:
        stdin: What it reads, to write to.
        stdout: What it writes, to read from.

    Args:
        arguments: What follows the program's name.

    Raises:
        OmnitrackError: There is no ffmpeg.
    """

    stdin: IO[bytes]
    stdout: IO[bytes]

    def __init__(self, *arguments: str) -> None:
        import imageio_ffmpeg

        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process; a pipe could fill up and block
        try:
            command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostats", "-loglevel", "level+info"]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen([*command, *arguments], stdin=pipe, stdout=pipe, stderr=self._log)
        except (RuntimeError, OSError) as error:
            self._log.close()
            raise OmnitrackError(
                f"ffmpeg cannot be started: {error}", "pip install --upgrade imageio-ffmpeg"
            ) from error
        assert self._process.stdin is not None and self._process.stdout is not None
        self.stdin, self.stdout = self._process.stdin, self._process.stdout

    def wait(self) -> int:
        """Let it finish with the input it has; returns its exit status."""
        with suppress(BrokenPipeError):  # it ended early: the status tells
            self.stdin.close()
        return self._process.wait()

    def log(self) -> str:
        """Everything it said so far."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")

    def complaints(self) -> list[str]:
        """The errors in its log, first to last, without their prefixes."""
        return [found[1].strip(" .") for line in self.log().splitlines() if (found := _COMPLAINT.match(line))]

    def stop(self) -> None:
        """End it now."""
        self._process.kill()

    def __enter__(self) -> Ffmpeg:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.wait()
        self.stdout.close()
        self._log.close()


def local_file(path: Path) -> str:
    """A path as ffmpeg takes it: never read as an option, a URL or one of its own protocols."""
    return f"file:{path}"


def input_file(path: Path) -> list[str]:
    """The options that let ffmpeg read a file, as a video that holds its own frames.

    Lists of other files (concat, HLS, SDP) are none, whatever the file is called; nor are texts, which ffmpeg would
    draw.
    """
    most_pixels = str(min(content_limit() // PIXEL_BYTES, 2**31 - 1))
    return ["-format_whitelist", ",".join(FORMATS), "-max_pixels", most_pixels, "-i", local_file(path)]
