"""Windows with random features and overlapping instances, and a detector for them."""

import numpy as np
import torch

from mmma.registry import MODELS
from mmma.structures.samples import SegmentSample
from mmma.structures.segments import NmsOptions, tiou_pairs

POSITIONS, RATE, CHANNELS, CLASSES = 64, 4.0, 16, 6


def window(segments=(), labels=(), valid=POSITIONS, start_sec=0.0, positions=POSITIONS):
    """A sample with instances, in seconds from the start of the window."""
    sample = SegmentSample(
        metainfo=dict(
            video='v',
            window_start_sec=start_sec,
            rate=RATE,
            positions=positions,
            duration_sec=start_sec + valid / RATE,
        )
    )
    sample.gt_segments = torch.tensor(segments, dtype=torch.float32).reshape(-1, 2)
    sample.gt_labels = torch.tensor(labels, dtype=torch.long)
    sample.valid = valid
    return sample


def overlapping_windows():
    """Features of three windows; apart, nested, and with one centre but two lengths."""
    samples = [
        window([[1.0, 4.0], [6.0, 8.0], [7.0, 15.0]], [0, 1, 2]),
        window([[2.0, 3.5], [1.0, 9.0], [10.0, 13.0]], [3, 4, 5], valid=56),
        window([[3.0, 7.0], [2.4, 7.6], [9.0, 13.0], [8.4, 13.6]], [0, 1, 2, 3]),
    ]
    features = torch.randn(3, CHANNELS, POSITIONS, generator=torch.manual_seed(5))
    return features, samples


def tiny_detector(head='ActionFormerHead', width=32, arch=(1, 0, 3), **options):
    """A detector of features with as many levels as ``arch`` says."""
    levels = arch[2] + 1
    options = dict(num_classes=CLASSES) | options
    return MODELS.build(
        dict(
            type='SegmentDetector',
            projection=dict(
                type='Conv1DTransformerProj',
                in_channels=CHANNELS,
                out_channels=width,
                arch=arch,
                path_drop=0.0,
            ),
            neck=dict(type='FPNIdentity', in_channels=width, num_levels=levels),
            head=dict(
                type=head,
                in_channels=width,
                feat_channels=width,
                num_convs=1,
                num_levels=levels,
                **options,
            ),
        )
    )


def fit(model, features, samples, steps, lr=4e-3):
    """Train on one batch; the last losses."""
    optimizer = torch.optim.AdamW(model.parameters(), lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps)
    model.train()
    for _ in range(steps):
        losses = model(features, samples, mode='loss')
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        schedule.step()
    return {name: loss.item() for name, loss in losses.items()}


def hits(model, features, samples, tiou, score=0.2):
    """Truths found, truths, detections above a score, and right ones of these."""
    model.eval()
    model(features, samples, mode='predict')
    found = truths = right = count = 0
    for sample in samples:
        best = sample.pred.nms(NmsOptions(method='hard', tiou=0.5))
        best = best.select(best.scores > score)
        truth = sample.gt_segments.double().numpy()
        near = tiou_pairs(
            best.segments_sec.repeat(len(truth), 0), np.tile(truth, (len(best), 1))
        ).reshape(len(best), len(truth))
        same = best.labels[:, None] == sample.gt_labels.numpy()
        good = (near >= tiou) & same
        found, truths = found + good.any(0).sum(), truths + good.shape[1]
        right, count = right + good.any(1).sum(), count + len(best)
    return int(found), int(truths), int(right), int(count)
