import math

import pytest
import torch
import torch.nn.functional as F

from mmma.models.losses import LogitAdjustedCrossEntropy


def adjusted(counts, tau=1.0):
    loss = LogitAdjustedCrossEntropy(tau)
    loss.set_class_counts(counts)
    return loss


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


def test_tau_is_not_negative():
    with pytest.raises(ValueError, match='tau -1: use one from 0'):
        LogitAdjustedCrossEntropy(tau=-1)
