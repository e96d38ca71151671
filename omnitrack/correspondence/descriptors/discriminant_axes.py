"""Axes that distinguish the places of a clip: Fisher's linear discriminants of its descriptors.

The descriptor of a place changes from frame to frame, by blur, light and deformation. A direction distinguishes places
if the places of a frame differ along it by more than the same place differs between frames. What all places have in
common, which is most of a learned descriptor, does not count.

Source:
    Fisher, The Use of Multiple Measurements in Taxonomic Problems, Annals of Eugenics 1936; Hua, Brown and Winder,
    Discriminant Embedding for Local Image Descriptors, ICCV 2007.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEAST_CHANGE = 0.01  # of the mean square of a channel: least change between frames that is assumed of any direction
LEAST_LENGTH = 1e-3  # mean squared length assumed of the descriptors of blank frames, along which nothing is learned
Views = tuple[Tensor, NDArray[np.bool_], Tensor]


def discriminant_axes(views: Iterable[Views], kept: int) -> Tensor:
    """Return (C, k) float32 axes, the most discriminating first, along each of which a place changes by about 1.

    They are the principal axes of the places if no place is seen twice.

    Args:
        views: Descriptors (N, C), of length at most 1, of places of a frame; which of them (N,) are seen again; and
            descriptors (M, C) of the M places seen again, in the other frame.
        kept: Number of axes to keep; k is the smaller of this and C.
    """
    between = within = total = torch.zeros((), dtype=torch.float64)
    places = again = 0
    for first, seen, second in views:
        first, second = first.double().cpu(), second.double().cpu()
        change = first[torch.from_numpy(seen)] - second
        between, within = between + first.T @ first, within + change.T @ change / 2
        total, places, again = total + first.sum(0), places + len(first), again + len(second)
    mean = total / max(places, 1)
    between, within = between / max(places, 1) - mean.outer(mean), within / max(again, 1)
    channels = len(between)
    least = LEAST_CHANGE * max(float(between.trace()), LEAST_LENGTH) / channels
    whiten = torch.linalg.cholesky(within + least * torch.eye(channels, dtype=torch.float64)).inverse()
    directions = torch.linalg.eigh(whiten @ between @ whiten.T).eigenvectors.flip(1)
    return (whiten.T @ directions)[:, :kept].float()
