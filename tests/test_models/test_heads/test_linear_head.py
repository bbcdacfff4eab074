import pytest
import torch
from mmaction.structures import ActionDataSample

from mmma.models.heads import LinearHead


def samples(labels):
    return [ActionDataSample().set_gt_label(label) for label in labels]


def test_classifier_starts_small_and_without_outliers():
    head = LinearHead(num_classes=82, in_channels=768, init_std=2e-5)
    head.init_weights()
    weight = head.fc_cls.weight
    assert weight.std().item() == pytest.approx(2e-5, rel=0.05)
    assert weight.abs().max() < 6 * 2e-5
    assert head.fc_cls.bias.eq(0).all()


@pytest.mark.parametrize('batch', [1, 3])
def test_smoothed_soft_labels_give_their_cross_entropy(batch):
    head = LinearHead(num_classes=6, in_channels=4, label_smooth_eps=0.1)
    features = torch.randn(batch, 4)
    soft = torch.rand(batch, 6).softmax(dim=1)
    losses = head.loss(features, samples(soft))
    target = 0.9 * soft + 0.1 / 6
    expected = -(target * head(features).log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(losses['loss_cls'], expected)
    assert list(losses) == ['loss_cls']


@pytest.mark.parametrize('batch', [1, 6])
def test_hard_labels_report_accuracy(batch):
    head = LinearHead(num_classes=6, in_channels=6, label_smooth_eps=0.1)
    torch.nn.init.eye_(head.fc_cls.weight)
    torch.nn.init.zeros_(head.fc_cls.bias)
    losses = head.loss(torch.eye(6)[:batch], samples(range(batch)))
    assert losses['top1_acc'] == 1
    assert losses['loss_cls'].isfinite()
