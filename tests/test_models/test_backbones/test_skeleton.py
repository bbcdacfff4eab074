"""Skeleton backbones: graphs, sizes, and what MMAction2 gives."""

import numpy as np
import pytest
import torch
from mmaction.models.utils import Graph
from mmaction.structures import ActionDataSample
from torch.utils.flop_counter import FlopCounterMode

from mmma.checkpoints import load_state
from mmma.checkpoints.loading import MIN_MATCHED
from mmma.config import load_config
from mmma.models.backbones.skeleton import (
    POSE_PATH,
    RGB_PATH,
    SkeletonSlowOnly,
    SkeletonSTGCN,
    SkeletonTCN,
)
from mmma.models.heads.action_head import TwoStreamHead
from mmma.registry import MODELS


def adjacency(**options):
    return SkeletonSTGCN(**options, **TINY).graph.A


def test_graph_of_the_17_joints_is_mmactions_coco():
    coco = Graph(layout='coco', mode='spatial').A
    np.testing.assert_array_equal(adjacency(joints='body17'), coco)


def test_graphs_of_a_subset_and_of_another_layout():
    joints = ['left_elbow', 'left_thumb4', 'left_wrist', 'nose']
    graph = dict(num_node=4, inward=[(0, 3), (1, 2), (2, 0)], center=3)
    wanted = Graph(layout=graph, mode='spatial').A
    np.testing.assert_array_equal(adjacency(joints=joints), wanted)
    layout = dict(names=['a', 'b', 'c'], limbs=[['a', 'b'], ['c', 'b']])
    graph = dict(num_node=3, inward=[(1, 0), (2, 1)], center=0)
    wanted = Graph(layout=graph, mode='spatial').A
    np.testing.assert_array_equal(adjacency(layout=layout), wanted)


@pytest.mark.parametrize(
    ('layout', 'message'),
    [
        ('coco18', 'unknown joint layout'),
        (dict(name=['a']), "unknown field 'name'.*Did you mean 'names'"),
        (dict(limbs=[]), 'no names'),
    ],
)
def test_layouts_refused(layout, message):
    with pytest.raises(ValueError, match=message):
        SkeletonSTGCN(layout)


ResNet3dSlowOnly = MODELS.get('ResNet3dSlowOnly')

UPSTREAM = dict(
    depth=50,
    pretrained=None,
    in_channels=17,
    base_channels=32,
    num_stages=3,
    out_indices=(2,),
    stage_blocks=(4, 6, 3),
    conv1_stride_s=1,
    pool1_stride_s=1,
    inflate=(0, 1, 1),
    spatial_strides=(2, 2, 2),
    temporal_strides=(1, 1, 2),
    dilations=(1, 1, 1),
)
SMALL = dict(base_channels=4, stage_blocks=(1, 1, 1))


@pytest.mark.parametrize('limbs', [None, 'body17'])
def test_equal_to_upstream_with_the_same_weights(limbs):
    theirs, ours = ResNet3dSlowOnly(**UPSTREAM), SkeletonSlowOnly(limbs=limbs)
    theirs.eval()
    ours.eval()
    ours.load_state_dict(theirs.state_dict())
    volume = torch.rand(1, 17, 6, 20, 20)
    with torch.no_grad():
        found = ours(volume)
        torch.testing.assert_close(found, theirs(volume), rtol=0, atol=0)
    assert found.shape == (1, 512, 3, 3, 3)


def test_names_and_number_of_published_weights():
    """2.0 M parameters, as PoseC3D reports (arXiv 2104.13586)."""
    with torch.device('meta'):
        model = SkeletonSlowOnly()
    names = set(model.state_dict())
    assert {'conv1.conv.weight', 'layer1.0.downsample.bn.bias'} <= names
    assert {'layer2.5.conv3.conv.weight', 'layer3.2.conv1.bn.running_mean'} <= names
    classifier = 512 * 60 + 60
    count = sum(p.numel() for p in model.parameters()) + classifier
    assert round(count / 1e6, 1) == 2.0


def test_published_operations():
    """20.6 G at 48 x 64 x 64 (MMAction2, PoseC3D metafile), norms counted as well."""
    with torch.device('meta'), FlopCounterMode(display=False) as counter:
        SkeletonSlowOnly()(torch.empty(1, 17, 48, 64, 64))
    assert counter.get_total_flops() / 2e9 == pytest.approx(20.4, abs=0.05)


@pytest.mark.parametrize(
    ('joints', 'limbs', 'channels'),
    [('upper', None, 55), ('ends31', None, 31), ('ends31', 'tree', 30)],
)
def test_a_channel_for_each_joint_or_limb(joints, limbs, channels):
    model = SkeletonSlowOnly(joints=joints, limbs=limbs, **SMALL)
    assert model(torch.rand(1, channels, 4, 16, 16)).shape == (1, 64, 2, 2, 2)


