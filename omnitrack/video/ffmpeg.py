"""The ffmpeg program that comes with imageio: starting it, ending it, and reading its errors."""

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

# ffmpeg's names of video containers and streams; also of audio, so that an audio-only file is reported as one.
FORMATS = (
    *("mov", "matroska", "avi", "mpeg", "mpegts", "mpegvideo", "asf", "flv", "ogg", "mxf", "gxf", "dv", "rm", "wtv"),
    *("gif", "apng", "webp_anim", "jpegxl_anim", "nut", "yuv4mpegpipe", "ivf", "obu", "av1", "h264", "hevc", "vvc"),
    *("h261", "h263", "m4v", "mjpeg", "vc1", "dirac", "dnxhd", "cavsvideo", "swf", "nsv", "roq", "smk", "bink", "r3d"),
    *("png_pipe", "jpeg_pipe", "tiff_pipe", "webp_pipe", "bmp_pipe", "j2k_pipe", "dpx_pipe"),
    *("mp3", "wav", "w64", "aac", "ac3", "flac", "aiff", "au", "caf", "amr"),
)
LEAST_VERSION = "5.1"  # the first with -fps_mode
INSTALL = "pip install --upgrade imageio-ffmpeg, and unset IMAGEIO_FFMPEG_EXE if that is set"
_OWN_FAULT = re.compile(r"Unrecognized option|Option .*not found|Unknown (?:input|output) format")
_FILE = "file:"  # ffmpeg's own protocol
_STREAM = re.compile(r"^\[info\] +Stream #.*?: Video: .*", re.MULTILINE)
_COMPLAINT = re.compile(r"^(?:\[[^\]]* @ 0x[0-9a-f]+\] )*\[(?:error|fatal|panic)\] (.*)")


class Ffmpeg:
    """A running ffmpeg without output to the terminal; a context manager that ends it, finished or not.

    Attributes:
        stdin: Input of ffmpeg, for writing.
        stdout: Output of ffmpeg, for reading.

    Args:
        arguments: Arguments of the program.

    Raises:
        OmnitrackError: ffmpeg is missing, or cannot be started.
    """

    stdin: IO[bytes]
    stdout: IO[bytes]

    def __init__(self, *arguments: str) -> None:
        self._program = find_program()
        self._files = [argument for argument in arguments if argument.startswith(_FILE)]
        self._stopped = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process; a pipe could fill up and block
        try:
            command = [self._program, "-hide_banner", "-nostats", "-loglevel", "level+info"]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen([*command, *arguments], stdin=pipe, stdout=pipe, stderr=self._log)
        except OSError as error:
            self._log.close()
            raise _unusable(self._program, str(error.strerror or error)) from error
        assert self._process.stdin is not None and self._process.stdout is not None
        self.stdin, self.stdout = self._process.stdin, self._process.stdout

    def wait(self) -> int:
        """Close the input, wait until ffmpeg ends, and return its exit status."""
        with suppress(BrokenPipeError):  # it ended early: see the exit status
            self.stdin.close()
        return self._process.wait()

    def log(self) -> str:
        """Return all messages so far, without file names, which could look like messages."""
        self._log.seek(0)
        said = self._log.read().decode("utf-8", "replace")
        for file in self._files:
            said = said.replace(file, "")
        return said

    def video_streams(self) -> list[str]:
        """Return the log line of each video stream; a title in the file can look similar, except for its beginning."""
        return _STREAM.findall(self.log())

    def complaints(self) -> list[str]:
        """Return the errors in the log of a finished ffmpeg, first to last, without their prefixes.

        Raises:
            OmnitrackError: The program itself is the cause: it is too old, or not an ffmpeg.
        """
        log = self.log()
        found = [line[1].strip(" .") for text in log.splitlines() if (line := _COMPLAINT.match(text))]
        own = next((line for line in found if _OWN_FAULT.search(line)), None)
        if own:
            raise _unusable(self._program, f"it is {describe_program()}: {own}")
        if not self._stopped and "[info]" not in log and "[error]" not in log and "[fatal]" not in log:
            raise _unusable(self._program, f"it says {log.strip()[:200]!r}" if log.strip() else "it says nothing")
        return found

    def stop(self) -> None:
        """Kill ffmpeg."""
        self._stopped = True
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


def find_program() -> str:
    """Return the path of ffmpeg.

    Raises:
        OmnitrackError: ffmpeg is not available.
    """
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError, OSError) as error:
        told = str(error).partition("\n")[0].rstrip(".")
        raise OmnitrackError(f"there is no ffmpeg, without which no video is read: {told}", INSTALL) from error


def describe_program() -> str:
    """Return the version of ffmpeg, and any problem with it."""
    import imageio_ffmpeg

    try:
        version = str(imageio_ffmpeg.get_ffmpeg_version())
    except Exception as error:  # missing, not executable, not an ffmpeg: any error of starting a program
        return f"broken ({type(error).__name__})"
    known = re.match(r"n?(\d+)\.(\d+)", version)
    if known and (int(known[1]), int(known[2])) < tuple(map(int, LEAST_VERSION.split("."))):
        return f"{version}, too old (at least {LEAST_VERSION} is needed)"
    return version or "broken (it names no version)"


def _unusable(program: str, cause: str) -> OmnitrackError:
    return OmnitrackError(f"the ffmpeg at {program} cannot be used: {cause}", INSTALL)


def local_file(path: Path) -> str:
    """Return a path for ffmpeg that it never takes for an option, a URL or another of its protocols."""
    return f"{_FILE}{path}"


def input_file(path: Path) -> list[str]:
    """Return the options that make ffmpeg read a file, restricted to videos that contain their own frames.

    Lists of other files (concat, HLS, SDP) are refused, whatever the name of the file. Text files, which ffmpeg would
    render, are also refused.
    """
    most_pixels = str(min(content_limit() // PIXEL_BYTES, 2**31 - 1))
    return ["-format_whitelist", ",".join(FORMATS), "-max_pixels", most_pixels, "-i", local_file(path)]
