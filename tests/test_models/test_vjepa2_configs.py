from pathlib import Path

import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

import mmma.engine  # noqa: F401
from mmma.models.backbones.hub_encoder import read_config
from mmma.registry import MODELS

LEAF = Path(__file__).parents[2] / 'configs/recog/vjepa2-l_mma82_indomain.py'


def load_model():
    return Config.fromfile(LEAF)


@pytest.fixture
def tiny():
    """The model of the recipe with other sizes, and nothing frozen."""
    pytest.importorskip('transformers')
    torch.manual_seed(0)
    config = load_model().model
    sizes = dict(hidden_size=128, num_hidden_layers=4, num_attention_heads=4)
    config.backbone.config.update(sizes, mlp_ratio=4, crop_size=112)
    config.backbone.update(freeze='none', with_cp=False)
    config.cls_head.update(in_channels=128, dropout_ratio=0.0)
    model = MODELS.build(config)
    model.init_weights()
    return model


def test_the_large_model_is_the_published_one_and_frozen():
    pytest.importorskip('transformers')
    with torch.device('meta'):
        model = MODELS.build(load_model().model)
    assert model.cls_head.fc_cls.in_features == model.backbone.num_features
    learning = [n for n, p in model.named_parameters() if p.requires_grad]
    assert learning == ['cls_head.fc_cls.weight', 'cls_head.fc_cls.bias']
    # The library's defaults are the sizes of facebook/vjepa2-vitl-fpc64-256.
    standard = read_config(dict(model_type='vjepa2')).to_dict()
    ours = model.backbone.config.to_dict()
    assert {name for name in ours if ours[name] != standard[name]} == {'dtype'}


def test_pretrained_weights_are_pinned():
    pretrained = load_model().pretrained
    revision = pretrained.url.split('/resolve/')[1].split('/')[0]
    assert (len(revision), pretrained.sha8) == (40, '25466aef')


def test_the_pictures_are_those_that_the_model_takes():
    cfg = load_model()
    side = cfg.model.backbone.config.crop_size
    steps = {s.type: s for s in cfg.train_pipeline if s.type == 'Resize'}
    assert steps['Resize'].scale == (side, side)
    crop = next(s for s in cfg.test_pipeline if s.type == 'CenterCrop')
    assert crop.crop_size == side
    assert cfg.param_scheduler[0].T_max == cfg.train_cfg.max_epochs


def test_a_batch_trains_the_tiny_model(tiny):
    tiny.train()
    imgs = torch.randint(0, 256, (2, 1, 3, 16, 112, 112), dtype=torch.uint8)
    samples = [ActionDataSample().set_gt_label(i) for i in range(2)]
    wrapper = build_optim_wrapper(tiny, load_model().optim_wrapper)
    batch = dict(inputs=list(imgs), data_samples=samples)
    losses = [tiny.train_step(batch, wrapper)['loss_cls'].item() for _ in range(4)]
    assert losses[-1] < losses[0]
    assert len({group['lr'] for group in wrapper.param_groups}) == 6


def test_the_tiny_model_scores_clips(tiny):
    tiny.eval()
    imgs = torch.randint(0, 256, (2, 2, 3, 16, 112, 112), dtype=torch.uint8)
    samples = [ActionDataSample().set_gt_label(i) for i in range(2)]
    with torch.no_grad():
        scored = tiny.test_step(dict(inputs=list(imgs), data_samples=samples))
    assert [s.pred_score.shape for s in scored] == [(82,), (82,)]
    assert scored[0].pred_score.sum().item() == pytest.approx(1, abs=1e-5)
