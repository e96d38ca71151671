"""The products of the stages: which are there, and whether each still fits what it was made from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from omnitrack.config import as_dict, fingerprint
from omnitrack.errors import OmnitrackError
from omnitrack.project.shards import has_shards
from omnitrack.stages.products import Judge, Product, Stamp, command_for, files_in, size_on_disk


class StageProducts:
    """Judges one product after the other; each needs to know of the ones before it.

    Attributes:
        products: Of init, flow, filter and fit, and of what these make besides, in the order of the stages.
        fit: The fit among them.
        fit_stamp: What it was made from; None where there is none.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.products = self._stages()

    def _stages(self) -> list[Product]:
        """The products of init, flow, filter and fit."""
        frames = self._frames()
        flow_stamp, filter_stamp, filtered_bytes, damage = self._correspondences()
        features = self._judge_features(frames, filter_stamp)
        match_stamp, match_bytes = self._matches()
        size = size_on_disk(self._judge.project.correspondences_path)
        inputs = {"frames": self._judge.project.meta.fingerprint, **self._files_now(flow_stamp)}
        depth = self._judge_depth(frames)
        others = filtered_bytes + match_bytes + sum(product.bytes for product in [*features, *depth])
        flow = self._judge.judge("flow", flow_stamp, inputs, frames, size - others, damage)
        inputs = {"flow": fingerprint(flow_stamp), **self._regressor_of(filter_stamp)}
        filtered = self._judge.judge("filter", filter_stamp, inputs, flow, filtered_bytes, "")
        filtered = self._perhaps_other_features(filtered, filter_stamp, features)
        matched = self._judge_matches(match_stamp, filtered, match_bytes)
        self.fit_stamp, step, damage = self._checkpoint()
        made_from: dict[str, str | None] = {"filter": fingerprint(filter_stamp)}
        made_from |= self._matches_of_fit(match_stamp) | self._depth_of_fit()
        size = size_on_disk(self._judge.project.checkpoints_dir)
        fit = self._judge.judge("fit", self.fit_stamp, made_from, matched[0] if matched else filtered, size, damage)
        self.fit = self._perhaps_unfinished(fit, step)
        return [frames, flow, *features, filtered, *matched, *depth, self.fit]

    def _regressor_of(self, filter_stamp: Stamp | None) -> dict[str, str]:
        """What judged the hops of filtered data should have been: the regressor of today."""
        if filter_stamp is None:
            return {}
        from omnitrack.correspondence.hop_reliability import hop_regressor

        return {"hop_regressor": hop_regressor().identity}

    def _judge_features(self, frames: Product, filter_stamp: Stamp | None) -> list[Product]:
        """The features of the frames, which the filter stage makes; none where there are none and nobody wants any."""
        from omnitrack.project.feature_store import features_bytes, read_features_stamp

        self._features_stamp = stamp = read_features_stamp(self._judge.project)
        used = "features" in (filter_stamp or {"inputs": {}})["inputs"]
        self._wants_features = used or self._judge.settings.features.extractor != "none"
        if stamp is None and not self._wants_features and not has_shards(self._judge.project, "features"):
            return []
        inputs = {"frames": self._judge.project.meta.fingerprint}
        judged = self._judge.judge("features", stamp, inputs, frames, features_bytes(self._judge.project), "")
        return [replace(judged, command=command_for(self._judge.project, "filter"))]

    def _perhaps_other_features(
        self, filtered: Product, filter_stamp: Stamp | None, features: list[Product]
    ) -> Product:
        if filtered.state != "ready" or filter_stamp is None or not self._wants_features:
            return filtered
        made_from = filter_stamp["inputs"].get("features")
        if features and features[0].state != "ready":
            reason = f"its features are {features[0].state}"
        elif made_from is None:
            reason = "made without features, which omnitrack.toml asks for"
        elif made_from != fingerprint(self._features_stamp):
            reason = "made from other features"
        else:
            return filtered
        return replace(filtered, state="stale", reason=reason)

    def _judge_matches(self, stamp: Stamp | None, filtered: Product, size: int) -> list[Product]:
        """The long-range matches, which the filter stage makes too; none where there are none and none were begun."""
        if stamp is None and not has_shards(self._judge.project, "matching"):
            return []
        from omnitrack.project.feature_store import read_features_stamp

        inputs = {"features": fingerprint(read_features_stamp(self._judge.project))}
        judged = self._judge.judge("matching", stamp, inputs, filtered, size, "")
        return [replace(judged, command=command_for(self._judge.project, "filter"))]

    def _judge_depth(self, frames: Product) -> list[Product]:
        """The depth maps, which the fit stage makes; none where there are none and none are asked for."""
        from omnitrack.project.depth_store import read_depth_stamp, stored_bytes

        stamp = read_depth_stamp(self._judge.project)
        wanted = self._wanted_depth()
        if stamp is None and wanted is None and not has_shards(self._judge.project, "depth"):
            return []
        inputs: dict[str, str | None] = {"frames": self._judge.project.meta.fingerprint}
        if wanted is not None:
            inputs["source"] = wanted["inputs"]["source"]
        judged = self._judge.judge("depth", stamp, inputs, frames, stored_bytes(self._judge.project), "")
        return [replace(judged, command=command_for(self._judge.project, "fit"))]

    def _wanted_depth(self) -> Stamp | None:
        """The stamp of the depth maps that omnitrack.toml asks for; None where it asks for none."""
        from omnitrack.stages.depth import depth_stamp

        try:
            return depth_stamp(self._judge.project, self._judge.settings)
        except OmnitrackError:  # a source without a path, which the fit will say
            return None

    def _depth_of_fit(self) -> dict[str, str | None]:
        """What a fit should be made from besides: depth maps, where it was made from some or should be now."""
        from omnitrack.project.depth_store import read_depth_stamp

        wanted = self._wanted_depth()
        if wanted is None and "depth" not in (self.fit_stamp or {"inputs": {}})["inputs"]:
            return {}
        return {"depth": fingerprint(wanted or read_depth_stamp(self._judge.project))}

    def _frames(self) -> Product:
        lost = [i for i in range(self._judge.project.num_frames) if not self._judge.project.frame_path(i).is_file()]
        source = self._judge.project.meta.source
        reason = f"{len(lost)} frames are missing, the first is {lost[0]}" if lost else ""
        size = size_on_disk(self._judge.project.frames_dir)
        command = shlex.join(["omnitrack", "init", source, "NEW_PROJECT"])
        return Product("frames", "damaged" if lost else "ready", reason, size, command)

    def _correspondences(self) -> tuple[Stamp | None, Stamp | None, int, str]:
        """The stamps of flow and filter, the bytes of the filtered half, and what is wrong with the file."""
        from omnitrack.project.store import FLOW_GROUP, stored_groups

        groups = stored_groups(self._judge.project)
        if not self._judge.project.correspondences_path.exists() or (groups and FLOW_GROUP not in groups):
            return None, None, 0, ""
        from omnitrack.project.store import FILTERED_GROUP, FlowStore

        try:
            with FlowStore(self._judge.project, any_frames=True) as store:
                return store.flow_stamp, store.filter_stamp, store.stored_bytes(FILTERED_GROUP), ""
        except OmnitrackError as error:
            return None, None, 0, error.message

    def _matches(self) -> tuple[Stamp | None, int]:
        """The stamp of the long-range matches and their bytes; a damaged file says so elsewhere."""
        if not self._judge.project.correspondences_path.exists():
            return None, 0
        from omnitrack.project.match_store import MATCH_GROUP, read_match_stamp
        from omnitrack.project.store import FlowStore

        try:
            with FlowStore(self._judge.project, any_frames=True) as store:
                return read_match_stamp(self._judge.project), store.stored_bytes(MATCH_GROUP)
        except OmnitrackError:
            return None, 0

    def _matches_of_fit(self, stamp: Stamp | None) -> dict[str, str | None]:
        """What a fit should be made from besides: the matches, where it was made from some or would be now."""
        made = self.fit_stamp or {"inputs": {}, "settings": {}}
        per_step = made["settings"].get("matches", self._judge.settings.fit.matches)
        if stamp is None and "matches" not in made["inputs"]:
            return {}
        return {"matches": fingerprint(stamp) if stamp is not None and per_step > 0 else None}

    def _files_now(self, flow_stamp: Stamp | None) -> dict[str, str]:
        """Checksums of the files, besides the frames, that the flow was made from and that omnitrack.toml names."""
        made_from = set((flow_stamp or {}).get("inputs", {})) - {"frames"}
        if not made_from:
            return {}  # without waiting for torch
        from omnitrack.correspondence.estimators import weights_identity

        now = weights_identity(self._judge.settings.flow)
        return {name: now[name] for name in made_from & set(now)}

    def _checkpoint(self) -> tuple[Stamp | None, int, str]:
        """The stamp of the fit, the step it has reached, and what is wrong with its file."""
        if not files_in(self._judge.project.checkpoints_dir):
            return None, 0, ""  # without waiting for torch
        from omnitrack.project.checkpoint import load_checkpoint

        try:
            checkpoint = load_checkpoint(self._judge.project)
        except OmnitrackError as error:
            return None, 0, error.message
        return checkpoint.stamp, int(checkpoint.state["step"]), ""

    def _perhaps_unfinished(self, fit: Product, step: int) -> Product:
        if fit.state != "ready" or self.fit_stamp is None or step >= self.fit_stamp["settings"]["steps"]:
            return fit
        # Going on needs the settings it began with, which flags or a preset may have set.
        made, now = self.fit_stamp["settings"], as_dict(self._judge.settings)["fit"]
        flags = [word for key, value in _leaves(made, now, "fit") for word in ("--set", f"{key}={json.dumps(value)}")]
        seed = self.fit_stamp["inputs"].get("seed", 0)
        flags += ["--seed", str(seed)] if seed else []
        reason = f"stopped at step {step} of {made['steps']}"
        return replace(
            fit, state="unfinished", reason=reason, command=command_for(self._judge.project, "fit", "--resume", *flags)
        )


def _leaves(made: Mapping[str, Any], now: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """The dotted settings of `made` that differ from `now`."""
    for key, value in made.items():
        if isinstance(value, dict):
            yield from _leaves(value, now[key], f"{prefix}.{key}")
        elif value != now[key]:
            yield f"{prefix}.{key}", value
