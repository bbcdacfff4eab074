import numpy as np
import pytest
import torch
from detection_windows import CLASSES, POSITIONS, RATE, overlapping_windows, window

from mmma.models.heads.segment_heads import RADIUS, TARGETS, assign_truths, reach_points
from mmma.models.pyramid import pyramid_points
from mmma.registry import MODELS
from mmma.taxonomy import load_label_space


def test_ranges_are_those_of_thumos():
    points = pyramid_points([1] * 6, [2**level for level in range(6)])
    assert list(zip(points.low.tolist(), points.high.tolist(), strict=True)) == [
        (0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 10000),
    ]  # fmt: skip


def test_points_lie_at_multiples_of_the_stride():
    points = pyramid_points([4, 2], [1, 2])
    assert {name: value.tolist() for name, value in vars(points).items()} == {
        'times': [0, 1, 2, 3, 0, 2],
        'strides': [1, 1, 1, 1, 2, 2],
        'low': [0, 0, 0, 0, 4, 4],
        'high': [4, 4, 4, 4, 10000, 10000],
        'levels': [0, 0, 0, 0, 1, 1],
    }


def test_decode_by_hand_and_as_the_inverse_of_encode():
    points = pyramid_points([8, 4, 2], [1, 2, 4])
    index = torch.tensor([3, 9, 13])  # at 3, 2 and 4
    segments = torch.tensor([[0.5, 4.25], [1.0, 8.0], [-2.0, 5.0]])
    offsets = points.encode(segments, index)
    assert offsets.tolist() == [[2.5, 1.25], [0.5, 3.0], [1.5, 0.25]]
    assert torch.equal(points.decode(offsets, index), segments)


LEVELS, CLASSES_ASSIGNER = 4, 5
POINTS = pyramid_points([32, 16, 8, 4], [1, 2, 4, 8])


def brute_force(segments, labels, targets):
    """Owners of points and of pairs, one point, one truth at a time."""
    owners, by_class = [], []
    for level, (low, high) in enumerate([(0, 4), (4, 8), (8, 16), (16, 10000)]):
        stride = 2**level
        for step in range(32 >> level):
            time = step * stride
            fits = {}
            for truth, (start, end) in enumerate(segments):
                left, right = time - start, end - time
                near = abs(time - (start + end) / 2) < RADIUS * stride
                if left > 0 and right > 0 and near and low <= max(left, right) <= high:
                    fits[truth] = end - start
            best = min(fits, key=fits.get, default=-1)
            owners.append(best)
            row = [-1] * CLASSES_ASSIGNER
            for truth in sorted(fits, key=fits.get, reverse=True):
                if targets == 'union' or fits[truth] <= fits[best] + 1e-3:
                    row[labels[truth]] = truth
            by_class.append(row)
    return owners, by_class


@pytest.mark.parametrize('targets', TARGETS)
def test_equals_brute_force(targets):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        count = rng.integers(1, 9)
        starts = rng.uniform(0, 28, count)
        segments = np.stack([starts, starts + rng.exponential(6, count) + 0.5], axis=1)
        labels = rng.integers(0, CLASSES_ASSIGNER, count)
        table = torch.tensor(segments, dtype=torch.float32)
        found = assign_truths(
            POINTS, table, torch.tensor(labels), CLASSES_ASSIGNER, targets
        )
        wanted = brute_force(table.double().tolist(), labels, targets)
        assert [x.tolist() for x in found] == list(wanted), seed


def test_no_truth_is_all_background():
    owners, by_class = assign_truths(
        POINTS, torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), CLASSES_ASSIGNER
    )
    assert owners.tolist() == [-1] * 60
    assert by_class.tolist() == [[-1] * CLASSES_ASSIGNER] * 60


def classes_of(segments, labels, targets):
    _, by_class = assign_truths(
        POINTS, torch.tensor(segments), torch.tensor(labels), CLASSES_ASSIGNER, targets
    )
    return {tuple(row.nonzero()[:, 0].tolist()) for row in by_class >= 0} - {()}


