"""The bilinear LR skip of the LTE models (LTE, arXiv 2111.08918, section 3): the upsampled input, added at the end."""

import torch.nn.functional as F

from . import geometry


def bilinear(
    image,  # (B, 3, h, w): the normalised LR image, over the same LR window as the fields
    queries,
):
    """Bilinear sample with half-pixel centres and repeated borders: (B, *queries.shape, 3)."""
    image = image.permute(0, 2, 3, 1)
    total = 0
    for ky, weight_y in enumerate(queries.y.skip_weights):
        for kx, weight_x in enumerate(queries.x.skip_weights):
            total = total + (weight_y * weight_x)[..., None] * geometry.gather_skip(image, queries, ky, kx)
    return total


def published(
    image,  # (B, 3, h, w)
    coord,  # (B, Q, 2)
):
    """The same the published way, through grid_sample: (B, Q, 3)."""
    sampled = F.grid_sample(image, coord.flip(-1).unsqueeze(1), mode="bilinear", padding_mode="border",
                            align_corners=False)
    return sampled[:, :, 0].permute(0, 2, 1)
