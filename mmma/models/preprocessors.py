"""Preprocessors: a batch of samples to the input of a network, on its device.

Heatmap volumes have every joint or limb as a channel. Only pixels near one are
computed, of all frames at once. Numbers are of MMAction2's ``GeneratePoseTarget``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from torch import Tensor

from mmma.data.joints import JointLayout, joint_tree, select_limbs
from mmma.registry import MODELS
from mmma.taxonomy import check_choice

Layout = str | JointLayout | Mapping[str, Any]
Joints = str | Sequence[str]
Limbs = str | Sequence[Sequence[str]] | None
SIGMA = 0.6
_MIN_SCORE = 1e-4  # below it nothing is drawn, as upstream


def heatmap_channels(
    layout: Layout, joints: Joints, limbs: Limbs
) -> tuple[int, tuple[tuple[int, int], ...] | None]:
    """Number of joints, and the ends of each limb that is a channel, or None.

    As :func:`mmma.data.joints.select_limbs`; without limbs each joint is a channel.
    """
    pairs = None if limbs is None else select_limbs(limbs, layout, joints)
    return len(joint_tree(layout, joints).names), pairs


@torch.no_grad()
def draw_heatmaps(
    keypoint: Tensor,
    score: Tensor,
    size: tuple[int, int],
    limbs: Sequence[tuple[int, int]] | None = None,
    sigma: float = SIGMA,
) -> Tensor:
    """Volumes of joints or limbs; of several persons, the highest value counts.

    A joint is ``score * exp(-d^2 / (2 sigma^2))``, with d the distance from it. A limb
    has the distance from its line and the lower score of its ends; one shorter than a
    pixel is drawn as its first joint. Both end three sigmas around, at whole pixels
    rounded towards 0. A joint with score 0 or NaN is missing, with its limbs.

    From keypoints (N, M, T, V, 2), pixels of the volume, and scores (N, M, T, V), to
    (N, C, T, H, W), float32; ``limbs`` are both ends of each, or None for joints.

    Raises:
        ValueError: A volume smaller than one joint.

    Source: MMAction2, GeneratePoseTarget, 4d6c9347.
    """
    channels = keypoint.shape[3] if limbs is None else len(limbs)
    canvas = _Canvas(keypoint, size, channels, sigma)
    seen = (score >= _MIN_SCORE) & keypoint.isfinite().all(-1)
    keypoint = torch.where(seen[..., None], keypoint, 0).float()
    score = torch.where(seen, score, 0).float()
    # (N, M, T, V, 2) -> (M, 2, V, N * T), and without the 2
    keypoint = keypoint.permute(1, 4, 3, 0, 2).flatten(3)
    score = score.permute(1, 3, 0, 2).flatten(2)
    for points, values in zip(keypoint, score, strict=True):
        if limbs is None:
            canvas.draw_points(points.flatten(1), values.flatten())
        else:
            ends = torch.tensor(limbs, device=keypoint.device).unbind(1)
            starts, stops = (points[:, end].flatten(1) for end in ends)
            first, last = (values[end].flatten() for end in ends)
            canvas.draw_limbs(starts, stops, first, last)
    return canvas.volume


class _Canvas:
    """Flat pixels of N * C * T maps, drawn on by one person after another."""

    def __init__(
        self, like: Tensor, size: tuple[int, int], num_channels: int, sigma: float
    ) -> None:
        self.factor, self.reach = -0.5 / sigma**2, 3 * sigma
        self.taps = int(2 * self.reach) + 2  # pixels that a joint can cover, one way
        clips, _, frames = like.shape[:3]
        self.height, self.width = size
        if min(size) < self.taps:
            raise ValueError(
                f'heatmaps of {self.height} x {self.width} pixels: use at least '
                f'{self.taps} x {self.taps} for sigma {sigma}.'
            )
        shape = (clips, num_channels, frames, *map(int, size))
        if like.device.type == 'cpu':
            # numpy leaves empty pages to the system; most of a volume stays empty.
            self.volume = torch.from_numpy(np.zeros(shape, np.float32))
        else:
            self.volume = torch.zeros(shape, device=like.device)
        self.pixels = self.volume.view(-1)
        self.size = torch.tensor([[self.width], [self.height]], device=like.device)
        self.steps = torch.arange(self.taps, device=like.device)
        self.window = (self.steps[:, None] * self.width + self.steps).flatten()
        maps = torch.arange(clips * num_channels * frames, device=like.device)
        # Keypoints come as (C, N * T), maps lie as (N, C, T).
        self.maps = maps.view(clips, num_channels, frames).permute(1, 0, 2).flatten()
        self.empty = True

    def draw_points(self, centres: Tensor, values: Tensor) -> None:
        """One joint on each of B maps: centres (2, B), values (B,)."""
        first = (centres - self.reach).trunc_().clamp_(min=0)
        last = (centres + self.reach).trunc_()
        # The window is moved into the map; what it gains there gets weight 0.
        start = torch.minimum(first, self.size - self.taps)
        places = start[..., None] + self.steps  # (2, B, taps)
        weights = (places - centres[..., None]).square_().mul_(self.factor).exp_()
        weights.mul_(places >= first[..., None]).mul_(places <= last[..., None])
        columns, rows = start.long()
        corners = (self.maps * self.height + rows) * self.width + columns
        high = (weights[1] * values[:, None])[..., None]
        values = high * weights[0, :, None]  # (B, taps, taps)
        self._put((corners[:, None] + self.window).flatten(), values.flatten())

    def draw_limbs(
        self, starts: Tensor, stops: Tensor, first: Tensor, last: Tensor
    ) -> None:
        """One limb on each of B maps: ends (2, B) each, their scores (B,) each."""
        values = torch.minimum(first, last)
        squares = (stops - starts).square_().sum(0)
        short = squares < 1
        if bool(short.any()):
            self.draw_points(starts, torch.where(short & (values > 0), first, 0))
        chosen = (~short & (values > 0)).nonzero()[:, 0]
        maps = self.maps[chosen]  # of L limbs
        limbs = torch.cat([starts, stops - starts, squares[None], values[None]])
        limbs = limbs.index_select(1, chosen)  # (6, L)
        starts, stops = (x.index_select(1, chosen) for x in (starts, stops))
        low = torch.minimum(starts, stops).sub_(self.reach).trunc_().clamp_(min=0)
        high = torch.maximum(starts, stops).add_(self.reach).trunc_().add_(1)
        extents = torch.minimum(high, self.size).sub_(low).clamp_(min=0)
        # Every pixel of the box around each limb, by its rows.
        corners, (columns, rows) = low.long(), extents.long()
        of_row, row = _spread(torch.where(columns > 0, rows, 0))
        corner = corners.index_select(1, of_row)
        row += corner[1]
        begin = (maps[of_row] * self.height + row) * self.width + corner[0]
        x, y, dx, dy, square, value = limbs.index_select(1, of_row)
        up = row - y
        left = corner[0] - x
        rows = torch.stack([left, up, dx, dy, dx / square, up * dy / square, value])
        of_pixel, column = _spread(columns[of_row])
        left, up, dx, dy, slope, offset, value = rows.index_select(1, of_pixel)
        across = left.add_(column)
        along = slope.mul_(across).add_(offset).clamp_(0, 1)  # nearest of the limb
        across.addcmul_(along, dx, value=-1)
        up.addcmul_(along, dy, value=-1)
        distance = across.square_().addcmul_(up, up)
        values = distance.mul_(self.factor).exp_().mul_(value)
        self._put(begin.index_select(0, of_pixel).add_(column), values)

    def _put(self, places: Tensor, values: Tensor) -> None:
        """Keep the higher of what is there and what comes; no place comes twice."""
        if not self.empty:
            values = torch.maximum(values, self.pixels.index_select(0, places))
        self.pixels.scatter_(0, places, values)
        self.empty = False


def _spread(counts: Tensor) -> tuple[Tensor, Tensor]:
    """For (L,) counts: whose each of their sum is, and its number among the owner's."""
    owners = torch.repeat_interleave(counts)
    begins = counts.cumsum(0) - counts
    numbers = torch.arange(len(owners), device=counts.device)
    return owners, numbers.sub_(begins.index_select(0, owners))