def stored(blocks):
    """Weights as a published file names them, made here."""
    options = dict(UPSTREAM, base_channels=4, stage_blocks=blocks)
    weights = ResNet3dSlowOnly(**options).state_dict()
    return {f'backbone.{name}': value for name, value in weights.items()}


class Model(torch.nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.backbone = SkeletonSlowOnly(base_channels=4, **kwargs)


def test_other_joints_start_the_first_convolution_afresh():
    model, weights = Model(joints='upper'), stored((4, 6, 3))
    first = model.backbone.conv1.conv.weight.clone()
    report = load_state(model, weights)
    assert report.mismatched == ('backbone.conv1.conv.weight',)
    assert not report.missing
    torch.testing.assert_close(model.backbone.conv1.conv.weight, first)
    name = 'layer3.2.conv3.conv.weight'
    torch.testing.assert_close(
        model.backbone.state_dict()[name], weights[f'backbone.{name}']
    )


def test_a_file_with_other_blocks_is_refused():
    with pytest.raises(ValueError, match=r'fits only 79\.\d% .* 45 missing'):
        load_state(Model(), stored((3, 4, 6)))


def test_shape_keeps_persons_and_leaves_one_joint():
    model = SkeletonTCN(joints='body17', in_channels=4, channels=(8, 12, 16))
    assert model(torch.randn(2, 3, 20, 17, 4)).shape == (2, 3, 16, 5, 1)


def test_persons_do_not_mix():
    model = SkeletonTCN(joints='body17', channels=(8, 8)).eval()
    x = torch.randn(1, 2, 8, 17, 3)
    torch.testing.assert_close(model(x)[:, 1:], model(x[:, 1:]))


def test_bad_sizes_are_refused():
    with pytest.raises(
        ValueError, match=r'channels \[8\]: use a stem and at least one'
    ):
        SkeletonTCN(channels=(8,))
    with pytest.raises(ValueError, match='2 strides for 3 blocks'):
        SkeletonTCN(channels=(8, 8, 8, 8), strides=(1, 2))


def test_strides_keep_time_for_detection():
    model = SkeletonTCN(channels=(8, 8, 8, 8), strides=(1, 2, 1)).eval()
    assert model(torch.rand(2, 1, 16, 65, 3)).shape == (2, 1, 8, 8, 1)


PLUS = dict(gcn_adaptive='init', gcn_with_res=True, tcn_type='mstcn')
TINY = dict(base_channels=12, num_stages=3, inflate_stages=[2], down_stages=[3])


def test_same_weights_same_output_as_mmaction():
    torch.manual_seed(0)
    ours = SkeletonSTGCN(joints='body17', in_channels=3, **PLUS, **TINY)
    stock = MODELS.build(
        dict(
            type='STGCN',
            graph_cfg=dict(layout='coco', mode='spatial'),
            in_channels=3,
            **PLUS,
            **TINY,
        )
    )
    stock.load_state_dict(ours.state_dict())
    inputs = torch.randn(2, 1, 8, 17, 3)
    torch.testing.assert_close(ours(inputs), stock(inputs))


def test_published_size():
    """1.39 M parameters, PYSKL's ST-GCN++ on NTU60 with 2D skeletons."""
    model = SkeletonSTGCN(joints='body17', **PLUS)
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert count == pytest.approx(1.38, abs=0.02)


def test_shape_at_any_layout():
    model = SkeletonSTGCN(in_channels=4, **PLUS, **TINY)
    assert model(torch.randn(2, 1, 9, 65, 4)).shape == (2, 1, 24, 5, 65)


def two_streams(own, **sizes):
    """Ours, or MMAction2's RGBPoseConv3D with its head, after its published config."""
    pre = dict(type='ActionDataPreprocessor', mean=[9.0] * 3, std=[5.0] * 3)
    pre['format_shape'] = 'NCTHW'
    rgb, pose = (dict(base_channels=c, **sizes) for c in (8, 4))
    widths = [8 * 8 * 4, 4 * 4 * 4]
    if own:
        drawn = dict(type='HeatmapPreprocessor', sigma=0.7, scale=0.25)
        backbone = dict(type='TwoStreamConv3D', rgb=rgb, pose=pose)
        head = dict(type='TwoStreamHead', loss_weights=(1.0, 0.5))
    else:
        drawn = dict(type='ActionDataPreprocessor')
        backbone = dict(type='RGBPoseConv3D', rgb_pathway=RGB_PATH | rgb)
        backbone['pose_pathway'] = POSE_PATH | pose | dict(in_channels=17)
        head = dict(type='RGBPoseHead', loss_weights=[1.0, 0.5], average_clips='prob')
    parts = {'imgs': pre, 'keypoint' if own else 'heatmap_imgs': drawn}
    pre = dict(type='MultiModalDataPreprocessor', preprocessors=parts)
    head.update(num_classes=82, in_channels=widths)
    kind = dict(type='MMRecognizer3D', backbone=backbone, cls_head=head)
    return MODELS.build(dict(kind, data_preprocessor=pre))


def test_two_streams_are_mmactions():
    torch.manual_seed(0)
    theirs, ours = two_streams(False), two_streams(True)
    state = theirs.state_dict()
    for value in state.values():
        if value.is_floating_point():
            value.uniform_(0.1, 0.3) if value.ndim == 1 else value.normal_(std=0.1)
    names = {name for name in state if not name.startswith('cls_head.')}
    assert names | {'cls_head.fc_cls.weight'} == set(ours.state_dict())
    ours.load_state_dict(state)
    imgs = list(torch.randint(0, 256, (2, 2, 3, 8, 64, 64), dtype=torch.uint8))
    joints = list(torch.rand(2, 2, 1, 32, 17, 3) * torch.tensor([64, 64, 1.0]))

    def batch(key, second):
        samples = [ActionDataSample(metainfo=dict(img_shape=(64, 64))) for _ in imgs]
        for label, sample in enumerate(samples):
            sample.set_gt_label(label)
        return dict(inputs={'imgs': imgs, key: second}, data_samples=samples)

    drawn = ours.data_preprocessor(batch('keypoint', joints))['inputs']['keypoint']
    given = batch('heatmap_imgs', list(drawn))
    with torch.no_grad():
        pairs = zip(
            ours.eval().test_step(batch('keypoint', joints)),
            theirs.eval().test_step(given),
            strict=True,
        )
        for own, their in pairs:
            mean = (their.pred_score['rgb'] + their.pred_score['pose']) / 2
            torch.testing.assert_close(own.pred_score, mean, atol=1e-6, rtol=0)
            assert own.pred_label.item() == mean.argmax()
    imgs, joints = ([x[:1] for x in many] for many in (imgs, joints))
    given = batch('heatmap_imgs', [x[:1] for x in drawn])
    losses = []
    for model, one in ((ours, batch('keypoint', joints)), (theirs, given)):
        torch.manual_seed(1)  # of dropout
        data = model.train().data_preprocessor(one, True)
        losses.append(model(**data, mode='loss'))
        sum(v for k, v in losses[-1].items() if 'loss' in k).backward()
    for name, value in losses[1].items():
        assert float(losses[0][name]) == pytest.approx(float(value), abs=1e-5), name
    known = dict(theirs.named_parameters())
    for name in ('backbone.rgb_path.conv1.conv', 'backbone.pose_path.layer1_lateral'):
        own = [p.grad for n, p in ours.named_parameters() if n.startswith(name)]
        their = [p.grad for n, p in known.items() if n.startswith(name)]
        torch.testing.assert_close(own, their, atol=1e-4, rtol=1e-3)
    columns = [
        known[f'cls_head.fc_{s}.{p}'].grad
        for p in ('weight', 'bias')
        for s in ('rgb', 'pose')
    ]
    columns = torch.cat([x if x.ndim == 2 else x[:, None] for x in columns], dim=1)
    own = ours.cls_head.fc_cls.weight.grad
    torch.testing.assert_close(own, columns, atol=1e-5, rtol=1e-4)


def test_two_streams_have_the_published_size_and_start():
    cfg = load_config('recog/rgbposeconv3d_mma82_indomain')
    with torch.device('meta'):
        model = MODELS.build({**cfg.model, 'data_preprocessor': None})
    assert sum(p.numel() for p in model.parameters()) == 36_204_292
    with torch.device('meta'):
        theirs = MODELS.build(dict(type='RGBPoseConv3D')).state_dict()
    own = model.backbone.state_dict()
    assert {k: v.shape for k, v in own.items()} == {
        k: v.shape for k, v in theirs.items()
    }
    # Of the published start nothing is missing but what joins the streams.
    joining = [n for n, _ in model.backbone.named_parameters() if '_lateral.' in n]
    assert len(joining) == 8
    assert 1 - len(joining) / len(list(model.backbone.parameters())) > MIN_MATCHED


@pytest.mark.parametrize(
    ('key', 'value'), [('in_channels', (4,)), ('loss_weights', (1, 1, 1))]
)
def test_a_head_of_two_streams_takes_two_of_all(key, value):
    options = {'num_classes': 82, 'in_channels': (4, 4), key: value}
    with pytest.raises(ValueError, match='give two numbers each'):
        TwoStreamHead(**options)
