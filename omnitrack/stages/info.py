"""`omnitrack info`: what a project holds, which products are stale and why, and what to type next."""

from __future__ import annotations

from dataclasses import dataclass

from omnitrack.project.project import Project
from omnitrack.stages.file_products import file_products
from omnitrack.stages.products import Judge, Product, command_for, files_in, size_on_disk
from omnitrack.stages.status import StageProducts


@dataclass(frozen=True)
class InfoReport:
    """A project at a glance.

    Attributes:
        project: The directory.
        source: The video as given to `init`.
        frames: Number of frames.
        fps: Frames per second.
        size: (width, height) of the working frames in pixels.
        original_size: (width, height) of the video in pixels.
        cuts: First frames of the shots after the first.
        products: Products in the order of the stages.
        bytes: Size of the whole project on disk.
        next_command: What to type next.
    """

    project: str
    source: str
    frames: int
    fps: float
    size: tuple[int, int]
    original_size: tuple[int, int]
    cuts: list[int]
    products: list[Product]
    bytes: int
    next_command: str

    def state(self, name: str) -> str:
        """Return the state of a product; "missing" if none has that name."""
        return next((product.state for product in self.products if product.name == name), "missing")


def inspect_project(project: Project) -> InfoReport:
    """Inspect every product of a project; a damaged one is reported, not raised.

    A product is stale if its inputs have changed since, if an input is itself stale, or if ``omnitrack.toml`` sets
    another value than it was made with. Values set only by flags or a preset do not make it stale.
    """
    judge = Judge(project)
    stages = StageProducts(judge)
    files = file_products(judge, stages.fit, stages.fit_stamp)
    meta = project.meta
    return InfoReport(
        project=str(project.root),
        source=meta.source,
        frames=meta.count,
        fps=meta.fps,
        size=meta.size,
        original_size=meta.original_size,
        cuts=meta.cuts,
        products=[*stages.products, *files],
        bytes=size_on_disk(project.root),
        next_command=_next_command(project, stages.products, files),
    )


def _next_command(project: Project, stages: list[Product], files: list[Product]) -> str:
    for product in (*stages, *files):
        if product.state != "ready":
            return product.command
    if not files_in(project.tracks_dir):
        return command_for(project, "query", "--grid", "20@0")
    if not files_in(project.renders_dir):
        return command_for(project, "render")
    return command_for(project, "query", "--point", "X,Y@T")