@torch.no_grad()
def move_camera(clips: Tensor, prob: float, shake: float, clutter: float) -> Tensor:
    """Film clips (N, T, C, H, W) again, by hand and with more behind.

    With ``prob`` each: a clip moves along a smooth path over about ``shake`` of its
    size; a still of another clip of the batch, magnified and moving over up to half the
    size, is blended in by a share of up to ``clutter``.

    Source: after Wang et al., 'Removing the Background by Adding the Background', CVPR
    2021, whose still stands. Sizes are our own, drawn wide.
    """
    count, length = clips.shape[:2]
    moves, mixes = torch.rand(2, count, device=clips.device) < prob
    zoom, reach, share, *place = torch.rand(5, count, device=clips.device)
    clips = _film(clips, shake * moves, 0 * zoom, zoom.new_zeros(count, 2))
    stills = clips.roll(1, 0)[torch.arange(count), torch.randint(length, (count,))]
    stills = stills[:, None].expand_as(clips)
    place = torch.stack(place, 1) * 0.6 - 0.3
    stills = _film(stills, reach * 0.5, zoom * 1.32 - 0.92, place)
    return torch.lerp(clips, stills, (share * clutter * mixes).view(-1, 1, 1, 1, 1))


def _film(clips: Tensor, reach: Tensor, zoom: Tensor, place: Tensor) -> Tensor:
    """Clips along smooth paths around a place (N, 2), magnified by exp(zoom) (N,)."""
    count, length = clips.shape[:2]
    drift, rate, start, high = torch.rand(4, count, 2, 1, device=clips.device)
    at = torch.arange(length, device=clips.device) / length
    wave = (2 * torch.pi * ((0.3 + 2.2 * rate) * at + start)).sin()
    path = (2 * drift - 1) * at + 0.5 * high * wave  # (N, 2, T)
    path = (path - path.mean(-1, keepdim=True)) * reach[:, None, None]
    seen = torch.zeros(count, length, 2, 3, device=clips.device)
    seen[..., 0, 0] = seen[..., 1, 1] = (-zoom).exp()[:, None]
    seen[..., 2] = 2 * (path + place[..., None]).transpose(1, 2)
    frames, how = clips.flatten(0, 1), dict(align_corners=False)
    grid = F.affine_grid(seen.flatten(0, 1), list(frames.shape), **how)
    return F.grid_sample(frames, grid, padding_mode='reflection', **how).view_as(clips)


