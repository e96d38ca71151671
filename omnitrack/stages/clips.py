"""Find the clips that a command line names: files, folders and globs become videos, each with its own project."""

from __future__ import annotations

import glob
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omnitrack.errors import OmnitrackError
from omnitrack.video.animation import count_pictures
from omnitrack.video.image_series import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from omnitrack.video.numbers import is_number_pattern, natural_order
from omnitrack.video.reading import default_name
from omnitrack.video.tiff import TIFF_SUFFIXES

JOINED_BY = "_"  # joins the names of folder and video if two videos have the same name


@dataclass(frozen=True)
class Clip:
    """One of several videos.

    Attributes:
        video: As for `omnitrack.video.reading.open_video`.
        root: Directory of its project.
    """

    video: str
    root: Path


def find_clips(sources: Sequence[str], into: Path) -> list[Clip]:
    """Return the videos that a command line names, each once, in the order in which they are named.

    A folder of images is one video; a folder of videos stands for all of them. A glob that matches only images is one
    video; otherwise each match is a video, including a folder of images. Projects have the names of their videos; if
    two videos have the same name, the names of their folders are prepended: ``a_clip`` and ``b_clip``.

    Args:
        sources: Video files, folders, globs, number patterns (``shot.%04d.png``).
        into: The directory of the projects.

    Raises:
        OmnitrackError: A source does not exist, matches nothing, or is a single image, which is not a video.
    """
    named: dict[Path, str] = {}
    for video in (video for source in sources for video in _videos(source)):
        named.setdefault(Path(video).resolve(), video)
    videos = list(named.values())
    return [Clip(video, into / name) for video, name in zip(videos, _names(videos), strict=True)]


def _videos(source: str) -> list[str]:
    path = Path(source)
    if path.is_dir():
        return _in_folder(path)
    if path.is_file():
        return [_no_single_image(path)]
    if is_number_pattern(path.name):
        return [source]
    if not glob.has_magic(source):
        raise OmnitrackError(f"there is no video at {source}", "give video files, folders or globs")
    matches = natural_order(Path(name) for name in glob.glob(source))  # noqa: PTH207 - it may be absolute
    if not matches:
        raise OmnitrackError(f"nothing matches {source}", "see what is there: ls")
    if all(match.is_file() and match.suffix.lower() in IMAGE_SUFFIXES for match in matches):
        return [source]
    return [video for match in matches if match.is_dir() or _is_video(match) for video in _videos(str(match))]


def _in_folder(folder: Path) -> list[str]:
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    if any(path.suffix.lower() in IMAGE_SUFFIXES for path in files):
        return [str(folder)]
    videos = natural_order(path for path in files if _is_video(path))
    if not videos:
        raise OmnitrackError(
            f"folder {folder} holds no images and no videos", f"of folders of images give a glob: '{folder}/*'"
        )
    return [*map(str, videos)]


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in (*VIDEO_SUFFIXES, *TIFF_SUFFIXES)


def _no_single_image(path: Path) -> str:
    """Return the path; raise if it is a single image, usually from a glob that the shell expanded."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES and suffix not in TIFF_SUFFIXES and count_pictures(path) == 1:
        raise OmnitrackError(
            f"{path} is a single image, which is no clip",
            f"give its folder, or quote the glob: '{path.parent / ('*' + path.suffix)}'",
        )
    return str(path)


def _names(videos: Sequence[str]) -> list[str]:
    """Return a name for each video, as short as possible and independent of their order."""
    own = [default_name(video) for video in videos]
    beside = [str(Path(video).resolve().parent / name) for video, name in zip(videos, own, strict=True)]
    for number in _repeated(beside):
        own[number] += JOINED_BY + Path(videos[number]).suffix[1:]  # clip.mp4 and clip.mov side by side
    folders = [Path(video).resolve().parts[1:-1] for video in videos]
    depth, names = [0] * len(videos), own
    while twice := _repeated(names):
        for number in twice:
            depth[number] += 1
        names = [JOINED_BY.join([*folders[n][max(0, len(folders[n]) - depth[n]) :], own[n]]) for n in range(len(own))]
        if depth[twice[0]] > len(folders[twice[0]]):
            same = [videos[n] for n in twice if names[n].casefold() == names[twice[0]].casefold()]
            raise OmnitrackError(f"{' and '.join(same)} would have one project", "run them into different directories")
    return names


def _repeated(names: Iterable[str]) -> list[int]:
    """Return the indices of repeated names, ignoring case: some file systems do not distinguish it."""
    numbers = defaultdict(list)
    for number, name in enumerate(names):
        numbers[name.casefold()].append(number)
    return [number for same in numbers.values() if len(same) > 1 for number in same]
