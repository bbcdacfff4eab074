import pytest
import torch
from mmaction.structures import ActionDataSample

from mmma.models.heads import ActionHead
from mmma.models.losses import ClassBalancedFocalLoss, LogitAdjustedCrossEntropy
from mmma.registry import MODELS

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
