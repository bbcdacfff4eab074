import pytest
import torch
from adapter_runs import model_config
from detection_windows import (
    CHANNELS,
    CLASSES,
    POSITIONS,
    fit,
    hits,
    overlapping_windows,
    tiny_detector,
    window,
)
from mmengine.model import BaseModule

from mmma.checkpoints import load_state, weights_of
from mmma.models.detector import from_opentad
from mmma.registry import MODELS

# As OpenTAD's AdaTAD names them: block 0 of the backbone, and one of each layer.
BLOCK = (
    'norm1.weight', 'norm1.bias', 'norm2.weight', 'norm2.bias',
    'attn.q_bias', 'attn.v_bias', 'attn.qkv.weight', 'attn.proj.weight',
    'attn.proj.bias', 'mlp.layers.0.0.weight', 'mlp.layers.0.0.bias',
    'mlp.layers.1.weight', 'mlp.layers.1.bias', 'adapter.gamma',
    'adapter.dwconv.weight', 'adapter.dwconv.bias', 'adapter.conv.weight',
    'adapter.conv.bias', 'adapter.down_proj.weight', 'adapter.down_proj.bias',
    'adapter.up_proj.weight', 'adapter.up_proj.bias',
)  # fmt: skip
TRANSFORMER = (
    'ln1.weight', 'ln1.bias', 'ln2.weight', 'ln2.bias',
    *(f'attn.{x}_conv.conv.weight' for x in ('query', 'key', 'value')),
    *(f'attn.{x}_norm.{k}' for x in ('query', 'key', 'value')
      for k in ('weight', 'bias')),
    *(f'attn.{x}.{k}' for x in ('query', 'key', 'value', 'proj')
      for k in ('weight', 'bias')),
    *(f'mlp.{i}.{k}' for i in (0, 3) for k in ('weight', 'bias')),
    'drop_path_attn.scale', 'drop_path_mlp.scale',
)  # fmt: skip
CONV = ('conv.weight', 'norm.weight', 'norm.bias')
NAMES = (
    *(f'backbone.model.backbone.{n}' for n in (
        'pos_embed', 'patch_embed.projection.weight', 'patch_embed.projection.bias',
        *(f'blocks.{i}.{name}' for i in range(2) for name in BLOCK),
    )),
    *(f'projection.embed.0.{n}' for n in CONV),
    *(f'projection.{part}.0.{n}' for part in ('stem', 'branch') for n in TRANSFORMER),
    *(f'neck.fpn_norms.{i}.{k}' for i in range(2) for k in ('weight', 'bias')),
    'rpn_head.loss_normalizer',
    *(f'rpn_head.{t}_convs.{i}.{n}'
      for t in ('cls', 'reg') for i in range(2) for n in CONV),
    *(f'rpn_head.{t}_head.{k}' for t in ('cls', 'reg') for k in ('weight', 'bias')),
    *(f'rpn_head.scale.{i}.scale' for i in range(2)),
)  # fmt: skip
UNUSED = (
    'backbone.model.backbone.fc_norm.weight',
    'backbone.model.cls_head.fc_cls.weight',
)


def test_all_names_of_adatad_are_ours():
    renamed = from_opentad(dict.fromkeys((*NAMES, *UNUSED), 0))
    model = MODELS.build(model_config())
    assert set(renamed) == set(model.state_dict())


def published(model):
    """A model's weights as OpenTAD's files hold them, averages among them."""
    state = {
        f'module.{name}'.replace('.backbone.', '.backbone.model.backbone.'): value
        for name, value in model.state_dict().items()
    }
    state['module.rpn_head.loss_normalizer'] = torch.tensor(100)
    last = {name: torch.zeros_like(value) for name, value in state.items()}
    return dict(state_dict=last, state_dict_ema=state, epoch=59)


