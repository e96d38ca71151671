"""Reading: files written by the encoders of ffmpeg and OpenCV are read as the original frames."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.video.reading import VideoFile, default_name, open_video

LOSSLESS = ("-c:v", "libx264rgb", "-qp", "0")


def read(source: Path | str) -> NDArray[np.uint8]:
    with open_video(source) as reader:
        return np.stack(list(reader))


def write_images(folder: Path, frames: NDArray[np.uint8], names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in zip(names, frames, strict=True):
        cv2.imwrite(str(folder / name), frame[..., ::-1])


def failure(source: Path | str) -> OmnitrackError:
    with pytest.raises(OmnitrackError) as caught:
        read(source)
    assert caught.value.hint
    return caught.value


# --- video files ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.mp4", LOSSLESS),
        ("clip.mov", ("-c:v", "png")),
        ("clip.avi", ("-c:v", "ffv1", "-pix_fmt", "bgr0")),
        ("clip.mkv", ("-c:v", "ffv1", "-pix_fmt", "bgr0")),
    ],
)
def test_lossless_file_comes_back_exactly(
    tmp_path: Path, clip: NDArray[np.uint8], name: str, options: tuple[str, ...], encode_clip: Callable[..., Path]
) -> None:
    path = encode_clip(tmp_path / name, clip, *options)
    with open_video(path) as reader:
        assert (reader.size, reader.fps, reader.count) == ((64, 48), 12.0, 8)
        np.testing.assert_array_equal(np.stack(list(reader)), clip)
        assert reader.damage is None


def test_lossy_webm_is_close(tmp_path: Path, clip: NDArray[np.uint8], encode_clip: Callable[..., Path]) -> None:
    path = encode_clip(tmp_path / "clip.webm", clip, "-c:v", "libvpx", "-b:v", "5M", "-pix_fmt", "yuv420p")
    frames = read(path)
    assert frames.shape == clip.shape
    assert np.abs(frames.astype(int).mean((1, 2)) - clip.mean((1, 2))).max() < 3


def test_a_reader_can_be_read_twice_and_left_early(video_file: Path, clip: NDArray[np.uint8]) -> None:
    with open_video(video_file) as reader:
        np.testing.assert_array_equal(next(iter(reader)), clip[0])
        np.testing.assert_array_equal(np.stack(list(reader)), clip)


@pytest.mark.parametrize(("degrees", "quarter_turns"), [(90, 1), (180, 2), (270, 3)])
def test_rotation_metadata_is_applied(
    tmp_path: Path,
    video_file: Path,
    clip: NDArray[np.uint8],
    degrees: int,
    quarter_turns: int,
    run_ffmpeg: Callable[..., None],
) -> None:
    """The display matrix turns counter-clockwise, as `numpy.rot90` does."""
    turned = tmp_path / "turned.mp4"
    run_ffmpeg("-display_rotation", str(degrees), "-i", str(video_file), "-c", "copy", str(turned))
    with open_video(turned) as reader:
        assert reader.size == ((48, 64) if quarter_turns % 2 else (64, 48))
        np.testing.assert_array_equal(np.stack(list(reader)), np.rot90(clip, quarter_turns, axes=(1, 2)))


@pytest.mark.parametrize("size", [(16, 16), (101, 77), (2, 9)])
def test_small_and_odd_sizes(
    tmp_path: Path,
    size: tuple[int, int],
    encode_clip: Callable[..., Path],
    textured_clip: Callable[..., NDArray[np.uint8]],
) -> None:
    clip = textured_clip(3, size)
    frames = read(encode_clip(tmp_path / "clip.avi", clip, "-c:v", "ffv1", "-pix_fmt", "bgr0"))
    np.testing.assert_array_equal(frames, clip)


def test_grey_video_becomes_rgb(tmp_path: Path, clip: NDArray[np.uint8], encode_clip: Callable[..., Path]) -> None:
    grey = np.repeat(clip[..., :1], 3, axis=-1)
    frames = read(encode_clip(tmp_path / "grey.avi", grey, "-c:v", "ffv1", "-pix_fmt", "gray"))
    np.testing.assert_array_equal(frames, grey)


def test_sixteen_bit_video_is_scaled_to_eight(
    tmp_path: Path, clip: NDArray[np.uint8], encode_clip: Callable[..., Path]
) -> None:
    frames = read(encode_clip(tmp_path / "deep.mkv", clip, "-c:v", "ffv1", "-pix_fmt", "gbrp16le"))
    assert np.abs(frames.astype(int) - clip).max() <= 1


def test_alpha_of_a_video_is_blended_over_black(tmp_path: Path, encode_clip: Callable[..., Path]) -> None:
    frames = np.full((2, 8, 8, 3), (200, 100, 50), np.uint8)
    half = ("-vf", "format=rgba,colorchannelmixer=aa=0.5", "-c:v", "png", "-pix_fmt", "rgba")
    found = read(encode_clip(tmp_path / "alpha.mov", frames, *half))
    assert np.abs(found.astype(int) - (100, 50, 25)).max() <= 1


def test_gif_rate_is_the_mean_of_its_delays(tmp_path: Path) -> None:
    """Delays of 0.1, 0.2, 0.3 and 1.0 s: four frames in 1.6 s."""
    images = pytest.importorskip("PIL.Image")
    pages = [images.fromarray(np.full((20, 30, 3), 60 * k, np.uint8)) for k in range(4)]
    path = tmp_path / "delays.gif"
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=[100, 200, 300, 1000], loop=0)
    with open_video(path) as reader:
        assert reader.fps == pytest.approx(2.5)
        assert reader.count == 4
        np.testing.assert_array_equal([frame[5, 5, 0] for frame in reader], [0, 60, 120, 180])


@pytest.mark.parametrize(("name", "alpha"), [("clip.webp", False), ("clip.png", False), ("clip.apng", True)])
def test_animated_images_are_videos(tmp_path: Path, name: str, alpha: bool) -> None:
    """Delays of 40 ms: 25 frames per second. Half transparent colours are blended over black."""
    images = pytest.importorskip("PIL.Image")
    path, level = tmp_path / name, [0, 60, 120, 180]
    colours = np.stack([np.full((20, 30, 4 if alpha else 3), k, np.uint8) for k in level])
    if alpha:
        colours[..., 3] = 128
    pages = [images.fromarray(page) for page in colours]
    more = {"lossless": True} if name.endswith("webp") else {"format": "png"}
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=40, loop=0, **more)
    with open_video(path) as reader:
        assert (reader.size, reader.fps, reader.count) == ((30, 20), 25.0, 4)
        found = [int(frame[5, 5, 0]) for frame in reader]
    assert found == ([round(k * 128 / 255) for k in level] if alpha else level)


def test_a_damaged_animation_is_one_clear_error(tmp_path: Path) -> None:
    images = pytest.importorskip("PIL.Image")
    noise = np.random.default_rng(0).integers(0, 255, (3, 40, 40, 3), np.uint8)
    pages = [images.fromarray(page) for page in noise]
    path = tmp_path / "clip.webp"
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=40, lossless=True)
    path.write_bytes(path.read_bytes()[:-3000])
    assert str(path) in failure(path).message


def test_variable_rate_gives_each_stored_frame_once(
    tmp_path: Path, clip: NDArray[np.uint8], encode_clip: Callable[..., Path]
) -> None:
    late = ("-vf", "setpts='if(gte(N,4),N+20,N)/12/TB'", "-fps_mode", "passthrough")
    path = encode_clip(tmp_path / "vfr.mkv", clip, *late, "-c:v", "ffv1", "-pix_fmt", "bgr0")
    np.testing.assert_array_equal(read(path), clip)


@pytest.mark.parametrize(
    ("rate", "exact"),
    [("30000/1001", 30000 / 1001), ("24000/1001", 24000 / 1001), ("25", 25.0), ("4", 4.0), ("5/2", 2.5)],
)
def test_rate_is_exact(
    tmp_path: Path, clip: NDArray[np.uint8], rate: str, exact: float, encode_clip: Callable[..., Path]
) -> None:
    path = encode_clip(tmp_path / "clip.mp4", clip, "-r", rate, "-fps_mode", "cfr", *LOSSLESS)
    with open_video(path) as reader:
        assert reader.fps == pytest.approx(exact, abs=1e-9)


# --- damaged and foreign files ----------------------------------------------------------------------------------
def test_missing_file_names_what_to_give() -> None:
    assert failure("nowhere/clip.mp4").message == "there is no video at nowhere/clip.mp4"


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    assert failure(path).message == f"{path} is empty (0 bytes)"


@pytest.mark.parametrize("content", [b"this is no video\n" * 40, np.random.default_rng(0).bytes(20000)])
def test_text_and_garbage_are_no_video(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    assert failure(path).message.startswith(f"{path} cannot be read as a video: ")
    assert capfd.readouterr() == ("", "")  # ffmpeg's own messages stay off the terminal


def test_sound_alone_is_no_video(tmp_path: Path, run_ffmpeg: Callable[..., None]) -> None:
    path = tmp_path / "song.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", str(path))
    assert failure(path).message == f"{path} holds no video (only sound?)"


def test_cover_picture_of_a_song_is_no_video(tmp_path: Path, run_ffmpeg: Callable[..., None]) -> None:
    path = tmp_path / "song.m4a"
    cover = ("-f", "lavfi", "-i", "testsrc=s=64x64:d=0.04", "-map", "0", "-map", "1", "-c:v", "png")
    run_ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", *cover, "-disposition:v:0", "attached_pic", str(path))
    assert failure(path).message == f"{path} holds no video (only sound?)"


def test_truncated_file_gives_what_can_be_decoded(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    encode_clip: Callable[..., Path],
    textured_clip: Callable[..., NDArray[np.uint8]],
) -> None:
    clip = textured_clip(20)
    path = encode_clip(tmp_path / "clip.mp4", clip, *LOSSLESS, "-g", "1", "-movflags", "+faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_video(path) as reader:
        frames = np.stack(list(reader))
        assert reader.damage
    assert 5 < len(frames) < 15
    np.testing.assert_array_equal(frames[:5], clip[:5])
    assert capfd.readouterr() == ("", "")


def test_truncated_file_without_its_index_is_an_error(tmp_path: Path, video_file: Path) -> None:
    video_file.write_bytes(video_file.read_bytes()[: video_file.stat().st_size // 2])
    assert failure(video_file).message == f"{video_file} cannot be read as a video: moov atom not found"


# --- images -----------------------------------------------------------------------------------------------------
def test_folder_is_read_in_natural_order(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    write_images(tmp_path / "shot", clip[:4], ["f1.png", "f2.png", "f10.png", "f100.bmp"])
    (tmp_path / "shot" / "notes.txt").write_text("not an image")
    (tmp_path / "shot" / "._f1.png").write_bytes(b"what macOS leaves")
    with open_video(tmp_path / "shot") as reader:
        assert (reader.size, reader.count) == ((64, 48), 4)
        np.testing.assert_array_equal(np.stack(list(reader)), clip[:4])


def test_glob_takes_what_matches(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    write_images(tmp_path, clip[:4], ["a2.png", "a10.png", "b1.png", "a.tif"])
    np.testing.assert_array_equal(read(str(tmp_path / "a[0-9]*.png")), clip[:2])
    assert failure(str(tmp_path / "c*.png")).message == f"no image matches {tmp_path}/c*.png"


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.full((4, 6), 77, np.uint8), (77, 77, 77)),
        (np.full((4, 6), 0x8000, np.uint16), (128, 128, 128)),
        (np.full((4, 6, 3), (65535, 257 * 9, 0), np.uint16), (0, 9, 255)),
        (np.full((4, 6, 4), (200, 100, 50, 128), np.uint8), (25, 50, 100)),
        (np.full((4, 6, 4), (200 * 257, 0, 257, 65535), np.uint16), (1, 0, 200)),
    ],
    ids=["grey", "grey16", "bgr16", "bgra", "bgra16"],
)
def test_depths_and_channels_become_rgb8(tmp_path: Path, stored: NDArray[np.uint8], expected: tuple[int, ...]) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), stored)
    frames = read(tmp_path)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, np.broadcast_to(np.uint8(expected), (2, 4, 6, 3)))


def test_photo_orientation_is_applied(tmp_path: Path) -> None:
    images = pytest.importorskip("PIL.Image")
    picture = images.fromarray(np.zeros((20, 40, 3), np.uint8))
    tags = picture.getexif()
    tags[0x0112] = 6  # a quarter turn clockwise for display
    picture.save(tmp_path / "photo.jpg", exif=tags)
    assert read(tmp_path).shape == (1, 40, 20, 3)


def test_mixed_sizes_name_the_first_offender_and_both_sizes(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    write_images(tmp_path, clip[:2], ["1.png", "2.png"])
    write_images(tmp_path, clip[:2, :40], ["3.png", "4.png"])
    assert "mixed sizes: 3.png is 64x40, 1.png is 64x48" in failure(tmp_path).message


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
def test_truncated_image_is_named(
    tmp_path: Path, clip: NDArray[np.uint8], suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path, clip[:2], [f"1{suffix}", f"2{suffix}"])
    second = tmp_path / f"2{suffix}"
    second.write_bytes(second.read_bytes()[: second.stat().st_size // 2])
    assert str(second) in failure(tmp_path).message
    assert capfd.readouterr() == ("", "")


def test_flipped_bit_of_a_png_is_noticed(
    tmp_path: Path, clip: NDArray[np.uint8], capfd: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path, clip[:2], ["1.png", "2.png"])
    second = tmp_path / "2.png"
    data = bytearray(second.read_bytes())
    data[len(data) // 2] ^= 1
    second.write_bytes(data)
    assert failure(tmp_path).message == f"image {second} is damaged or truncated"
    assert capfd.readouterr() == ("", "")


def test_image_that_is_none_is_named(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    write_images(tmp_path, clip[:1], ["1.png"])
    (tmp_path / "2.png").write_bytes(b"")
    assert failure(tmp_path).message == f"image {tmp_path / '2.png'} is empty"
    (tmp_path / "2.png").write_bytes(b"no image at all")
    assert failure(tmp_path).message == f"image {tmp_path / '2.png'} is damaged or not an image"


def test_folder_without_images_points_at_a_video_in_it(tmp_path: Path, video_file: Path) -> None:
    error = failure(tmp_path)
    assert error.message == f"folder {tmp_path} holds no images"
    assert str(video_file) in str(error.hint)


@pytest.mark.parametrize(
    ("source", "name"), [("a/b/clip.v2.mp4", "clip.v2"), ("a/shot/*.png", "shot"), ("clip", "clip")]
)
def test_default_name(source: str, name: str) -> None:
    assert default_name(source) == name


# --- orientation ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["photo.png", "alpha.png", "photo.webp", "photo.jpg", "photo.tif"])
def test_an_image_is_read_as_it_is_displayed(tmp_path: Path, name: str, orientation: int) -> None:
    """Pillow, which implements the eight orientations independently, is the reference."""
    images, operations = pytest.importorskip("PIL.Image"), pytest.importorskip("PIL.ImageOps")
    colours = np.zeros((16, 24, 4 if name.startswith("alpha") else 3), np.uint8)
    colours[:8, :8], colours[:8, 16:], colours[8:, :8] = 250, 120, 60
    colours[..., 3:] = 255
    exif = images.Exif()
    exif[0x0112] = orientation
    path = tmp_path / name
    more = {"lossless": True} if name.endswith("webp") else {"quality": 100} if name.endswith("jpg") else {}
    images.fromarray(colours).save(path, exif=exif, **more)
    expected = np.asarray(operations.exif_transpose(images.open(path)).convert("RGB"))
    found = read(path)[0]
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 6


def test_a_file_with_brackets_in_its_name_names_its_project(tmp_path: Path) -> None:
    path = tmp_path / "clip [id].mp4"
    path.write_bytes(b"x")
    assert default_name(path) == "clip [id]"
    assert default_name(tmp_path / "shot[0-9].png") == tmp_path.name


# --- what is not a video, whatever its name ---------------------------------------------------------------------
@pytest.mark.parametrize("name", ["readme.txt", "readme.mp4", "readme"])
def test_a_text_is_not_drawn_as_a_video(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("a line of text\n" * 200)
    assert "cannot be read as a video" in failure(path).message


def test_a_list_of_other_files_is_not_followed(
    tmp_path: Path, clip: NDArray[np.uint8], encode_clip: Callable[..., Path]
) -> None:
    encode_clip(tmp_path / "private.mp4", clip, *LOSSLESS)
    lists = {
        "list.mp4": "ffconcat version 1.0\nfile private.mp4\n",
        "list.m3u8": "#EXTM3U\n#EXTINF:1,\nprivate.mp4\n#EXT-X-ENDLIST\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        assert "cannot be read as a video" in failure(tmp_path / name).message


# --- rates and lengths ------------------------------------------------------------------------------------------
def test_sound_longer_than_the_picture_is_no_damage(
    tmp_path: Path, clip: NDArray[np.uint8], encode_clip: Callable[..., Path]
) -> None:
    silence = ("-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-map", "0:v", "-map", "1:a", "-t", "4", "-c:a", "aac")
    path = encode_clip(tmp_path / "clip.mp4", clip, *silence, *LOSSLESS)
    with open_video(path) as reader:
        assert (reader.count or 0) > 40, "the file says four seconds"
        assert len(list(reader)) == 8
        assert reader.damage is None


def test_time_stamps_are_read_without_decoding(
    tmp_path: Path, clip: NDArray[np.uint8], encode_clip: Callable[..., Path]
) -> None:
    """Twelve per second, and a gap of twenty frames after the fourth."""
    late = ("-vf", "setpts='if(gte(N,4),N+20,N)/12/TB'", "-fps_mode", "passthrough", "-c:v", "libvpx")
    reader = VideoFile(encode_clip(tmp_path / "clip.webm", clip, *late))
    expected = np.array([0, 1, 2, 3, 24, 25, 26, 27]) / 12
    np.testing.assert_allclose(reader._stored_times(), expected, atol=1e-3)


def test_without_a_rate_that_of_the_time_stamps_is_taken(
    tmp_path: Path, clip: NDArray[np.uint8], encode_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As browsers record: ffmpeg then reports only the unit of the time stamps (1k tbr)."""
    probe = VideoFile._probe

    def rateless(self: VideoFile) -> tuple[str, float | None]:
        stream, _ = probe(self)
        return re.sub(r"[\d.]+k? fps, [\d.]+k? tbr", "1k tbr", stream), None

    monkeypatch.setattr(VideoFile, "_probe", rateless)
    with open_video(encode_clip(tmp_path / "clip.webm", clip, "-c:v", "libvpx")) as reader:
        assert reader.count == 8
        assert reader.fps == pytest.approx(12.0, rel=0.01)


