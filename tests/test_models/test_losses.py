import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from mmaction.structures import ActionDataSample

from mmma.models.heads.action_head import ActionHead
from mmma.models.losses import (
    ClassBalancedFocalLoss,
    LogitAdjustedCrossEntropy,
    class_power,
    sigmoid_focal_loss,
)
from mmma.registry import MODELS
from mmma.structures.samples import segment_diou_pairs

LOSSES = (LogitAdjustedCrossEntropy, ClassBalancedFocalLoss)
COUNTS = [90, 9, 1, 0]


def counted(kind, counts=COUNTS, **options):
    loss = kind(**options)
    loss.set_class_counts(counts)
    return loss


def samples(labels):
    return [ActionDataSample().set_gt_label(label) for label in labels]


@pytest.mark.parametrize('kind', LOSSES)
def test_indices_equal_their_shares(kind):
    loss, logits = counted(kind, loss_weight=3.0), torch.randn(5, 4)
    labels = torch.tensor([0, 1, 2, 3, 1])
    shares = torch.eye(4)[labels]
    torch.testing.assert_close(loss(logits, labels), loss(logits, shares))
    half = counted(kind, loss_weight=1.5)
    torch.testing.assert_close(loss(logits, labels), 2 * half(logits, labels))
    mixed = loss(logits, 0.3 * shares + 0.7 * shares[0])
    parts = 0.3 * loss(logits, labels) + 0.7 * loss(logits, labels * 0)
    torch.testing.assert_close(mixed, parts)