@pytest.mark.parametrize('targets', TARGETS)
def test_equal_lengths_are_both_true(targets):
    assert classes_of([[4.0, 10.0]] * 2, [1, 3], targets) == {(1, 3)}


def test_only_union_keeps_a_longer_one():
    segments = [[4.0, 10.0], [3.5, 10.5]]
    assert classes_of(segments, [1, 3], 'shortest') == {(1,)}
    assert (1, 3) in classes_of(segments, [1, 3], 'union')


@pytest.mark.parametrize('centre', [8.0, 12.3, 15.5])
def test_every_truth_beyond_half_a_position_is_found_where_it_covers_a_point(centre):
    for length in (0.6, 1.5, 4.0, 7.9, 8.0, 8.1, 16.0, 24.0):
        segment = torch.tensor([[centre - length / 2, centre + length / 2]])
        owners, _ = assign_truths(POINTS, segment, torch.tensor([0]), CLASSES_ASSIGNER)
        covered = ((POINTS.times - centre).abs() < length / 2).any()
        assert (owners == 0).any() == covered, length


HEADS = ['ActionFormerHead', 'TriDetHead']


def test_a_truth_of_one_frame_reaches_a_point():
    frames = torch.arange(0, 30, 15 / 25)  # of 25 per second at 15 positions
    for start in frames.tolist():
        table = reach_points(torch.tensor([[start, start + 0.6]]), 30)
        owners, _ = assign_truths(POINTS, table, torch.tensor([0]), CLASSES_ASSIGNER)
        (found,) = (owners == 0).nonzero()[:, 0].tolist()
        assert POINTS.strides[found] == 1
        assert abs(POINTS.times[found] - start - 0.3) < 0.81
        assert (table[0, 1] - table[0, 0]).item() < 1.7
        assert (POINTS.encode(table, torch.tensor([found])) > 0).all()


def test_truths_with_a_point_inside_stay_as_they_are():
    table = torch.tensor([[0.2, 1.8], [3.9, 4.1], [2.0, 3.01], [0.0, 30.0]])
    assert reach_points(table, 30) is not table
    assert reach_points(table, 30).tolist() == table.tolist()
    assert reach_points(torch.zeros(0, 2), 30).shape == (0, 2)


@pytest.mark.parametrize('kind', HEADS)
def test_a_truth_of_one_frame_is_learned(kind):
    head = build(kind).eval()
    sample = window([[2.06, 2.1]], [1])
    losses = head.loss(*pyramid(POSITIONS), [sample])
    assert losses['loss_reg'] > 0
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters() if p.grad is not None)


WIDTH = 8


def build(kind='ActionFormerHead', **options):
    settings = dict(num_classes=CLASSES, in_channels=WIDTH, feat_channels=WIDTH)
    settings |= dict(num_convs=1, num_levels=3)
    return MODELS.build(dict(type=kind) | settings | options)


def even(**options):
    """A head that scores everything 0.5."""
    head = build(**options).eval()
    for layer in (head.cls_head, head.body_head):
        if layer is not None:
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    return head


def actions_of(head, levels, masks, samples):
    return [actions for actions, _ in head.detect(levels, masks, samples)]


def pyramid(*valid, positions=POSITIONS):
    mask = torch.arange(positions)[None] < torch.tensor(valid)[:, None]
    masks = [mask[:, ::stride] for stride in (1, 2, 4)]
    return [torch.randn(len(valid), WIDTH, m.shape[1]) for m in masks], masks


@pytest.mark.parametrize('kind', HEADS)
def test_losses_train_all_weights(kind):
    _, samples = overlapping_windows()
    head = build(kind, num_classes=82, body={})
    losses = head.loss(*pyramid(64, 56, 64), samples)
    assert set(losses) == {'loss_cls', 'loss_reg', 'loss_body'}
    sum(losses.values()).backward()
    idle = {n for n, p in head.named_parameters() if p.grad is None}
    assert not idle


@pytest.mark.parametrize('kind', HEADS)
def test_a_batch_without_truth_or_positions_is_finite(kind):
    for valid in (POSITIONS, 0):
        head = build(kind)
        losses = head.loss(*pyramid(valid), [window(valid=valid)])
        sum(losses.values()).backward()
        assert losses['loss_reg'] == 0
        assert (losses['loss_cls'] > 0) == (valid > 0)
        assert all(p.grad.isfinite().all() for p in head.parameters())
        head.eval()
        assert len(actions_of(head, *pyramid(0), [window(valid=0)])[0]) == 0


