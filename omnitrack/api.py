"""A project as one object: one method per stage, documented with shapes.

import omnitrack

clip = omnitrack.init("clip.mp4", "clip")   # or omnitrack.open("clip")
clip.flow(), clip.filter(), clip.fit()
tracks = clip.query([(0, 120.0, 64.0)])     # rows (t, x, y), pixels of the video
tracks.tracks, tracks.visible               # (1, T, 2), (1, T)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.progress import SILENT, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from omnitrack.project.project import Project
    from omnitrack.settings import Settings
    from omnitrack.stages.export import ExportReport
    from omnitrack.stages.export_dense import DenseReport
    from omnitrack.stages.filter import FilterReport
    from omnitrack.stages.fit import FitReport
    from omnitrack.stages.flow import FlowReport
    from omnitrack.stages.info import InfoReport
    from omnitrack.stages.plot import PlotReport
    from omnitrack.stages.render import RenderReport
    from omnitrack.stages.tracker import Tracker
    from omnitrack.tracks.tracks import Tracks
    from omnitrack.view.shown import ShownPage
    from omnitrack.view.widget import PageWidget


class OpenProject:
    """An existing project, with the settings that its stages run with.

    Args:
        project: The project directory.
        settings: Dotted settings that override the project's ``omnitrack.toml``: ``{"fit.steps": 500}``.
        device: Device of all stages: auto, cpu, cuda or cuda:n.
        seed: Random seed of the fit.
        progress: Receives progress updates and messages; silent by default.

    Attributes:
        project: The project directory (`omnitrack.project.project.Project`).
        settings: All settings (`omnitrack.settings.Settings`).

    Raises:
        OmnitrackError: Not a project, or an unknown setting.

    Example:
        >>> import tempfile, cv2
        >>> folder = Path(tempfile.mkdtemp())
        >>> from omnitrack.synthetic import translating_scene
        >>> for t, frame in enumerate(translating_scene(num_frames=3).frames()):
        ...     _ = cv2.imwrite(str(folder / f"{t}.png"), frame)
        >>> clip = make_project(folder, folder / "project", {"fit.steps": 1})
        >>> clip.project.num_frames, clip.project.size, clip.settings.fit.steps
        (3, (96, 64), 1)
        >>> clip.queries(points=["10,20@1"]).tolist()
        [[1.0, 10.0, 20.0]]
    """

    def __init__(
        self,
        project: str | Path,
        settings: Mapping[str, object] | None = None,
        device: str = "auto",
        seed: int = 0,
        progress: Progress = SILENT,
    ) -> None:
        from omnitrack.project.project import Project

        self.project: Project = Project(project)
        self.settings: Settings = load_settings(self.project.settings_path, settings)
        self._device, self._seed, self._progress = device, seed, progress

    def flow(self) -> FlowReport:
        """Compute the optical flow of the selected pairs of frames, except pairs that are already computed."""
        from omnitrack.stages.flow import compute_flow

        return compute_flow(self.project, self.settings, self._progress, device=self._device)

    def filter(self) -> FilterReport:
        """Decide which flow is reliable, and chain it over any number of frames."""
        from omnitrack.stages.filter import filter_flow

        return filter_flow(self.project, self.settings, self._progress, self._device)

    def fit(self, resume: bool = False, pins: Tracks | str | Path | None = None) -> FitReport:
        """Fit the motion field.

        Args:
            resume: Resume from the last checkpoint; for pins that it was not fitted to, repeat the end of the run.
            pins: Manually corrected tracks, or their file: the field is also fitted to their pins.

        Raises:
            OmnitrackError: Nothing filtered, a checkpoint with other settings, or tracks without pins or of another
                video.
        """
        from omnitrack.stages.fit import fit_field
        from omnitrack.stages.fit_pins import read_pins

        given = Path(pins) if isinstance(pins, str) else pins
        pairs = None if given is None else read_pins(self.project, given)
        return fit_field(self.project, self.settings, self._device, self._seed, resume, self._progress, pairs)

    def queries(
        self,
        points: Sequence[str] = (),
        points_file: str | Path | None = None,
        grids: Sequence[str] = (),
        masks: Sequence[str] = (),
        dense: Sequence[int | str] = (),
        mask_spacing: int = 1,
    ) -> NDArray[np.float32]:
        """Gather points to track with `query`, in the notation of the command line.

        Convention:
            Pixels are (x, y) of the original video, x right, y down, centres at integers.

        Args:
            points: Texts ``x,y@t``.
            points_file: Rows (t, x, y) as .csv, .tsv, .txt, .npy or .npz, or a file of tracks.
            grids: Texts ``N@t``: N columns over frame t.
            masks: Texts ``M.png@t``: the marked pixels of an image.
            dense: Frames in which every working pixel is a query.
            mask_spacing: Use every n-th pixel of a mask, along x and y.

        Returns:
            (N, 3) float32 rows (t, x, y).

        Raises:
            OmnitrackError: No points given, an invalid text or file, or a point outside the video.
        """
        from omnitrack.stages.query_points import build_queries

        return build_queries(self.project, points, points_file, grids, masks, dense, mask_spacing)

    def pins(
        self, points: Sequence[str] = (), points_file: str | Path | None = None, pins: Sequence[str] = ()
    ) -> NDArray[np.float32]:
        """Gather corrections for `query`, in the notation of the command line.

        Args:
            points: As for `queries`: the tracks of `points_file` are numbered after these points.
            points_file: As for `queries`. Tracks from `query` keep their pins; in a .csv with a column ``track``, the
                second and further rows of a track are pins.
            pins: Texts ``TRACK,x,y@t``, with tracks numbered from 0.

        Returns:
            (M, 4) float32 rows (track, t, x, y).

        Raises:
            OmnitrackError: An invalid text or file, or a pin outside the video.
        """
        from omnitrack.stages.query_points import build_pins

        return build_pins(self.project, points, points_file, pins)

    def query(self, queries: ArrayLike, frames: range | None = None, pins: ArrayLike | None = None) -> Tracks:
        """Track points through the clip.

        Convention:
            Pixels are (x, y) of the original video, x right, y down, centres at integers; in the frame of its query, a
            track is exactly at the query point.

        Args:
            queries: (N, 3) rows (t, x, y), t a frame index of the project, from 0.
            frames: The T frames to track through; None for all.
            pins: (M, 4) rows (track, t, x, y), manual corrections: the track of query number `track` is exactly at
                (x, y) in frame t, and the frames between are solved again.

        Returns:
            `tracks` (N, T, 2) float32 pixels, `visible` (N, T) bool, `confidence` (N, T) in [0, 1], `depth` (N, T).

        Raises:
            OmnitrackError: Queries or pins of another shape or outside the video, or no fitted field.
        """
        import numpy as np

        from omnitrack.stages.query import query_tracks

        rows = np.asarray(queries, np.float32)
        if rows.ndim != 2 or rows.shape[1] != 3:
            raise OmnitrackError(f"queries have the shape {rows.shape}, not (N, 3)", "give rows (t, x, y)")
        return query_tracks(self.project, rows, self.settings, frames, self._device, self._progress, pins)

    def tracker(self) -> Tracker:
        """Keep the project open for a series of queries, each of which takes tenths of a second.

        Needs only flow. Without a fit, tracks come from the flow alone; a checkpoint that is written meanwhile is used
        from the next query on.

        Returns:
            A context manager with `query`, which takes and returns the same as `query` here; `refresh`, which reads
            what is new in the project and returns whether there was anything; and `state`, "chained" or "fused".

        Raises:
            OmnitrackError: No flow yet, or a damaged file.

        Example:
            >>> import tempfile, cv2
            >>> folder = Path(tempfile.mkdtemp())
            >>> from omnitrack.synthetic import translating_scene
            >>> for t, frame in enumerate(translating_scene(velocity=(2.0, 1.0), num_frames=4).frames()):
            ...     _ = cv2.imwrite(str(folder / f"{t}.png"), frame)
            >>> clip = make_project(folder, folder / "project", device="cpu")
            >>> _ = clip.flow()
            >>> with clip.tracker() as tracker:
            ...     tracker.state
            ...     tracker.query([(0, 40, 30)]).tracks[0].round().tolist()
            ...     corrected = tracker.query([(0, 40, 30)], pins=[(0, 3, 45.5, 33)])
            'chained'
            [[40.0, 30.0], [42.0, 31.0], [44.0, 32.0], [46.0, 33.0]]
            >>> corrected.tracks[0, 3].tolist()
            [45.5, 33.0]
        """
        from omnitrack.stages.tracker import Tracker

        return Tracker(self.project, self.settings, self._device, self._progress)

    def render(
        self,
        style: str = "trails",
        tracks: Tracks | None = None,
        output: str | Path | None = None,
        edit: str | Path | None = None,
        frame: int | None = None,
        point: str | None = None,
        mask: str | None = None,
        labels: str | Path | None = None,
    ) -> RenderReport:
        """Render tracks, the fitted field or your own drawing as a video.

        Args:
            style: points, trails, grid, compare or confidence, which draw tracks; flow, depth, canonical or rgb, which
                show the fitted field; stabilise, which holds the camera, a point or a mask still; edit, a drawing
                that moves with the surface under it; or matte, a mask that moves with it.
            tracks: What to draw, as `query` returned it; None tracks a grid of points of `frame`.
            output: A .mp4, .webm, .gif or .webp file, or a folder for PNG; None makes ``renders/STYLE.mp4``.
            edit: For the style edit: an image with transparency that covers the whole of `frame`, at any size with the
                video's aspect ratio.
            frame: The frame of the grid or of the drawing; None takes the setting ``render.frame``.
            point: For the style stabilise: a text ``x,y@t``.
            mask: For the styles stabilise and matte: a text ``M.png@t``.
            labels: For the styles that draw tracks: a table with one label per track (``track,label``), or a label
                image of a frame, ``labels.png@t``.

        Raises:
            OmnitrackError: As for `omnitrack.stages.render.render`.
        """
        from omnitrack.stages.render import render
        from omnitrack.stages.render_inputs import RenderInputs

        settings = self.settings
        if frame is not None:
            settings = replace(settings, render=replace(settings.render, frame=frame))
        path = None if output is None else Path(output)
        drawing, names = None if edit is None else Path(edit), None if labels is None else str(labels)
        inputs = RenderInputs(drawing, point, mask, names)
        return render(self.project, settings, tracks, style, path, self._device, self._progress, inputs)

    def plot(
        self,
        plot: str = "tracks",
        tracks: Tracks | None = None,
        output: str | Path | None = None,
        scale: float | None = None,
        unit: str | None = None,
        labels: str | Path | None = None,
    ) -> PlotReport:
        """Plot tracks over time, or the losses of the fit; needs matplotlib (the extra ``plot``).

        Args:
            plot: tracks (x, y, speed and confidence), speed, confidence or losses.
            tracks: What to draw, as `query` returned it; None takes the last query of the command line.
            output: A .png, .svg or .pdf; None makes ``plots/PLOT.png`` in the project.
            scale: Length of a pixel in `unit`, for lengths and speeds in that unit; None plots them in pixels.
            unit: Name of the unit; None means micrometres.
            labels: A table with one name per track (``track,label``), or a label image, ``labels.png@t``.

        Raises:
            OmnitrackError: An unknown plot, no tracks, no fit, or no matplotlib.
        """
        from omnitrack.stages.last_tracks import last_tracks
        from omnitrack.stages.plot import plot_losses, plot_tracks, scale_of
        from omnitrack.stages.plot_kinds import LOSS_PLOT, TRACK_PLOTS

        path = self.project.plots_dir / f"{plot}.png" if output is None else Path(output)
        if plot == LOSS_PLOT:
            return plot_losses(self.project, path)
        if plot not in TRACK_PLOTS:
            raise OmnitrackError(f"there is no plot {plot!r}", f"known: {', '.join((*TRACK_PLOTS, LOSS_PLOT))}")
        drawn = last_tracks(self.project) if tracks is None else tracks
        return plot_tracks(drawn, plot, path, scale_of(scale, unit), None if labels is None else str(labels))

    def export(
        self, output: str | Path, format: str | None = None, tracks: Tracks | None = None, **options: Any
    ) -> ExportReport | DenseReport:
        """Write tracks, or the field's motion of every pixel, in the format of another program.

        Args:
            output: The file; for formats of one file per frame a folder, or a pattern such as ``maps/shot.%04d.exr``.
            format: Name as for ``omnitrack export --as``: nuke, napari, stmap ...; None chooses by the suffix.
            tracks: Tracks from `query`; None takes the tracks of the last query on the command line.
            options: For tracks ``first_frame``, ``hidden``, ``min_confidence``, ``names`` or ``labels``, ``scale`` and
                ``unit``; for every pixel ``frame``, ``matte``, ``bits`` and ``first_frame``.

        Raises:
            OmnitrackError: An unknown or unsuitable format, no fitted field, or a file that cannot be written.
        """
        from omnitrack.export.formats import DENSE

        if format not in DENSE:
            from omnitrack.stages.export import export_file

            return export_file(self.project, tracks, Path(output), format, options)
        from omnitrack.stages.export_dense import DenseOptions, export_dense

        if tracks is not None:
            raise OmnitrackError(f"{format} is of every pixel, not of tracks", "leave out the tracks")
        asked = DenseOptions(**options)
        return export_dense(self.project, format, Path(output), asked, self._device, self._progress)

    def show(self, browser: bool | None = None) -> PageWidget | ShownPage:
        """Show the page of `omnitrack view`: click on a point and see its track.

        Needs only flow; a checkpoint that is written meanwhile is used. In a notebook the page is in the cell, which
        needs the extra ``notebook``; elsewhere it opens in the browser, which needs ``view``.

        Args:
            browser: True opens the browser, False shows only the address, None uses the notebook's cell if possible.

        Returns:
            The page, which is shown until its `close`.

        Raises:
            OmnitrackError: Packages are missing, or the project cannot be read.
        """
        from omnitrack.view.shown import ShownPage
        from omnitrack.view.widget import INSTALL, can_show, in_notebook, project_widget

        here = browser is None and in_notebook()
        if here and can_show():
            return project_widget(self.project, self.settings, self._device)
        advice = f"To have it in the cell: {INSTALL}" if here else ""
        return ShownPage(self.project, self.settings, self._device, browser is not False, advice)

    def info(self) -> InfoReport:
        """Report what the project contains, which products are stale, and what to do next."""
        from omnitrack.stages.info import inspect_project

        return inspect_project(self.project)


def make_project(
    video: str | Path,
    project: str | Path | None = None,
    settings: Mapping[str, object] | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress = SILENT,
) -> OpenProject:
    """Make a project from a video and open it.

    Args:
        video: A video file, a folder of images, a glob, a pattern (``shot.%04d.png``) or a TIFF stack.
        project: The directory to make; None takes the video's name.
        settings: As for `OpenProject`; the table ``init`` selects the frames, ``{"init.stride": 2}``.
        device: As for `OpenProject`.
        seed: As for `OpenProject`.
        progress: As for `OpenProject`.

    Raises:
        OmnitrackError: An unreadable video, or a directory that is in use.

    Example: see `OpenProject`.
    """
    from omnitrack.stages.init import init_project

    root = None if project is None else Path(project)
    report = init_project(video, root, load_settings(overrides=settings), progress)
    return OpenProject(report.project, settings, device, seed, progress)
