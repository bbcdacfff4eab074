"""Weights into models: what fits, what is told, what is refused."""

from types import SimpleNamespace

import pytest
import torch
from detection_windows import CHANNELS, tiny_detector, window
from torch import nn

from mmma.checkpoints import (
    check_simulated,
    load_state,
    load_trained,
    load_weights_file,
    meta_of,
    weights_of,
)
from mmma.checkpoints.files import write_safetensors
from mmma.taxonomy import load_label_space

CLASSES = ['nod', 'shrug', 'wave']


def make_model(num_classes=3, depth=20, width=4):
    model = nn.Module()
    model.backbone = nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))
    model.cls_head = nn.Module()
    model.cls_head.fc_cls = nn.Linear(width, num_classes)
    return model


def checkpoint_of(model, **meta):
    meta = {'label_space': 'toy', 'classes': CLASSES, **meta}
    return {'state_dict': model.state_dict(), 'meta': meta}


def test_names_of_weights_steer_no_terminal():
    with pytest.raises(ValueError, match=r"a\.pth has weights named 'a\\x1b'"):
        weights_of({'a\x1b': torch.zeros(1)}, 'a.pth')


def test_head_of_another_size_stays(capsys):
    source, model = make_model(num_classes=5), make_model()
    head = model.cls_head.fc_cls.weight.clone()
    report = load_state(model, source.state_dict(), 'k400.pth')
    assert report.ratio == 1
    assert report.mismatched == ('cls_head.fc_cls.weight', 'cls_head.fc_cls.bias')
    assert model.backbone[7].weight.equal(source.backbone[7].weight)
    assert model.cls_head.fc_cls.weight.equal(head)
    assert 'k400.pth: 40 weights matched; 2 mismatched: cls_head' in (
        capsys.readouterr().err
    )


def test_accepted_from_95_percent():
    # 40 parameters outside the head: 38 matched are 95 %.
    weights = list(make_model().state_dict().items())
    report = load_state(make_model(), dict(weights[2:]))
    assert report.ratio == 38 / 40
    assert report.missing == ('backbone.0.weight', 'backbone.0.bias')
    with pytest.raises(ValueError, match=r'only 92\.5% .* 95% .*--no-pretrained'):
        load_state(make_model(), dict(weights[3:]))


def test_bare_backbone_and_wrapped_names():
    source, model = make_model(), make_model()
    bare = {f'module.{k}': v for k, v in source.backbone.state_dict().items()}
    report = load_state(model, weights_of({'model': bare, 'epoch': 3}))
    assert report.ratio == 1
    assert report.missing == ('cls_head.fc_cls.weight', 'cls_head.fc_cls.bias')
    assert model.backbone[0].weight.equal(source.backbone[0].weight)


def test_unexpected_names_are_told():
    weights = {**make_model().state_dict(), 'decoder.weight': torch.ones(1)}
    report = load_state(make_model(), weights)
    assert report.unexpected == ('decoder.weight',)
    assert '1 unexpected: decoder.weight' in str(report)


def test_modules_may_adapt_what_is_stored():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.zeros(2))

        def _load_from_state_dict(self, state_dict, prefix, *args):
            state_dict[f'{prefix}table'] = state_dict[f'{prefix}table'][:2]
            super()._load_from_state_dict(state_dict, prefix, *args)

    weights = {'table': torch.arange(1.0, 4.0)}
    model = Table()
    assert load_state(model, weights).matched == ('table',)
    assert model.table.tolist() == [1, 2]
    assert len(weights['table']) == 3


def test_a_detector_starts_from_a_backbone_but_not_from_a_part_of_itself():
    model = make_model()
    model.projection = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
    model.rpn_head = nn.Linear(4, 2)
    model.projection.starts_fresh = model.rpn_head.starts_fresh = True
    backbone = {f'backbone.{k}': v for k, v in model.backbone.state_dict().items()}
    assert load_state(model, backbone).ratio == 1
    one = {**backbone, 'projection.0.bias': torch.zeros(4)}
    with pytest.raises(ValueError, match=r'only 89\.1%'):  # 41 of 46 parameters
        load_state(model, one)


def test_weights_of_which_nothing_fits_are_refused():
    model = nn.Module()
    model.projection = nn.Linear(4, 4)
    model.projection.starts_fresh = True
    with pytest.raises(ValueError, match=r'only 0\.0%'):
        load_state(model, make_model().state_dict())


def test_averaged_weights():
    for held, expected in (
        # MMEngine's EMA hook swaps the two before it saves.
        ({'state_dict': 1, 'ema_state_dict': 2}, 1),
        ({'state_dict': 1, 'state_dict_ema': 2}, 2),
        ({'model': 1, 'model_ema': 2}, 2),
    ):
        checkpoint = {
            name: {'module.w': torch.tensor(value), 'steps': torch.tensor(9)}
            for name, value in held.items()
        }
        assert weights_of(checkpoint)['w'] == expected, held
    some = {
        'state_dict': {'a': torch.tensor(1), 'b': torch.tensor(2)},
        'ema_state_dict': {'module.a': torch.tensor(3)},
    }
    assert weights_of(some) == {'a': 1, 'b': 2}