def test_classification_loss_by_hand():
    head = even()
    sample = window([[2.0, 2.5]], [1])  # positions 8 to 10; only 9 is strictly inside
    losses = head.loss(*pyramid(POSITIONS), [sample])
    points = 64 + 32 + 16
    entropy, focus = -torch.tensor(0.5).log(), 0.25
    wanted = entropy * focus * (0.25 + 0.75 * (points * CLASSES - 1))
    assert losses['loss_cls'].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_the_normaliser_is_a_running_mean_of_positive_points():
    head = build()
    assert head.state_dict()['loss_normalizer'] == 100
    head.loss(*pyramid(64), [window([[2.0, 2.5]], [1])])
    assert head.loss_normalizer.item() == pytest.approx(90.1)
    head.loss(*pyramid(64), [window()])  # none counts as one
    assert head.loss_normalizer.item() == pytest.approx(81.19)
    head.eval().loss(*pyramid(64), [window()])
    assert head.loss_normalizer.item() == pytest.approx(81.19)


@pytest.mark.parametrize('kind', HEADS)
def test_positions_that_do_not_exist_have_no_truth(kind):
    head = build(kind).eval()
    sample = window([[2.0, 2.5]], [1], valid=8)
    assert head.loss(*pyramid(8), [sample])['loss_reg'] == 0


@pytest.mark.parametrize('kind', HEADS)
def test_truths_of_a_batch_do_not_mix(kind):
    head = build(kind).eval()
    levels, masks = pyramid(0, 64)
    other, sample = window([[2.0, 3.0]], [0], valid=0), window([[2.5, 7.0]], [1])
    both = head.loss(levels, masks, [other, sample])
    alone = head.loss([x[1:] for x in levels], [m[1:] for m in masks], [sample])
    torch.testing.assert_close(both, alone)


def lively(kind, **options):
    """A head with scores about 0.5 and segments of several strides."""
    head = build(kind, **options).eval()
    torch.nn.init.zeros_(head.cls_head.bias)
    torch.nn.init.normal_(head.cls_head.weight)
    torch.nn.init.normal_(head.reg_head.weight)
    return head


@pytest.mark.parametrize('kind', HEADS)
def test_detections_are_seconds_of_the_video(kind):
    head = lively(kind)
    levels, masks = pyramid(POSITIONS)
    (early,) = actions_of(head, levels, masks, [window(start_sec=100.0)])
    (late,) = actions_of(head, levels, masks, [window(start_sec=300.0)])
    assert len(early) > 50
    assert early.segments_sec.max() == pytest.approx(116, abs=1e-9)  # the duration
    inside = early.segments_sec[:, 1] < 116
    shift = late.segments_sec - early.segments_sec
    assert shift[inside] == pytest.approx(200, abs=1e-9)
    (cut,) = actions_of(head, levels, masks, [window()])
    assert cut.segments_sec.min() == 0
    assert (cut.segments_sec[:, 0] < cut.segments_sec[:, 1]).all()


@pytest.mark.parametrize('kind', HEADS)
def test_padding_detects_nothing(kind):
    sample = window(valid=10)
    sample.set_metainfo(dict(duration_sec=16.0))
    (found,) = actions_of(lively(kind), *pyramid(10), [sample])
    assert len(found) > 20
    assert found.segments_sec[:, 0].max() <= 9 / RATE


@pytest.mark.parametrize('kind', HEADS)
def test_scores_are_cut_and_sorted(kind):
    head = lively(kind, test_cfg=dict(score_thr=0.3, top_k=40))
    (found,) = actions_of(head, *pyramid(POSITIONS), [window()])
    assert len(found) <= 40
    assert (found.scores[:-1] >= found.scores[1:]).all()
    head.test_cfg['top_k'] = 10**6
    (more,) = actions_of(head, *pyramid(POSITIONS), [window()])
    assert len(more) > 40
    assert more.scores.min() > 0.3


