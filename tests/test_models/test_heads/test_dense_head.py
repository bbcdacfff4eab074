import numpy as np
import pytest
import torch
from detection_windows import (
    CHANNELS,
    CLASSES,
    POSITIONS,
    RATE,
    fit,
    hits,
    overlapping_windows,
    window,
)

from mmma.models.heads.dense_head import at_finest, covered_positions, score_runs
from mmma.registry import MODELS

WIDTH = 8


def build(**options):
    sizes = dict(num_classes=CLASSES, in_channels=WIDTH, feat_channels=WIDTH)
    return MODELS.build(dict(type='DenseHead', num_convs=1) | sizes | options)


def pyramid(*valid, positions=POSITIONS):
    mask = torch.arange(positions)[None] < torch.tensor(valid)[:, None]
    masks = [mask[:, ::stride] for stride in (1, 2, 4)]
    levels = [torch.randn(len(valid), WIDTH, m.shape[1]) for m in masks]
    return [x * m[:, None] for x, m in zip(levels, masks, strict=True)], masks


def test_positions_are_covered_as_moments_in_frame_map():
    rows = [(0.5, 1.0, 0), (0.75, 2.1, 1), (3.05, 3.1, 2), (15.9, 16.0, 3)]  # 4 per s
    sample = window([row[:2] for row in rows], [row[2] for row in rows])
    found = covered_positions(sample, POSITIONS, CLASSES)
    places = [found[:, k].nonzero()[:, 0].tolist() for k in range(CLASSES)]
    assert places == [[2, 3], [3, 4, 5, 6, 7, 8], [12], [63], [], []]
    assert not covered_positions(window(), POSITIONS, CLASSES).any()


def test_runs_by_hand():
    one = [0.1, 0.3, 0.5, 0.3, 0.0, 0.6, 0.6]
    scores = np.array([one, [0.2] * 7], np.float32).T
    found = score_runs(scores, 0.4, 0.4)
    assert found.tolist() == [
        [2, 3, 0, 0.5, 0.5],
        pytest.approx([5, 7, 0, 0.6, 0.6]),
    ]
    grown = score_runs(scores, 0.4, 0.2)
    assert grown[0].tolist() == pytest.approx([1, 4, 0, 1.1 / 3, 0.5])
    assert score_runs(scores, 0.15, 0.15)[:, :3].tolist() == [
        [1, 4, 0], [5, 7, 0], [0, 7, 1],
    ]  # fmt: skip
    assert len(score_runs(scores, 0.7, 0.1)) == 0


def test_levels_are_joined_at_the_finest_and_padding_never_counts():
    levels, masks = pyramid(64)
    ramp = [torch.arange(0.0, 64, s).expand(1, 1, -1) for s in (1, 2, 4)]
    joined = at_finest(ramp, masks)[0, 0]
    assert torch.equal(joined[:61], 3 * torch.arange(61.0))
    short = [x[..., : 56 // s] for x, s in zip(levels, (1, 2, 4), strict=True)]
    cut = at_finest(
        short, [m[:, : 56 // s] for m, s in zip(masks, (1, 2, 4), strict=True)]
    )
    masks = pyramid(56)[1]
    blank = [x * m[:, None] for x, m in zip(levels, masks, strict=True)]
    torch.testing.assert_close(at_finest(blank, masks)[..., :56], cut)


@pytest.mark.parametrize('loss', ['focal', 'bce'])
def test_losses_train_all_weights_by_what_exists(loss):
    _, samples = overlapping_windows()
    head = build(num_classes=82, body={}, loss=loss)
    levels, masks = pyramid(64, 56, 64)
    losses = head.eval().loss(levels, masks, samples)
    assert set(losses) == {'loss_cls', 'loss_body'}
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in head.parameters())
    levels[0][1, :, 56:] = 100.0
    torch.testing.assert_close(head.loss(levels, masks, samples), losses)
    for valid in (POSITIONS, 0):
        nothing = head.loss(*pyramid(valid), [window(valid=valid)])
        assert (nothing['loss_cls'] > 0) == (valid > 0)
        assert len(head.detect(*pyramid(0), [window(valid=0)])[0][0]) == 0


def test_loss_by_hand():
    head = build().eval()
    torch.nn.init.zeros_(head.cls_head.weight)
    torch.nn.init.zeros_(head.cls_head.bias)
    sample = window([[2.0, 2.5]], [1])  # positions 8 and 9
    loss = head.loss(*pyramid(POSITIONS), [sample])['loss_cls'].item()
    wanted = np.log(2) * 0.25 * (2 * 0.25 + 0.75 * (POSITIONS * CLASSES - 2)) / 2
    assert loss == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ('options', 'fault'),
    [
        (dict(loss='l1'), "loss 'l1'"),
        (dict(levels='coarse'), "levels 'coarse'"),
        (dict(test_cfg=dict(thresholds=[0.5, 0.2])), 'must rise from 0 to 1'),
        (dict(test_cfg=dict(thresholds=[])), 'must rise from 0 to 1'),
        (dict(test_cfg=dict(hysteresis=0.0)), 'must rise from 0 to 1'),
        (dict(test_cfg=dict(score='sum')), "score 'sum'"),
        (dict(test_cfg=dict(min_secs=1)), 'min_secs'),
    ],
)
def test_options_that_cannot_be(options, fault):
    with pytest.raises(ValueError, match=fault):
        build(**options)


def test_segments_and_frames_are_times_of_the_video():
    head = build(num_classes=82, body={}, test_cfg=dict(thresholds=[0.5])).eval()
    logits = torch.full((1, 82, POSITIONS), -5.0)
    logits[0, 7, 4:8] = 1.0
    logits[0, 9, 0] = 2.0
    bodies = torch.full((1, 7, POSITIONS), -5.0)
    head.forward = lambda levels, masks: dict(cls=logits, body=bodies)
    sample = window(start_sec=10.0, valid=60)
    ((actions, groups),) = head.detect(*pyramid(60), [sample])
    assert len(groups) == 0
    assert actions.labels.tolist() == [9, 7]
    assert actions.segments_sec.tolist() == [[9.875, 10.125], [10.875, 11.875]]
    assert actions.scores == pytest.approx([0.880797, 0.731059], abs=1e-5)
    first, rate, scores = sample.pred_frames
    assert (first, rate, scores.shape) == (40, RATE, (60, 89))
    head.test_cfg['min_sec'] = 0.5
    assert head.detect(*pyramid(60), [sample])[0][0].labels.tolist() == [7]


def test_a_detector_learns_one_batch():
    torch.manual_seed(0)
    arch = dict(in_channels=CHANNELS, out_channels=32, arch=(1, 0, 3), path_drop=0.0)
    model = MODELS.build(
        dict(
            type='SegmentDetector',
            projection=dict(type='Conv1DTransformerProj', **arch),
            neck=dict(type='FPNIdentity', in_channels=32, num_levels=4),
            head=dict(
                type='DenseHead',
                num_classes=CLASSES,
                in_channels=32,
                feat_channels=32,
                num_convs=1,
            ),
        )
    )
    features, samples = overlapping_windows()
    assert fit(model, features, samples, 60)['loss_cls'] < 0.1
    found, truths, *_ = hits(model, features, samples, 0.5)
    assert found >= truths - 1
    for sample in samples:
        truth = covered_positions(sample, POSITIONS, CLASSES).numpy()[: sample.valid]
        assert ((sample.pred_frames[2] > 0.5) == truth).mean() > 0.95