def test_no_weights():
    for checkpoint, message in (
        ({'epoch': 3}, 'no weights: a dict with epoch'),
        ([1, 2], 'no weights: a list with 1, 2'),
        ('text', 'no weights: a str with nothing'),
        ({'state_dict': {}}, 'no weights'),
    ):
        with pytest.raises(ValueError, match=message):
            weights_of(checkpoint)


def test_trained():
    source, model = make_model(), make_model()
    for checkpoint in (checkpoint_of(source), source.state_dict()):
        report = load_trained(model, checkpoint, 'toy', CLASSES)
        assert len(report.matched) == 42
        assert model.cls_head.fc_cls.weight.equal(source.cls_head.fc_cls.weight)
    assert meta_of(source.state_dict()) == {}


def test_classes_are_matched_by_name(capsys):
    source, model = make_model(), make_model()
    x = torch.ones(1, 4)
    load_trained(model, checkpoint_of(source), 'toy', ['wave', 'nod', 'shrug'], 'a.pth')
    by_name = dict(zip(CLASSES, source.cls_head.fc_cls(x)[0].tolist(), strict=True))
    assert model.cls_head.fc_cls(x)[0].tolist() == pytest.approx(
        [by_name['wave'], by_name['nod'], by_name['shrug']]
    )
    assert 'a.pth: classes reordered by name' in capsys.readouterr().err


def test_classes_that_cannot_be_reordered():
    model = nn.Linear(4, 3)
    with pytest.raises(ValueError, match=r'in another order .* no classifier'):
        load_trained(model, checkpoint_of(model), 'toy', CLASSES[::-1])


def test_another_label_space():
    model = make_model()
    with pytest.raises(
        ValueError, match=r"label space 'toy' \(3 classes\), the data has 'ma52' \(2\)"
    ):
        load_trained(model, checkpoint_of(model), 'ma52', ['nod', 'jump'])
    with pytest.raises(ValueError, match='they differ in jump, wave'):
        load_trained(model, checkpoint_of(model), 'toy', ['nod', 'shrug', 'jump'])


def test_another_model():
    checkpoint = checkpoint_of(make_model(depth=2), config_name='small.py')
    with pytest.raises(
        ValueError, match=r'a\.pth is of another model: .*2 missing: .*with small\.py'
    ):
        load_trained(make_model(depth=3), checkpoint, 'toy', CLASSES, 'a.pth')
    with pytest.raises(ValueError, match='5 mismatched'):
        load_trained(make_model(depth=2, width=8), checkpoint, 'toy', CLASSES)


def test_simulated_weights_keep_away_from_real_video():
    meta = {'data': {'name': 's', 'simulated': True}}
    real, simulated = (SimpleNamespace(simulated=known) for known in (False, True))
    with pytest.raises(ValueError, match=r'simulated data \(s\).*--allow-simulated'):
        check_simulated(meta, real)
    check_simulated(meta, real, allow=True)
    check_simulated(meta, simulated)
    check_simulated({'data': {'name': 's', 'simulated': False}}, real)
    check_simulated({}, real)


def permuted_checkpoint(model, space):
    """A checkpoint of a model, with its classes and body groups in another order.

    Every tensor with as many rows as there are classes or groups is permuted: nothing
    else in the model has so many.
    """
    orders = {
        len(names): torch.randperm(len(names), generator=torch.manual_seed(3))
        for names in (space.actions, space.bodies)
    }
    state = {
        name: value[orders[len(value)]]
        if value.dim() and len(value) in orders
        else value
        for name, value in model.state_dict().items()
    }
    names = [
        [known[i] for i in orders[len(known)]]
        for known in (space.actions, space.bodies)
    ]
    meta = dict(label_space=space.name, classes=names[0], bodies=names[1])
    return {'state_dict': state, 'meta': meta}


@pytest.mark.parametrize('head', ['ActionFormerHead', 'TriDetHead'])
def test_detections_are_matched_by_name(head):
    space = load_label_space('mma82')
    options = dict(num_classes=82, body={}, label_space='mma82')
    source, other = (tiny_detector(head, **options).eval() for _ in range(2))
    torch.manual_seed(1)
    for parameter in source.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    checkpoint = permuted_checkpoint(source, space)
    changed = [
        name
        for name, value in checkpoint['state_dict'].items()
        if not value.equal(source.state_dict()[name])
    ]
    assert len(changed) == (8 if head == 'TriDetHead' else 4)  # weights and biases
    names = (space.name, space.actions, 'a.pth', space.bodies)
    load_trained(other, checkpoint, *names)
    features, samples = torch.randn(1, CHANNELS, 64), [window()]
    found = []
    for model in (source, other):
        model(features, samples, mode='predict')
        found.append((samples[0].pred, samples[0].pred_body))
    for expected, detections in zip(*found, strict=True):
        assert len(expected) > 50
        assert detections.labels.tolist() == expected.labels.tolist()
        assert detections.scores == pytest.approx(expected.scores)
        assert detections.segments_sec == pytest.approx(expected.segments_sec, abs=1e-4)


