import warnings

import pytest
import torch

from mmma.models.backbones.group_context import GATES, GroupContext

T, WIDTH = 4, 4


def make(cdiv=4, start=0, **kwargs):
    return GroupContext(WIDTH * cdiv, T, cdiv=cdiv, start=start, **kwargs).eval()


def features(channels, clips=2):
    return torch.randn(clips * T, channels, 5, 5)


@torch.no_grad()
def set_gates(module, **biases):
    """Make each gate the sigmoid of one number."""
    for name in GATES:
        gate = getattr(module, name)
        gate.conv.weight.zero_()
        gate.bn.bias.fill_(biases.get(name, 0.0))


@pytest.mark.parametrize('start', [0, 3, 6])
@pytest.mark.parametrize('cdiv', [4, 8])
def test_gates_of_nothing_halve_their_groups(cdiv, start):
    module, x = make(cdiv, start), features(WIDTH * cdiv)
    set_gates(module)
    factors = (module(x) / x).unflatten(1, (cdiv, WIDTH))
    gated = {(start + i) % cdiv for i in range(4)}
    for group in range(cdiv):
        expected = 0.5 if group in gated else 1.0
        assert torch.all(factors[:, group] == expected)


@pytest.mark.parametrize('start', range(4))
def test_each_channel_is_gated_once_and_in_order(start):
    module, x = make(start=start), features(4 * WIDTH)
    biases = dict(l=-1.0, t=0.5, s=1.0, g=2.0)
    set_gates(module, **biases)
    factors = (module(x) / x).unflatten(1, (4, WIDTH)).mean(dim=(0, 2, 3, 4))
    expected = torch.tensor([biases[n] for n in GATES]).sigmoid().roll(start)
    torch.testing.assert_close(factors, expected)


@pytest.mark.parametrize(
    ('name', 'frames', 'rows', 'columns'),
    [
        ('l', {1, 2, 3}, {2}, {2}),
        ('t', {1, 2, 3}, set(range(7)), set(range(7))),
        ('s', {0, 1, 2, 3, 4}, {0, 2, 4}, {0, 2, 4}),
        ('g', {0, 1, 2, 3, 4}, set(range(7)), set(range(7))),
    ],
)
def test_what_each_gate_sees(name, frames, rows, columns):
    module = GroupContext(16, 5).double().eval()
    torch.nn.init.normal_(module.g.conv.weight)
    x = torch.randn(1, 5, 4, 7, 7, dtype=torch.double)
    moved = x.clone()
    moved[0, 2, :, 2, 2] += 5
    gate = getattr(module, name)
    changed = (gate(moved) != gate(x)).expand_as(x)[0].any(dim=1)
    found = changed.nonzero().T
    assert [set(axis.tolist()) for axis in found] == [frames, rows, columns]


def test_the_local_gate_is_a_convolution_over_time():
    gate = make().l
    x = torch.randn(2, T, WIDTH, 5, 5)
    expected = gate.bn(gate.conv(x.transpose(1, 2))).sigmoid().transpose(1, 2)
    torch.testing.assert_close(gate(x), expected)


def test_the_released_spatial_gate_leaves_its_bn_out():
    ours, released = make(), make(s_use_bn=False)
    released.load_state_dict(ours.state_dict())
    x = torch.randn(2, T, WIDTH, 5, 5)
    with torch.no_grad():
        for module in (ours, released):
            module.s.bn.bias.fill_(3.0)
    conv = ours.s.conv(x.mean(dim=1))
    torch.testing.assert_close(released.s(x), conv.sigmoid()[:, None])
    torch.testing.assert_close(ours.s(x), ours.s.bn(conv).sigmoid()[:, None])
    assert not any(p.requires_grad for p in released.s.bn.parameters())


def test_one_clip_in_training_uses_running_statistics():
    module = make().train()
    x = features(4 * WIDTH, clips=1)[None]
    group = x[:, :, :WIDTH]
    with pytest.warns(UserWarning, match=r'with one clip: .*batch_size of 8'):
        trained = module.g(group)
    assert module.g.bn.num_batches_tracked == 0
    torch.testing.assert_close(trained, module.g.eval()(group))


def test_two_clips_in_training_are_normed_over_clips():
    module = make().train()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        module(features(4 * WIDTH))
    assert module.g.bn.num_batches_tracked == 1


@pytest.mark.parametrize(('channels', 'cdiv'), [(16, 3), (18, 4)])
def test_groups_that_do_not_fit_are_refused(channels, cdiv):
    with pytest.raises(ValueError, match=rf'cdiv={cdiv}: .* from 4 .* {channels} chan'):
        GroupContext(channels, T, cdiv=cdiv)