@pytest.mark.parametrize('kind', LOSSES)
@pytest.mark.parametrize('scale', [1, 1e3])
def test_certain_and_absent_classes_give_finite_gradients(kind, scale):
    logits = (scale * torch.eye(4)).requires_grad_()
    loss = counted(kind)(logits, torch.tensor([0, 1, 2, 0]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize('kind', LOSSES)
@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('labels', [[1], [0, 3, 2], torch.rand(1, 4), torch.rand(3, 4)])
def test_they_work_in_a_head_under_autocast(kind, smoothing, labels):
    head = ActionHead(
        4, 5, 'none', loss_cls=dict(type=kind.__name__), label_smooth_eps=smoothing
    )
    head.set_classes(dict(labels=[0] * 90 + [1] * 9 + [2, -1]))
    assert head.loss_cls.class_counts.tolist() == COUNTS
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = head.loss(torch.randn(len(labels), 5), samples(labels))
    losses['loss_cls'].backward()
    assert losses['loss_cls'].dtype == torch.float32
    assert head.fc_cls.weight.grad.isfinite().all()
    assert not any('loss' in name for name in head.state_dict())


@pytest.mark.parametrize('kind', LOSSES)
def test_counts_have_to_be_told(kind):
    loss = MODELS.build(dict(type=kind.__name__))
    with pytest.raises(
        ValueError, match=r'4 classes and was told none: .*ClassInfoHook'
    ):
        loss(torch.zeros(1, 4), torch.tensor([0]))
    with pytest.raises(ValueError, match='3 classes and was told those of 4'):
        counted(kind)(torch.zeros(1, 3), torch.tensor([0]))


@pytest.mark.parametrize('counts', [[3, -1], [0, 0], [[1, 2]], []])
def test_counts_that_make_no_sense(counts):
    with pytest.raises(ValueError, match='one number from 0 per class, and not all 0'):
        counted(LogitAdjustedCrossEntropy, counts)


def test_weights_by_hand():
    # beta 0.5: 1 clip weighs 1/2 / 1/2 = 1, 2 clips 1/2 / 3/4 = 2/3; mean 5/6.
    # Without clips as with one, and not in the mean.
    weights = counted(ClassBalancedFocalLoss, [1, 2, 0], beta=0.5).class_weights(
        torch.tensor([1, 2, 0])
    )
    assert weights.tolist() == pytest.approx([6 / 5, 4 / 5, 6 / 5])


def test_weights_go_from_even_to_inverse_counts():
    counts = torch.tensor([100, 10, 1])
    even = counted(ClassBalancedFocalLoss, counts, beta=0).class_weights(counts)
    assert even.tolist() == [1, 1, 1]
    inverse = counted(ClassBalancedFocalLoss, counts, beta=1 - 1e-9).class_weights(
        counts
    )
    assert (inverse / inverse[0]).tolist() == pytest.approx([1, 10, 100], rel=1e-4)


@pytest.mark.parametrize('gamma', [0.5, 1, 2])
def test_focal_loss_by_hand(gamma):
    # p = (1/4, 3/4); weights (6/5, 4/5).
    logits = torch.tensor([[0.0, math.log(3)]])
    loss = counted(ClassBalancedFocalLoss, [1, 2], beta=0.5, gamma=gamma)
    first, second = (loss(logits, torch.tensor([k])).item() for k in (0, 1))
    assert first == pytest.approx(6 / 5 * 0.75**gamma * math.log(4))
    assert second == pytest.approx(4 / 5 * 0.25**gamma * math.log(4 / 3))


def test_without_gamma_and_beta_it_is_cross_entropy():
    logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    loss = counted(ClassBalancedFocalLoss, [9, 3, 0], beta=0, gamma=0)
    torch.testing.assert_close(loss(logits, labels), F.cross_entropy(logits, labels))


@pytest.mark.parametrize(
    ('kind', 'options', 'message'),
    [
        (ClassBalancedFocalLoss, dict(beta=1), r'beta 1: use one from 0 and below 1'),
        (ClassBalancedFocalLoss, dict(gamma=-1), r'gamma -1: use one from 0'),
        (LogitAdjustedCrossEntropy, dict(tau=-1), 'tau -1: use one from 0'),
    ],
)
def test_options_out_of_range(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


@pytest.mark.parametrize(
    ('pred', 'target', 'wanted'),
    [
        ((0, 4), (0, 4), 0),
        ((0, 4), (2, 6), 1 - 2 / 6 + (2 / 6) ** 2),
        ((0, 1), (3, 4), 1 + (3 / 4) ** 2),
        ((-1, 3), (-2, 2), 1 - 3 / 5 + (1 / 5) ** 2),
    ],
)
def test_distance_iou_by_hand(pred, target, wanted):
    diou = segment_diou_pairs(torch.tensor([pred]), torch.tensor([target]))
    assert 1 - diou.item() == pytest.approx(wanted)


def test_pairs_are_alone_and_none_is_nothing():
    pred = torch.randn(7, 2).sort(dim=1).values.requires_grad_()
    target = torch.randn(7, 2).sort(dim=1).values
    segment_diou_pairs(pred, target)[3].backward()
    assert pred.grad.abs().sum(1).nonzero().tolist() == [[3]]
    none = segment_diou_pairs(pred[:0], target[:0])
    assert none.shape == (0,)
    assert none.sum().item() == 0


def test_binary_focal_loss_by_hand():
    for logit, target in itertools.product((-3.0, 0.0, 2.5), (0.0, 1.0)):
        chance = 1 / (1 + math.exp(-logit))
        right, weight = (chance, 0.25) if target else (1 - chance, 0.75)
        wanted = -weight * (1 - right) ** 2 * math.log(right)
        loss = sigmoid_focal_loss(torch.tensor([logit]), torch.tensor([target]))
        assert loss.item() == pytest.approx(wanted, rel=1e-5)


def test_sure_logits_are_finite_with_gradients():
    logits = torch.tensor([200.0, -200.0], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([0.0, 1.0]))
    loss.sum().backward()
    assert loss.tolist() == [150, 50]
    assert logits.grad.tolist() == [0.75, -0.25]


def adjusted(counts, tau=1.0):
    return counted(LogitAdjustedCrossEntropy, counts, tau=tau)


@pytest.mark.parametrize(('label', 'prior'), [(0, 0.75), (1, 0.25)])
def test_equal_logits_cost_the_prior(label, prior):
    loss = adjusted([3, 1])(torch.zeros(1, 2), torch.tensor([label]))
    assert loss.item() == pytest.approx(-math.log(prior))


def test_tau_is_the_exponent_of_the_prior():
    # (1, 3)**2 / 10 at even logits; then e**1 * 1 against 9.
    loss = adjusted([1, 3], tau=2)
    assert loss(torch.zeros(1, 2), torch.tensor([0])).item() == pytest.approx(
        math.log(10)
    )
    logits = torch.tensor([[1.0, 0.0]])
    expected = math.log((math.e + 9) / math.e)
    assert loss(logits, torch.tensor([0])).item() == pytest.approx(expected)


@pytest.mark.parametrize(('counts', 'tau'), [([5, 5, 5], 1), ([9, 3, 1], 0)])
def test_even_counts_or_tau_0_are_cross_entropy(counts, tau):
    logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    torch.testing.assert_close(
        adjusted(counts, tau)(logits, labels), F.cross_entropy(logits, labels)
    )


def test_a_class_without_clips_counts_as_one_clip():
    logits, labels = torch.randn(2, 3), torch.tensor([0, 2])
    torch.testing.assert_close(
        adjusted([6, 3, 0])(logits, labels), adjusted([6, 3, 1])(logits, labels)
    )


@pytest.mark.parametrize(
    ('loss', 'power'),
    [
        ({'type': 'CrossEntropyLoss'}, 0),
        ({'type': 'CrossEntropyLoss', 'class_weight': [1, 2]}, None),
        ({'type': 'LogitAdjustedCrossEntropy'}, -1),  # 1 - 1: what is tested below
        ({'type': 'LogitAdjustedCrossEntropy', 'tau': 0.5}, -0.5),
        ({'type': 'ClassBalancedFocalLoss'}, None),
    ],
)
def test_power_of_class_counts_by_which_a_loss_moves_the_prior(loss, power):
    assert class_power(loss) == power


def test_trained_logits_forget_the_prior():
    # 90 and 10 clips that look alike: plain cross entropy ends at log 9 apart.
    logits = torch.zeros(1, 2, requires_grad=True)
    loss, shares = adjusted([90, 10]), torch.tensor([[0.9, 0.1]])
    optimizer = torch.optim.SGD([logits], lr=2)
    for _ in range(100):
        optimizer.zero_grad()
        loss(logits, shares).backward()
        optimizer.step()
    assert (logits[0, 0] - logits[0, 1]).item() == pytest.approx(0, abs=1e-4)
