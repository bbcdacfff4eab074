import pytest
import torch
from adapter_runs import model_config

from mmma.checkpoints import load_state, weights_of
from mmma.models.detectors.opentad_keys import from_opentad
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
