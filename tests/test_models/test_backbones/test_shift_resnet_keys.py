import pytest

from mmma.models.backbones.shift_resnet_keys import adapted_names


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('conv1.weight', 'conv1.conv.weight'),
        ('bn1.running_var', 'conv1.bn.running_var'),
        ('layer1.0.conv1.weight', 'layer1.0.conv1.conv.net.weight'),
        ('layer3.5.conv1.net.weight', 'layer3.5.conv1.conv.net.weight'),
        ('layer3.5.conv1.conv.weight', 'layer3.5.conv1.conv.net.weight'),
        ('layer2.1.conv3.weight', 'layer2.1.conv3.conv.weight'),
        ('layer2.1.bn2.bias', 'layer2.1.conv2.bn.bias'),
        ('layer4.0.downsample.0.weight', 'layer4.0.downsample.conv.weight'),
        ('layer4.0.downsample.1.running_mean', 'layer4.0.downsample.bn.running_mean'),
        ('layer1.2.eft1.conv.weight', 'layer1.2.gc.l.conv.weight'),
        ('layer1.2.eft4.bn1.weight', 'layer1.2.gc.g.bn.weight'),
    ],
)
@pytest.mark.parametrize('wrap', ['', 'base_model.', 'backbone.'])
def test_names_of_other_programs(old, new, wrap):
    assert adapted_names([wrap + old], 'backbone.') == {wrap + old: f'backbone.{new}'}


@pytest.mark.parametrize(
    'name',
    [
        'backbone.conv1.conv.weight',
        'backbone.layer1.0.conv1.conv.net.weight',
        'backbone.layer1.0.conv1.conv.fcce.2.weight',
        'backbone.layer1.0.conv2.bn.running_mean',
        'backbone.layer1.0.downsample.conv.weight',
        'backbone.layer1.0.gc.s.bn.bias',
        'cls_head.fc_cls.weight',
        'fc.weight',
    ],
)
def test_own_names_and_heads_stay(name):
    assert adapted_names([name], 'backbone.') == {}


def test_a_bare_backbone_needs_no_prefix():
    assert adapted_names(['layer1.0.bn1.bias'], '') == {
        'layer1.0.bn1.bias': 'layer1.0.conv1.bn.bias'
    }


def test_the_head_of_tsm_and_the_unused_layers_of_manet():
    unused = 'backbone.layer1.0.conv1.conv.action_p2_squeeze.weight'
    assert adapted_names(['new_fc.bias', unused], 'backbone.') == {
        'new_fc.bias': 'cls_head.fc_cls.bias',
        unused: None,
    }