def test_the_averages_of_a_file_fill_a_model():
    source, model = (MODELS.build(model_config()) for _ in range(2))
    for parameter in source.parameters():
        torch.nn.init.normal_(parameter)
    renamed = from_opentad(weights_of(published(source)))
    assert renamed['rpn_head.loss_normalizer'].dtype == torch.float32
    report = load_state(model, renamed)
    assert report.missing == report.unexpected == report.mismatched == ()
    x = torch.randn(1, 3, 16, 32, 32)
    expected, found = source.eval()(x), model.eval()(x)
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_detector_on_features_has_no_adapters():
    names = [n for n in NAMES if not n.startswith('backbone.')]
    weights = dict.fromkeys(names, 0)
    assert list(from_opentad(weights, adapters=False)) == names
    with pytest.raises(ValueError, match='not an AdaTAD of OpenTAD'):
        from_opentad(weights)


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        ((*NAMES, 'roi_head.fc.weight'), '1 unknown names, first roi_head.fc.weight'),
        ([n for n in NAMES if n.startswith('rpn_head.')], 'it has no projection'),
        ([n for n in NAMES if n.startswith('projection.')], 'it has no head'),
    ],
)
def test_other_detectors_are_refused(names, message):
    with pytest.raises(ValueError, match=f'one-stage detector of OpenTAD: {message}'):
        from_opentad(dict.fromkeys(names, 0))


HEADS = ['ActionFormerHead', 'TriDetHead']


@pytest.mark.parametrize('targets', ['shortest', 'union'])
@pytest.mark.parametrize('head', HEADS)
def test_overfits_overlapping_instances(head, targets, capsys):
    torch.set_num_threads(1)
    features, samples = overlapping_windows()
    model = tiny_detector(head, targets=targets)
    losses = fit(model, features, samples, steps=50, lr=8e-3)
    assert losses['loss_reg'] < 0.1
    # Apart, partly overlapping and nested: all found, and nothing else.
    assert hits(model, features[:2], samples[:2], tiou=0.8) == (6, 6, 6, 6)
    # Same centre, lengths 4.0 and 5.2 s: they share all points.
    found = [hits(model, features[2:], samples[2:], tiou)[0] for tiou in (0.5, 0.9)]
    with capsys.disabled():
        print(f'\n{head} {targets}: found at tIoU 0.5, 0.9 of two pairs: {found}')
    wanted = {
        ('ActionFormerHead', 'shortest'): [2, 2],
        ('TriDetHead', 'shortest'): [2, 2],
        ('ActionFormerHead', 'union'): [4, 2],  # the longer has the shorter's segment
        ('TriDetHead', 'union'): [4, 4],
    }
    assert found == wanted[head, targets]


def outputs_of(model, x, sample):
    """Loss, and scores and offsets of the positions that exist."""
    loss = sum(model(x, [sample], mode='loss').values())
    levels, masks = model.extract_feat(x, [sample])
    parts = [
        model.rpn_head.forward_level(level, x, mask)[name][..., mask[0]]
        for level, (x, mask) in enumerate(zip(levels, masks, strict=True))
        for name in ('cls', 'reg')
    ]
    return [loss, *parts]


@pytest.mark.parametrize('valid', [41, 48])
@pytest.mark.parametrize('head', HEADS)
def test_padding_changes_no_output_and_no_loss(head, valid):
    model = tiny_detector(head).eval()
    for name, parameter in model.named_parameters():
        if 'norm' in name or 'head.weight' in name:
            torch.nn.init.normal_(parameter)
    features = torch.randn(1, CHANNELS, POSITIONS)
    features[..., valid:] = 1e4
    truth = [[1.0, 4.0], [8.0, valid / 4 - 0.1]], [2, 3]
    found = [
        outputs_of(
            model,
            features[..., :positions],
            window(*truth, valid=valid, positions=positions),
        )
        for positions in (valid, POSITIONS)
    ]
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('head', HEADS)
def test_a_step_under_bf16_autocast(head):
    features, samples = overlapping_windows()
    model = tiny_detector(head, targets='union', num_classes=82, body={})
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model(features, samples, mode='loss')
        sum(losses.values()).backward()
        model.eval()(features, samples, mode='predict')
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert samples[0].pred_body.labels.max() < 7


def test_mode_tensor_needs_no_samples():
    model = tiny_detector()
    out = model([torch.randn(CHANNELS, 30)] * 2)
    assert out['cls'].shape == (2, CLASSES, 32 + 16 + 8 + 4)
    assert out['reg'].shape == (2, 2, 60)


