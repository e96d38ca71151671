"""Volume rendering along a frame's rays: densities to weights, and weights to means.

A ray has K samples in front-to-back order. With sigma_k the density of a sample,

    alpha_k = 1 - exp(-sigma_k),  T_k = prod_{m < k} (1 - alpha_m),  w_k = T_k alpha_k

and any value v_k is rendered as sum_k w_k v_k. There are no interval lengths, because samples are evenly spaced.

Source:
    OmniMotion (ICCV 2023), equations 2 to 4, after NeRF.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_LIGHT = 1e-10  # passes an opaque sample: keeps the logarithm of the transmittance and its gradient finite


def alphas_from_density(density: Tensor) -> Tensor:
    """Opacity (..., K) of samples of density (..., K) >= 0."""
    return 1 - torch.exp(-density)


def weights_from_alphas(alphas: Tensor) -> Tensor:
    """The contribution of each sample to its ray: (..., K) >= 0, at most 1 in total.

    Args:
        alphas: (..., K) opacities, front to back.
    """
    # a sum of logarithms, because the gradient of torch.cumprod synchronises with the host to look for zero factors
    light = torch.exp(torch.cumsum(torch.log(1 - alphas[..., :-1] + LEAST_LIGHT), -1))
    return alphas * torch.cat([torch.ones_like(alphas[..., :1]), light], -1)


def accumulate(weights: Tensor, values: Tensor, normalise: bool = False) -> Tensor:
    """The ray's value sum_k w_k v_k.

    Args:
        weights: (..., K).
        values: (..., K, n).
        normalise: Divide by the sum of the weights: a mean even if the ray is not opaque or samples were left out.

    Returns:
        (..., n).
    """
    total = (weights.unsqueeze(-1) * values).sum(-2)
    return total / weights.sum(-1, keepdim=True).clamp_min(1e-6) if normalise else total


def even_depths(near: float, far: float, count: int, device: torch.device) -> Tensor:
    """The depths (K,) of a ray's samples in a query: evenly spaced from `near` to `far`, both included."""
    return torch.linspace(near, far, count, device=device)


def stratified_depths(rays: int, near: float, far: float, count: int, generator: torch.Generator) -> Tensor:
    """Random depths (rays, K), front to back: each uniform between the midpoints to its evenly spaced neighbours.

    The first and the last are drawn from half an interval, which ends at `near` or `far`.
    """
    even = even_depths(near, far, count, generator.device)
    middles = (even[1:] + even[:-1]) / 2
    low, high = torch.cat([even[:1], middles]), torch.cat([middles, even[-1:]])
    return low + (high - low) * torch.rand(rays, count, generator=generator, device=generator.device)


def distortion(weights: Tensor, depths: Tensor) -> Tensor:
    """The spread of a ray's weight in depth, (...): smallest if all of it is in one sample.

        sum_kl w_k w_l |m_k - m_l| + 1/3 sum_k w_k^2 s_k

    with m_k the midpoint and s_k the length of the interval from sample k to the next; the last one has length zero.

    Args:
        weights: (..., K).
        depths: (..., K), front to back.

    Source:
        Barron et al., "Mip-NeRF 360", CVPR 2022, equation 15.
    """
    ends = torch.cat([depths[..., 1:], depths[..., -1:]], -1)
    middles, lengths = (depths + ends) / 2, ends - depths
    apart = (middles[..., :, None] - middles[..., None, :]).abs()
    between = (weights[..., :, None] * weights[..., None, :] * apart).sum((-2, -1))
    return between + (weights**2 * lengths).sum(-1) / 3


def weight_in_front(weights: Tensor, depths: Tensor, depth: Tensor) -> Tensor:
    """The total weight (...) of a ray's samples nearer than `depth` (...); weights and depths (..., K)."""
    return (weights * (depths < depth.unsqueeze(-1))).sum(-1)
