import math

import pytest
import torch
import torch.nn.functional as F

from mmma.models.losses import ClassBalancedFocalLoss


def focal(counts, **options):
    loss = ClassBalancedFocalLoss(**options)
    loss.set_class_counts(counts)
    return loss


def test_weights_by_hand():
    # beta 0.5: 1 clip weighs 1/2 / 1/2 = 1, 2 clips 1/2 / 3/4 = 2/3; mean 5/6.
    # Without clips as with one, and not in the mean.
    weights = focal([1, 2, 0], beta=0.5).class_weights(torch.tensor([1, 2, 0]))
    assert weights.tolist() == pytest.approx([6 / 5, 4 / 5, 6 / 5])


def test_weights_go_from_even_to_inverse_counts():
    counts = torch.tensor([100, 10, 1])
    even = focal(counts, beta=0).class_weights(counts)
    assert even.tolist() == [1, 1, 1]
    inverse = focal(counts, beta=1 - 1e-9).class_weights(counts)
    assert (inverse / inverse[0]).tolist() == pytest.approx([1, 10, 100], rel=1e-4)


@pytest.mark.parametrize('gamma', [0.5, 1, 2])
def test_focal_loss_by_hand(gamma):
    # p = (1/4, 3/4); weights (6/5, 4/5).
    logits = torch.tensor([[0.0, math.log(3)]])
    loss = focal([1, 2], beta=0.5, gamma=gamma)
    first, second = (loss(logits, torch.tensor([k])).item() for k in (0, 1))
    assert first == pytest.approx(6 / 5 * 0.75**gamma * math.log(4))
    assert second == pytest.approx(4 / 5 * 0.25**gamma * math.log(4 / 3))


def test_without_gamma_and_beta_it_is_cross_entropy():
    logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    loss = focal([9, 3, 0], beta=0, gamma=0)
    torch.testing.assert_close(loss(logits, labels), F.cross_entropy(logits, labels))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(beta=1), r'beta 1: use one from 0 and below 1'),
        (dict(gamma=-1), r'gamma -1: use one from 0'),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        ClassBalancedFocalLoss(**options)