def test_train_step_of_a_list_of_windows():
    features, samples = overlapping_windows()
    model = tiny_detector()
    batch = model.data_preprocessor(
        dict(inputs=list(features), data_samples=samples), training=True
    )
    losses = model(**batch, mode='loss')
    total, _ = model.parse_losses(losses)
    assert total.item() == pytest.approx(sum(losses.values()).item())


class EveryOther(BaseModule):
    """Features of half the rate, of the shape that a pooling takes."""

    def forward(self, x):
        x = x[..., ::2]
        if x.shape[0] == 1:  # graph: (N, M, D, T, V)
            return x[:, None, :, :, None].expand(-1, 2, -1, -1, 3)
        return x[..., None, None].expand(-1, -1, -1, 2, 2)  # (N, D, T, H, W)


@pytest.mark.parametrize(('pooling', 'batch'), [('graph', 1), ('clip', 2)])
def test_a_backbone_is_pooled_and_resampled(pooling, batch):
    model = tiny_detector()
    model.backbone, model.pooling = EveryOther(), pooling
    x = torch.arange(POSITIONS).float().expand(batch, CHANNELS, -1)
    seen = []
    model.projection.register_forward_pre_hook(lambda _, args: seen.append(args))
    model.extract_feat(x, [window(valid=50)] * batch)
    features, mask = seen[0]
    assert features.shape == (batch, CHANNELS, POSITIONS)
    assert features[0, 0, 1:4].tolist() == [0.5, 1.5, 2.5]
    assert mask.sum(1).tolist() == [50] * batch


def test_shapes_that_do_not_fit():
    model = tiny_detector()
    with pytest.raises(ValueError, match=r"do not fit pooling 'none'.*3 dimensions"):
        model(torch.randn(1, CHANNELS, 8, 2))
    with pytest.raises(ValueError, match=r'windows of \[32, 64\] positions'):
        model(torch.randn(2, CHANNELS, 32), [window(), window(valid=32, positions=32)])
    with pytest.raises(ValueError, match="mode 'train'"):
        model(torch.randn(1, CHANNELS, 8), mode='train')
    with pytest.raises(ValueError, match="pooling 'max'"):
        MODELS.build(
            dict(type='SegmentDetector', projection={}, head={}, pooling='max')
        )
    wrong = tiny_detector()
    wrong.rpn_head.strides = [1, 2]
    with pytest.raises(ValueError, match='4 levels of features, 2 strides'):
        wrong(torch.randn(1, CHANNELS, 64), [window()], mode='loss')


@pytest.mark.parametrize(
    ('projection', 'head', 'channels', 'classes', 'millions'),
    [
        # What the papers say of I3D features (2048) on THUMOS14.
        ('Conv1DTransformerProj', 'ActionFormerHead', 2048, 20, 29.25),
        ('TriDetProj', 'TriDetHead', 2048, 20, 15.99),
        # Detectors behind VideoMAE-S and -H, for 82 classes.
        ('Conv1DTransformerProj', 'ActionFormerHead', 384, 82, 26.79),
        ('Conv1DTransformerProj', 'ActionFormerHead', 1280, 82, 28.17),
    ],
)
def test_published_sizes(projection, head, channels, classes, millions):
    with torch.device('meta'):
        model = MODELS.build(
            dict(
                type='SegmentDetector',
                projection=dict(type=projection, in_channels=channels),
                neck=dict(type='FPNIdentity'),
                head=dict(type=head, num_classes=classes),
            )
        )
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert count == pytest.approx(millions, abs=0.005)


def test_weights_of_tridet_have_the_names_of_opentad():
    detectors = [tiny_detector(head, arch=(1, 1, 1)) for head in HEADS]
    plain, tridet = (set(model.state_dict()) for model in detectors)
    towers = [f'rpn_head.cls_{end}' for end in ('start', 'end')]
    convs = [f'_convs.0.{n}' for n in CONV]
    layers = [*convs, '_head.weight', '_head.bias']
    assert tridet - plain == {tower + layer for tower in towers for layer in layers}
    assert plain < tridet