@pytest.mark.parametrize('kind', HEADS)
def test_windows_of_a_batch_do_not_mix(kind):
    head = lively(kind)
    levels, masks = pyramid(64, 31)
    both = actions_of(head, levels, masks, [window(), window(valid=31)])
    alone = actions_of(
        head, [x[1:] for x in levels], [m[1:] for m in masks], [window(valid=31)]
    )
    assert both[1].segments_sec == pytest.approx(alone[0].segments_sec, abs=1e-5)
    assert both[1].labels.tolist() == alone[0].labels.tolist()


@pytest.mark.parametrize('kind', HEADS)
def test_a_body_has_the_segment_of_its_likeliest_action(kind):
    head = lively(kind, num_classes=82, body={}, test_cfg=dict(top_k=10**6))
    actions, bodies = head.detect(*pyramid(16, positions=16), [window(valid=16)])[0]
    body_of = load_label_space('mma82').body_of
    assert set(bodies.labels) <= set(range(7))
    assert len(bodies) > 50
    pairs = {
        (body_of[label], *segment)
        for label, segment in zip(
            actions.labels, actions.segments_sec.tolist(), strict=True
        )
    }
    mine = zip(bodies.labels, bodies.segments_sec.tolist(), strict=True)
    assert all((body, *segment) in pairs for body, segment in mine)


def test_body_targets_follow_from_actions():
    head = even(num_classes=82, body=dict(loss_weight=2.0))
    sample = window([[2.0, 2.5], [2.0, 2.5]], [0, 1])
    assert len(set(load_label_space('mma82').body_of[:2])) == 1
    loss = head.loss(*pyramid(POSITIONS), [sample])['loss_body']
    easy, hard = 0.75 * 0.25 * 0.6931, 0.25 * 0.25 * 0.6931
    assert loss.item() == pytest.approx(2 * (hard + easy * (112 * 7 - 1)), rel=1e-3)


def test_bodies_come_from_the_data():
    head = build(num_classes=82, body={})
    head.set_classes(dict(classes=['c'] * 82, bodies=['b'] * 7, body_of=[3] * 82))
    assert (head.body_of == 3).all()
    build().set_classes(dict(classes=['c'] * CLASSES, bodies=['b'] * 7))