# --- stacks -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("pages", [2, 16, 35])
@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 1), ("uint16", 1), ("uint8", 3), ("uint16", 3)])
def test_a_tiff_stack_is_a_video(tmp_path: Path, pages: int, dtype: str, channels: int) -> None:
    top = 255 if dtype == "uint8" else 65535
    level = np.linspace(0, top, pages).astype(dtype)
    stack = [np.full((12, 20, channels), value, dtype).squeeze() for value in level]
    path = tmp_path / "stack.tif"
    assert cv2.imwritemulti(str(path), stack)
    with open_video(path) as reader:
        assert (reader.size, reader.count) == ((20, 12), pages)
        found = np.stack(list(reader))
    np.testing.assert_allclose(found[:, 5, 5], np.repeat(level[:, None] * (255 / top), 3, 1), atol=0.51)


def test_a_single_page_is_one_picture(tmp_path: Path) -> None:
    path = tmp_path / "page.tif"
    cv2.imwrite(str(path), np.zeros((12, 20, 3), np.uint8))
    assert len(read(path)) == 1


@pytest.mark.parametrize(("cut", "left"), [(0, 4), (500, 3), (2500, 2)])
def test_a_stack_that_was_cut_short_says_so(tmp_path: Path, cut: int, left: int) -> None:
    path = tmp_path / "stack.tif"
    noise = np.random.default_rng(0).integers(0, 255, (4, 40, 40), np.uint8)
    cv2.imwritemulti(str(path), list(noise))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - cut])
    with open_video(path) as reader:
        found = [frame[..., 0] for frame in reader]
        assert reader.damage == ("its list of pages breaks off" if cut else None)
    np.testing.assert_array_equal(found, noise[:left])
