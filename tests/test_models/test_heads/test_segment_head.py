import pytest
import torch
from detection_windows import CLASSES, POSITIONS, RATE, overlapping_windows, window

from mmma.registry import MODELS
from mmma.taxonomy import load_label_space

HEADS = ['ActionFormerHead', 'TriDetHead']
WIDTH = 8


def build(kind='ActionFormerHead', **options):
    settings = dict(num_classes=CLASSES, in_channels=WIDTH, feat_channels=WIDTH)
    settings |= dict(num_convs=1, num_levels=3)
    return MODELS.build(dict(type=kind) | settings | options)


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
@pytest.mark.parametrize('valid', [POSITIONS, 0])
def test_a_batch_without_truth_or_positions_is_finite(kind, valid):
    head = build(kind)
    losses = head.loss(*pyramid(valid), [window(valid=valid)])
    sum(losses.values()).backward()
    assert losses['loss_reg'] == 0
    assert (losses['loss_cls'] > 0) == (valid > 0)
    assert all(p.grad.isfinite().all() for p in head.parameters())
    head.eval()
    assert len(head.predict(*pyramid(0), [window(valid=0)])[0]) == 0


def test_classification_loss_by_hand():
    head = build(prior=0.5).eval()
    torch.nn.init.zeros_(head.cls_head.weight)
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


def test_balanced_losses_weigh_the_same():
    _, samples = overlapping_windows()
    losses = build(reg_weight=0).loss(*pyramid(64, 56, 64), samples)
    assert losses['loss_reg'].item() == pytest.approx(losses['loss_cls'].item())


def lively(kind, **options):
    """A head with scores about 0.5 and segments of several strides."""
    head = build(kind, prior=0.5, **options).eval()
    torch.nn.init.normal_(head.cls_head.weight)
    torch.nn.init.normal_(head.reg_head.weight)
    return head


@pytest.mark.parametrize('kind', HEADS)
def test_detections_are_seconds_of_the_video(kind):
    head = lively(kind)
    levels, masks = pyramid(POSITIONS)
    (early,) = head.predict(levels, masks, [window(start_sec=100.0)])
    (late,) = head.predict(levels, masks, [window(start_sec=300.0)])
    assert len(early) > 50
    assert early.segments_sec.max() == pytest.approx(116, abs=1e-9)  # the duration
    inside = early.segments_sec[:, 1] < 116
    shift = late.segments_sec - early.segments_sec
    assert shift[inside] == pytest.approx(200, abs=1e-9)
    (cut,) = head.predict(levels, masks, [window()])
    assert cut.segments_sec.min() == 0
    assert (cut.segments_sec[:, 0] < cut.segments_sec[:, 1]).all()


@pytest.mark.parametrize('kind', HEADS)
def test_padding_detects_nothing(kind):
    sample = window(valid=10)
    sample.set_metainfo(dict(duration_sec=16.0))
    (found,) = lively(kind).predict(*pyramid(10), [sample])
    assert len(found) > 20
    assert found.segments_sec[:, 0].max() <= 9 / RATE


@pytest.mark.parametrize('kind', HEADS)
def test_scores_are_cut_and_sorted(kind):
    head = lively(kind, test_cfg=dict(score_thr=0.3, top_k=40))
    (found,) = head.predict(*pyramid(POSITIONS), [window()])
    assert len(found) <= 40
    assert (found.scores[:-1] >= found.scores[1:]).all()
    head.test_cfg['top_k'] = 10**6
    (more,) = head.predict(*pyramid(POSITIONS), [window()])
    assert len(more) > 40
    assert more.scores.min() > 0.3


@pytest.mark.parametrize('kind', HEADS)
def test_windows_of_a_batch_do_not_mix(kind):
    head = lively(kind)
    levels, masks = pyramid(64, 31)
    both = head.predict(levels, masks, [window(), window(valid=31)])
    alone = head.predict(
        [x[1:] for x in levels], [m[1:] for m in masks], [window(valid=31)]
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
    head = build(num_classes=82, body=dict(loss_weight=2.0), prior=0.5).eval()
    torch.nn.init.zeros_(head.body_head.weight)
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


@pytest.mark.parametrize(
    ('key', 'count'), [('classes', 52), ('bodies', 5)], ids=['classes', 'bodies']
)
def test_other_classes_are_refused(key, count):
    head = build(num_classes=82, body={})
    with pytest.raises(ValueError, match=f'{key}: the head is built for .* {count}'):
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
    (found,) = head.predict(levels, masks, samples[:1])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        cast = head.loss(levels, masks, samples[:1])
        (cast_found,) = head.predict(levels, masks, samples[:1])
    assert cast == plain
    assert (found.segments_sec == cast_found.segments_sec).all()