def test_other_classes_are_refused():
    head = build(num_classes=82, body={})
    for key, count in (('classes', 52), ('bodies', 5)):
        with pytest.raises(
            ValueError, match=f'{key}: the head is built for .* {count}'
        ):
            head.set_classes({key: ['c'] * count})


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(targets='longest'), "targets 'longest'"),
        (
            dict(body=dict(loss_wait=1), num_classes=82),
            "'loss_wait' in body .*mean 'lo",
        ),
        (dict(test_cfg=dict(topk=1)), "'topk' in test_cfg .*Did you mean 'top_k'"),
        (dict(test_cfg=dict(top_k=-1)), 'test_cfg.top_k -1: use a number from 0'),
        (dict(body={}), 'num_classes: the head is built for 6'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize('kind', HEADS)
def test_autocast_does_not_reach_a_head(kind):
    head = lively(kind)
    levels, masks = pyramid(POSITIONS)
    _, samples = overlapping_windows()
    plain = head.loss(levels, masks, samples[:1])
    (found,) = actions_of(head, levels, masks, samples[:1])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        cast = head.loss(levels, masks, samples[:1])
        (cast_found,) = actions_of(head, levels, masks, samples[:1])
    assert cast == plain
    assert (found.segments_sec == cast_found.segments_sec).all()


def test_a_point_learns_one_segment_or_one_of_each_class():
    owners = torch.tensor([[-1, 5, 3]])
    by_class = torch.tensor([[[-1, -1], [5, 7], [-1, 3]]])
    (_, point, _), truths = build().targets_of(owners, by_class)
    assert (point.tolist(), truths.tolist()) == ([1, 2], [5, 3])
    (_, point, label), truths = build('TriDetHead').targets_of(owners, by_class)
    assert (point.tolist(), label.tolist()) == ([1, 1, 2], [0, 1, 1])
    assert truths.tolist() == [5, 7, 3]


BINS = 2


def head(**options):
    settings = dict(num_classes=2, in_channels=4, feat_channels=4, num_levels=2)
    return MODELS.build(dict(type='TriDetHead', num_bins=BINS) | settings | options)


def test_ends_are_expected_bins():
    """Starts of class 1 look like position 1 of level 0 and position 0 of level 1."""
    values = dict(
        reg=torch.zeros(1, 6, 2 * (BINS + 1)),
        start=torch.zeros(1, 2, 4 + 2 + 2 * BINS),
        end=torch.zeros(1, 2, 4 + 2 + 2 * BINS),
    )
    values['start'][0, 1, BINS + 1] = 50.0
    values['start'][0, 1, 4 + 2 * BINS] = 50.0
    values['end'][0, 1, 3] = 50.0
    points = pyramid_points([4, 2], [1, 2])
    pairs = (*torch.tensor([[0, 0, 0, 0], [2, 3, 5, 2], [1, 1, 1, 0]]),)
    found = head().offsets(values, points, pairs)
    assert found[0].tolist() == pytest.approx([1, 1])  # point 2: from 1 to 3
    assert found[1].tolist() == pytest.approx([2, 0])
    assert found[2].tolist() == pytest.approx([1, 1])  # level 1: from its 0, end even
    assert found[3].tolist() == pytest.approx([1, 1])  # another class: even over bins


def test_a_point_has_a_say_in_its_bins():
    values = {k: torch.zeros(1, 1, 4 + BINS) for k in ('start', 'end')}
    values['reg'] = torch.zeros(1, 4, 2, BINS + 1)
    values['reg'][..., 0, 0] = 50.0  # the first bin of starts is the furthest
    values['reg'][..., 1, 0] = 50.0  # that of ends the nearest
    values['reg'] = values['reg'].flatten(2)
    pairs = (*torch.tensor([[0], [2], [0]]),)
    found = head(num_classes=1).offsets(values, pyramid_points([4], [1]), pairs)
    assert found[0].tolist() == pytest.approx([2, 0])


def test_true_scores_count_by_iou():
    pairs = (*torch.tensor([[0], [2], [1]]),)
    logits, hits = torch.zeros(1, 4, 2), torch.zeros(1, 4, 2).bool()
    hits[0, 2, 1] = True
    ends = (torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 3.0]]))  # IoU 0.5
    weighed = head()._score_loss(logits, hits, pairs, ends)
    plain = head(iou_power=0.0)._score_loss(logits, hits, pairs, ends)
    ratio = weighed / plain
    assert ratio[0, 2, 1].item() == pytest.approx(0.5**0.2)
    assert ratio.sum().item() == pytest.approx(7 + 0.5**0.2)


def test_what_does_not_exist_looks_like_nothing():
    found = head().forward_level(0, torch.randn(1, 4, 8), torch.arange(8)[None] < 5)
    for name, first in (('start', BINS), ('end', 0)):
        exists = found[name].abs().sum(dim=(0, 1)).nonzero()[:, 0]
        assert exists.tolist() == list(range(first, first + 5))


def test_boundary_towers_do_not_train_what_is_below():
    model = head()
    x = torch.randn(1, 4, 8, requires_grad=True)
    found = model.forward_level(0, x, torch.ones(1, 8).bool())
    found['start'].sum().backward(retain_graph=True)
    assert x.grad is None
    found['cls'].sum().backward()
    assert x.grad.abs().sum() > 0


def test_a_label_space_without_groups_has_no_body_classifier():
    plain = {'name': 'plain', 'actions': [{'name': 'nod'}, {'name': 'wave'}]}
    own = {'name': 'own', 'actions': [{'name': 'nod', 'body': 'head'}]}
    for space, classes, bodies in ((plain, 2, None), (own, 1, 1)):
        head = MODELS.build(
            dict(type='ActionFormerHead', num_classes=classes, label_space=space)
            | dict(in_channels=4, feat_channels=4, num_levels=2, body=dict())
        )
        assert (head.body_head and head.body_head.out_channels) == bodies