def test_half_precision_fills_a_model_in_full(tmp_path):
    def build():
        model = make_model()
        model.backbone.append(nn.BatchNorm1d(4))
        return model

    source, model = build(), build()
    source.backbone(torch.randn(9, 4))
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in source.state_dict().items()
    }
    write_safetensors(tmp_path / 'a.safetensors', state, checkpoint_of(source)['meta'])
    load_trained(model, load_weights_file(tmp_path / 'a.safetensors'), 'toy', CLASSES)
    own = model.state_dict()
    assert {v.dtype for k, v in own.items() if 'tracked' not in k} == {torch.float32}
    assert own['backbone.20.num_batches_tracked'].item() == 1
    assert own['backbone.20.num_batches_tracked'].dtype == torch.int64
    for name, value in source.state_dict().items():
        torch.testing.assert_close(own[name], value, rtol=1e-3, atol=1e-6)


WRAPPINGS = (
    *('_orig_mod.', 'module.', 'module._orig_mod.', '_orig_mod.module.', 'model.'),
    *('_fsdp_wrapped_module._orig_mod.', 'module.module.', 'student.net.'),
)


def test_what_wrappers_add_to_names_is_left_out(capsys):
    source = make_model()
    failed = []
    for start in WRAPPINGS:
        state = {f'{start}{k}': v for k, v in source.state_dict().items()}
        wrapped = checkpoint_of(source) | {'state_dict': state}
        model, other = make_model(), make_model()
        reports = (
            load_trained(model, wrapped, 'toy', CLASSES),
            load_state(other, weights_of(wrapped)),
        )
        whole = all(len(report.matched) == 42 for report in reports)
        told = start in capsys.readouterr().err
        if (
            not whole
            or not told
            or not model.backbone[3].weight.equal(source.backbone[3].weight)
        ):
            failed.append(start)
    assert not failed


def test_a_part_that_was_compiled_and_an_averaged_model():
    source = make_model()
    state = {
        k.replace('backbone.', 'backbone._orig_mod.'): v
        for k, v in source.state_dict().items()
    }
    assert load_state(make_model(), weights_of(state)).ratio == 1
    averaged = torch.optim.swa_utils.AveragedModel(source).state_dict()
    assert 'n_averaged' in averaged
    found = load_trained(make_model(), {'state_dict': averaged}, 'toy', CLASSES)
    assert len(found.matched) == 42


def test_a_bare_backbone_in_any_wrapping():
    bare = make_model().backbone.state_dict()
    state = {f'encoder._orig_mod.{k}': v for k, v in bare.items()}
    assert load_state(make_model(), weights_of(state)).ratio == 1


def test_containers():
    state = make_model().state_dict()
    nothing = {'optimizer': {'state': {0: {'step': torch.ones(1)}}}, 'epoch': 3}
    for held in (
        {'model_state_dict': state},
        {'net': state},
        {'whatever': state},
        {'model': {'name': 'tiny'}, 'weights': state},
        {'state_dict': {'model': state}},
        {'whatever': {'model': {'state_dict': state}}},
        {'whatever': state, 'scheduler': {'rate': torch.ones(1)}},
        {'ema': state, 'model': {'a': torch.ones(1)}},
    ):
        assert weights_of({**held, **nothing}).keys() == state.keys()
    with pytest.raises(ValueError, match='no weights: a dict with teacher, student'):
        weights_of({'teacher': state, 'student': state})


def test_weights_beside_those_of_a_loss(capsys):
    state = {f'model.{k}': v for k, v in make_model().state_dict().items()}
    state['loss.weight'] = torch.ones(3)
    report = load_state(make_model(), weights_of(state))
    assert (report.ratio, report.unexpected) == (1, ('loss.weight',))
    assert "names begin with 'model.', which is left out" in capsys.readouterr().err


def test_a_weight_with_and_without_its_wrapping():
    both = {'a.weight': torch.ones(1), '_orig_mod.a.weight': torch.ones(1)}
    with pytest.raises(ValueError, match='1 weights twice, with and without _orig_mod'):
        weights_of(both)


def test_counters_that_a_file_lacks_are_not_matched():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    state = {k: v for k, v in model.state_dict().items() if 'tracked' not in k}
    report = load_state(model, state)
    assert len(report.matched) == 6
    assert not report.missing
    with pytest.raises(ValueError, match='0 weights matched'):
        load_state(model, {'other.weight': torch.ones(1)})