@MODELS.register_module()
class FrameDifferencePreprocessor(ActionDataPreprocessor):
    """Replace each frame by its difference to the next one.

    Static background, clothes and light cancel, which networks learn first. The last
    difference of a view stands twice, so that the number of frames stays. ``mean``
    cancels as well: ``std`` sets the scale. What moves with the camera does not cancel:
    ``camera``, arguments of :func:`move_camera`, teaches in training to look past it.
    A view has ``num_frames``, and samples are, by ``format_shape``, ``NCHW``
    (S, C, H, W) of S frames, all views in a row, or ``NCTHW`` (views, C, T, H, W).

    Raises:
        ValueError: Another format, fewer than two frames, or a sample that is not a
            whole number of views.

    Source: RGB difference of TSN, arXiv 1608.00859, section 3.2.
    """

    def __init__(
        self,
        num_frames: int,
        format_shape: str = 'NCHW',
        camera: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        check_choice('format_shape', format_shape, ('NCHW', 'NCTHW'))
        if num_frames < 2:
            raise ValueError(f'num_frames is {num_frames}: a difference takes 2.')
        if camera and format_shape != 'NCHW':
            raise ValueError(f'camera moves NCHW, not {format_shape}: leave it out.')
        super().__init__(format_shape=format_shape, **kwargs)
        self.num_frames, self.camera = num_frames, camera

    def preprocess(
        self, inputs: list[Tensor], data_samples: list, training: bool = False
    ) -> tuple[Tensor, list]:
        """Stack, normalise and subtract N samples of one shape.

        Gives (N, S, C, H, W) or (N, views, C, T, H, W), and the samples.
        """
        clips, data_samples = super().preprocess(inputs, data_samples, training)
        axis = 1 if self.format_shape == 'NCHW' else 3
        frames = clips.shape[axis]
        if frames % self.num_frames or (axis == 3 and frames != self.num_frames):
            raise ValueError(
                f'samples of {frames} frames are no views of {self.num_frames}: make '
                'num_frames the clip_len of the pipeline.'
            )
        views = clips.unflatten(axis, (-1, self.num_frames))
        if training and self.camera:
            views = move_camera(views.flatten(0, 1), **self.camera).view_as(views)
        steps = views.diff(dim=axis + 1)
        last = steps.narrow(axis + 1, self.num_frames - 2, 1)
        return torch.cat([steps, last], axis + 1).flatten(axis, axis + 1), data_samples


@MODELS.register_module()
class HeatmapPreprocessor(ActionDataPreprocessor):
    """Draw the heatmap volumes of a batch from its joints, on the model's device.

    Samples come from ``FormatKeypoints`` and carry ``img_shape``, H and W of the volume
    in pixels. ``layout`` and ``joints`` are as of ``LoadSkeleton``; ``limbs`` is None
    for joints, else ``body17``, ``tree``, or pairs of joints. ``sigma`` is in pixels of
    the volume, whose sides are those of the picture times ``scale``.

    Raises:
        ValueError: An unknown layout, set, joint or limb.
    """

    def __init__(
        self,
        layout: Layout = 'wholebody65',
        joints: Joints = 'body17',
        limbs: Limbs = None,
        sigma: float = SIGMA,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.sigma, self.scale = sigma, scale
        self.num_joints, self.limbs = heatmap_channels(layout, joints, limbs)

    def preprocess(
        self, inputs: list[Tensor], data_samples: list, training: bool = False
    ) -> tuple[Tensor, list]:
        """Draw the volumes of N samples; the samples stay.

        From N arrays (S, M, T, V, 3) of x, y, score to (N, S, C, T, H, W).

        Raises:
            ValueError: Samples of different sizes, or of another number of joints.
        """
        sizes = {tuple(sample.img_shape) for sample in data_samples}
        if len(sizes) > 1:
            raise ValueError(
                f'pictures of {sorted(sizes)} in one batch: resize all to one size '
                '(Resize with keep_ratio=False).'
            )
        joints = torch.stack(list(inputs))  # (N, S, M, T, V, 3)
        if joints.shape[4] != self.num_joints:
            raise ValueError(
                f'keypoints have {joints.shape[4]} joints, the heatmaps expect '
                f'{self.num_joints}: give LoadSkeleton and the heatmaps the same ones.'
            )
        views = joints.flatten(0, 1)
        size = tuple(int(side * self.scale + 0.5) for side in sizes.pop())
        places, score = views[..., :2] * self.scale, views[..., 2]
        volumes = draw_heatmaps(places, score, size, self.limbs, self.sigma)
        return volumes.unflatten(0, joints.shape[:2]), data_samples
