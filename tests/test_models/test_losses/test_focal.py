import math

import pytest
import torch

from mmma.models.losses.focal import SigmoidFocalLoss


@pytest.mark.parametrize('target', [0.0, 1.0])
@pytest.mark.parametrize('logit', [-3.0, 0.0, 2.5])
def test_by_hand(logit, target):
    chance = 1 / (1 + math.exp(-logit))
    right, weight = (chance, 0.25) if target else (1 - chance, 0.75)
    wanted = -weight * (1 - right) ** 2 * math.log(right)
    loss = SigmoidFocalLoss()(torch.tensor([logit]), torch.tensor([target]))
    assert loss.item() == pytest.approx(wanted, rel=1e-5)


def test_without_focus_it_is_cross_entropy():
    logits, targets = torch.randn(5, 3), torch.rand(5, 3).round()
    loss = SigmoidFocalLoss(alpha=-1, gamma=0)(logits, targets.bool())
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, targets, reduction='none'
    )
    torch.testing.assert_close(loss, wanted)


def test_sure_logits_are_finite_with_gradients():
    logits = torch.tensor([200.0, -200.0], requires_grad=True)
    loss = SigmoidFocalLoss()(logits, torch.tensor([0.0, 1.0]))
    loss.sum().backward()
    assert loss.tolist() == [150, 50]
    assert logits.grad.tolist() == [0.75, -0.25]
