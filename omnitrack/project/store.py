"""Reading ``products/flow.h5``, the flow of pairs of frames, and ``products/hops.h5``, where it is wrong.

Layout of the groups (`omnitrack.project.product_file` describes the layout of every product)::

    flow  /000003_000007  attribute steps_per_px
              deltas      (2, H, W) int16, one chunk; see `omnitrack.project.flow_codec`
              confidence  (H, W) uint8, 255 the highest; only if the estimator gives a confidence
    hops  /000003         where hops from a frame are wrong
              targets     (K,) int32 frames that they lead to
              log_odds    (K, rows, columns) int8, one chunk per target; see `omnitrack.correspondence.hop_reliability`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from omnitrack.byte_cache import ByteCache
from omnitrack.closing import Closing
from omnitrack.config import fingerprint
from omnitrack.correspondence.flow_steps import FLOW_AT, steps_to_pixels
from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.hop_reliability import decode_log_odds, encode_log_odds
from omnitrack.correspondence.pairs import has_keyframes
from omnitrack.correspondence.raster import CoarseGrid, crop_around, sample
from omnitrack.errors import OmnitrackError
from omnitrack.hdf5_file import plain_member
from omnitrack.project.arrays import check_found, open_array, put_array, put_chunks, read_array, read_number
from omnitrack.project.flow_codec import COMPRESSION, INTEGER, EncodedFlow, decode_steps, pack, unpack
from omnitrack.project.groups import UNREADABLE, Stamp, checked_attributes, frame_name, frame_of, members_of, stamp_of
from omnitrack.project.product_file import ProductFile
from omnitrack.project.project import Project

CACHE_BYTES = 512 * 2**20
Pair = tuple[int, int]
Steps = tuple[NDArray[Any], float]  # as cached, and steps per unit: flow takes half the memory of pixels


class FlowStore(FlowSource, Closing):
    """The measured flow of a project, read-only; a context manager; may be read from several threads.

    Args:
        project: The project.
        cache_bytes: Memory for cached flow.
        any_frames: Accept flow that was computed from other frames than the project has now.
        judged: Also open the estimated reliability of the hops, if there is one of this flow.

    Raises:
        OmnitrackError: No flow yet, a damaged or foreign file, another format version, or flow of other frames.
    """

    def __init__(
        self, project: Project, cache_bytes: int = CACHE_BYTES, any_frames: bool = False, judged: bool = True
    ) -> None:
        self._product = flow_file(project)
        self._cache: ByteCache[tuple[str, Pair], Steps] = ByteCache(cache_bytes, lambda steps: steps[0].nbytes, 1)
        self._hops: h5py.File | None = None
        self._hops_product = hops_file(project)
        self.hops_stamp: Stamp | None = None
        self._judged: dict[Pair, int] = {}
        self._file = self._product.open()
        try:
            width, height = self._file.attrs["size"]
            self.size = int(width), int(height)
            self.flow_stamp = stamp_of(self._file)
            frames = self._num_frames = int(self._file.attrs["num_frames"])
            self._pairs = {_checked(pair_of(name), frames) for name in members_of(self._file)}  # maybe ten thousand
            self._partners = self._find_partners(project.shots)
            made_from = self.flow_stamp.get("inputs", {}).get("frames")
            if made_from == project.meta.fingerprint and (self.size, frames) != (project.size, project.num_frames):
                raise ValueError(f"it is of {frames} frames of {self.size}, not of the project's")
        except UNREADABLE as error:
            self.close()
            raise self._product.damaged(f"its header makes no sense: {error}") from error
        if not any_frames and made_from != project.meta.fingerprint:
            self.close()
            raise OmnitrackError(
                f"the flow of project {project.root} was computed from other frames than it has now",
                f"compute it again: {self._product.command}",
            )
        if judged:
            try:
                self.open_hops(project)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close the files and drop the cached flow."""
        self._cache.clear()
        self._file.close()
        if self._hops is not None:
            self._hops.close()

    def begin_round(self) -> None:
        """Begin a job that reads the same flow several times: what it reads stays cached, as far as it fits."""
        self._cache.begin_round()

    @property
    def decoded_bytes(self) -> int:
        """Memory of all flow as cached, with its confidence, if it has one, and where it is judged."""
        flow, judged = 2 * INTEGER.itemsize * self.size[0] * self.size[1], len(CoarseGrid.of(self.size).pixels)
        sure = max((self._sure(pair)[0].nbytes for pair in self.pairs()[:1]), default=0)
        return len(self._pairs) * (flow + judged + sure)

    def pairs(self) -> list[Pair]:
        """Return the ordered pairs (source, target) that have flow, by source and then by target."""
        return sorted(self._pairs)

    def has(self, source: int, target: int) -> bool:
        """Return whether there is flow from `source` to `target`."""
        return (source, target) in self._pairs

    def partners(self, frame: int) -> Sequence[int]:
        """Return the frames with flow both to and from a frame, if its shot is matched by keyframes.

        Otherwise no frames: the pairs of other selections are used by the gaps in ``filter.gaps``.
        """
        return self._partners.get(frame, ())

    def flow(self, source: int, target: int) -> NDArray[np.float32]:
        """Return the (H, W, 2) float32 displacement in working pixels from `source` to `target`.

        Raises:
            OmnitrackError: The flow of the pair was not computed, or its data are damaged.
        """
        return steps_to_pixels(*self._steps((source, target)))

    def flow_at(self, source: int, target: int, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `flow`, at pixels (P, 2) only: (P, 2)."""
        return FLOW_AT.fastest(*self._steps((source, target)), pixels)

    def confidence(self, source: int, target: int) -> NDArray[np.float32] | None:
        """Return the estimator's confidence, (H, W) float32 in [0, 1], in a flow; None if it gave none.

        Raises:
            OmnitrackError: The data are damaged.
        """
        sure, scale = self._sure((source, target))
        return sure / np.float32(scale) if sure.size else None

    def confidence_at(self, source: int, target: int, pixels: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """As `confidence`, at pixels (P, 2) only: (P,)."""
        sure, scale = self._sure((source, target))
        if not sure.size:
            return None
        near, places = crop_around(sure, pixels)
        return sample(near / np.float32(scale), places)

    def doubt(self, source: int, target: int) -> NDArray[np.float32] | None:
        """Return (rows, columns) float32 log-odds that the flow from `source` to `target` is wrong; None: not judged.

        Raises:
            OmnitrackError: The data are damaged.
        """
        row = self._judged.get((source, target))
        if row is None:
            return None
        stored, _ = self._cache.through(("doubt", (source, target)), lambda: self._read_doubt((source, target), row))
        return decode_log_odds(stored)

    def open_hops(self, project: Project) -> None:
        """Open the estimated reliability of the hops of this flow, if there is one.

        Raises:
            OmnitrackError: Its file is damaged; the flow itself can still be read.
        """
        product = self._hops_product
        if not product.path.exists():
            return
        hops = product.open()
        try:
            stamp = stamp_of(hops)
            if stamp.get("inputs", {}).get("flow") != fingerprint(self.flow_stamp):
                hops.close()
                return
            found = {frame_of(name, project.num_frames): hops[name] for name in members_of(hops)}
            targets = {source: self._judged_targets(group) for source, group in found.items()}
        except UNREADABLE as error:
            hops.close()
            raise product.damaged(error) from error
        self._hops = hops
        judged = {(source, int(target)): row for source, found in targets.items() for row, target in enumerate(found)}
        if judged.keys() == self._pairs:  # otherwise there is more flow now, and each hop is judged against all others
            self.hops_stamp, self._judged = stamp, judged

    # --- the files ----------------------------------------------------------------------------------------------
    def _judged_targets(self, group: h5py.Group) -> NDArray[np.int32]:
        """Read the frames (K,) that the judged hops from a frame lead to; check that their log-odds are stored."""
        targets = read_array(group, "targets", (range(self._num_frames),), np.int32, 0, self._num_frames - 1)
        if len(targets):
            open_array(group, "log_odds", (len(targets), *CoarseGrid.of(self.size).shape), np.int8)
        return targets

    def _find_partners(self, shots: Sequence[range]) -> dict[int, list[int]]:
        rule = str(self.flow_stamp.get("settings", {}).get("pairs"))
        picked = {frame for shot in shots if has_keyframes(rule, len(shot)) for frame in shot}
        partners: dict[int, list[int]] = {}
        for source, target in sorted(self._pairs) if picked else ():
            if source in picked and (target, source) in self._pairs:
                partners.setdefault(source, []).append(target)
        return partners

    def _steps(self, pair: Pair) -> Steps:
        return self._cache.through(("flow", pair), lambda: self._read(pair))

    def _sure(self, pair: Pair) -> Steps:
        return self._cache.through(("confidence", pair), lambda: self._read_confidence(pair))

    def _read_doubt(self, pair: Pair, row: int) -> Steps:
        try:
            assert self._hops is not None, "pairs are judged in a file"
            group = plain_member(self._hops, frame_name(pair[0]))
            dataset = group["log_odds"]  # its form was checked when the file was opened
            doubts = dataset[row : row + 1]
            check_found(dataset, doubts)
            return doubts[0], 1.0
        except UNREADABLE as error:
            what = f"the judgement of the flow from frame {pair[0]} to frame {pair[1]}"
            raise self._hops_product.damaged_data(what, error) from error

    def _read(self, pair: Pair) -> Steps:
        if pair not in self._pairs:
            raise OmnitrackError(
                f"the flow from frame {pair[0]} to frame {pair[1]} was not computed",
                f"compute it: {self._product.command}",
            )
        shape = (2, self.size[1], self.size[0])
        try:
            group = plain_member(self._file, group_name(pair))
            deltas = open_array(group, "deltas", shape, INTEGER)
            _, packed = deltas.id.read_direct_chunk((0, 0, 0))
            encoded = EncodedFlow(unpack(packed, shape), read_number(checked_attributes(group), "steps_per_px"))
            return decode_steps(encoded), encoded.steps_per_px
        except UNREADABLE as error:
            raise self._damaged_pair(pair, error) from error

    def _read_confidence(self, pair: Pair) -> Steps:
        """Read confidence (H, W) as stored, and its highest possible value; an empty array if there is none."""
        try:
            group = plain_member(self._file, group_name(pair))
            if "confidence" not in group:
                return np.empty(0, np.uint8), 255.0
            return read_array(group, "confidence", (self.size[1], self.size[0]), np.uint8), 255.0
        except UNREADABLE as error:
            raise self._damaged_pair(pair, error) from error

    def _damaged_pair(self, pair: Pair, error: Exception) -> OmnitrackError:
        return self._product.damaged_data(f"the flow from frame {pair[0]} to frame {pair[1]}", error)


def _checked(pair: Pair, num_frames: int) -> Pair:
    """Return the pair, checked: two different frames of the clip."""
    if pair[0] == pair[1] or not all(0 <= frame < num_frames for frame in pair):
        raise ValueError(f"there is no pair of frames {pair}")
    return pair


def flow_file(project: Project) -> ProductFile:
    """Return the file of a project's flow."""
    return ProductFile(project, "flow", "flow")


def hops_file(project: Project) -> ProductFile:
    """Return the file of the estimated reliability of a project's hops."""
    return ProductFile(project, "hops", "filter")


def write_flow(group: h5py.Group, encoded: EncodedFlow, confidence: NDArray[np.float32] | None = None) -> None:
    """Write one flow, and the estimator's confidence (H, W) in [0, 1] in it, to the empty group of its pair."""
    shape = encoded.deltas.shape
    deltas = group.create_dataset(
        "deltas", shape, INTEGER, chunks=shape, shuffle=True, compression="gzip", compression_opts=COMPRESSION
    )
    deltas.id.write_direct_chunk((0, 0, 0), pack(encoded.deltas))
    group.attrs["steps_per_px"] = encoded.steps_per_px
    if confidence is not None:
        sure = np.rint(confidence * 255).astype(np.uint8)
        put_chunks(group, "confidence", sure, shuffle=True, compression="gzip", compression_opts=COMPRESSION)


def write_doubts(file: h5py.File, source: int, log_odds: Mapping[int, NDArray[np.float32]]) -> None:
    """Write the log-odds (rows, columns) that hops are wrong, by target, to a group of their source frame."""
    group = file.create_group(frame_name(source))
    put_array(group, "targets", np.array(list(log_odds), np.int32))
    if log_odds:
        packed = np.stack([encode_log_odds(values) for values in log_odds.values()])
        chunks = (1, *packed.shape[1:])
        put_chunks(group, "log_odds", packed, chunks=chunks, shuffle=True, compression="gzip", compression_opts=1)


def group_name(pair: Pair) -> str:
    """Return the name of a pair's group; names sort like pairs."""
    return f"{pair[0]:06d}_{pair[1]:06d}"


def pair_of(name: str) -> Pair:
    """Return the pair of a name from `group_name`."""
    source, target = name.split("_")
    pair = int(source), int(target)
    if group_name(pair) != name:
        raise ValueError(f"{name} is no pair of frames")
    return pair
