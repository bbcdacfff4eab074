import re
import sys

import pytest
import torch

from mmma.checkpoints import file_sha256, load_weights_file
from mmma.cli import main
from mmma.cli.convert_weights import FORMATS

ADATAD = (
    'module.backbone.model.backbone.blocks.0.adapter.gamma',
    'module.projection.embed.0.conv.weight',
    'module.rpn_head.cls_head.bias',
)
FEATURES = ADATAD[1:]
VIDEOMAE = (
    'blocks.0.norm1.weight',
    'fc_norm.bias',
    'head.weight',
    'patch_embed.proj.bias',
)
GC = ('module.base_model.layer1.0.eft1.conv.weight', 'module.new_fc.weight')
MANET = (
    'backbone.layer1.0.conv1.conv.weight',
    'backbone.layer1.0.conv1.conv.action_p2_squeeze.weight',
    'cls_head.fc_emb.weight',
)
PYSKL = ('backbone.gcn.0.gcn.PA', 'cls_head.fc.weight')
CASES = {
    'opentad-adatad': (
        ADATAD,
        {
            'backbone.blocks.0.adapter.gamma',
            'projection.embed.0.conv.weight',
            'rpn_head.cls_head.bias',
        },
    ),
    'opentad': (FEATURES, {'projection.embed.0.conv.weight', 'rpn_head.cls_head.bias'}),
    'videomae': (
        VIDEOMAE,
        {
            'backbone.blocks.0.norm1.weight',
            'backbone.fc_norm.bias',
            'backbone.patch_embed.projection.bias',
            'cls_head.fc_cls.weight',
        },
    ),
    'group-contextualization': (
        GC,
        {'backbone.layer1.0.gc.l.conv.weight', 'cls_head.fc_cls.weight'},
    ),
    'manet': (
        MANET,
        {'backbone.layer1.0.conv1.conv.net.weight', 'cls_head.fc_emb.weight'},
    ),
    'pyskl': (PYSKL, {'backbone.gcn.0.gcn.PA', 'cls_head.fc_cls.weight'}),
    'mmaction2': (PYSKL, {'backbone.gcn.0.gcn.PA', 'cls_head.fc_cls.weight'}),
}


def write(path, names, key='state_dict'):
    torch.save({key: {n: torch.tensor([i]) for i, n in enumerate(names)}}, path)
    return str(path)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('kind', FORMATS)
def test_published_files_get_our_names(tmp_path, capsys, kind, suffix):
    if suffix == '.safetensors':
        pytest.importorskip('safetensors')
    names, expected = CASES[kind]
    source = write(tmp_path / 'a.pth', names)
    out = tmp_path / f'b{suffix}'
    assert main('convert_weights', [source, str(out), '--from', kind]) == 0
    saved = load_weights_file(out)
    weights = saved['state_dict'] if suffix == '.pth' else saved
    assert set(weights) == expected
    first = next(n for n in weights if n.startswith(('backbone.', 'projection.')))
    assert weights[first].shape == (1,)
    printed = capsys.readouterr().out
    assert f'{source}: {len(names)} weights of {kind}\n' in printed
    assert f'wrote {out}: {len(expected)} weights\n' in printed


def test_it_says_where_weights_came_from(tmp_path):
    source = write(tmp_path / 'a.pth', PYSKL)
    main('convert_weights', [source, str(tmp_path / 'b.pth'), '--from', 'pyskl'])
    meta = load_weights_file(tmp_path / 'b.pth')['meta']
    assert meta == {
        'converted_from': 'pyskl',
        'source': f'a.pth {file_sha256(source)}',
    }


def test_averages_come_first(tmp_path, capsys):
    names = [n.removeprefix('module.') for n in FEATURES]
    last, average = torch.zeros(1), torch.ones(1)
    content = {
        'state_dict': dict.fromkeys(names, last),
        'state_dict_ema': dict.fromkeys(names, average),
    }
    torch.save(content, tmp_path / 'a.pth')
    source, out = str(tmp_path / 'a.pth'), tmp_path / 'b.pth'
    main('convert_weights', [source, str(out), '--from', 'opentad'])
    assert load_weights_file(out)['state_dict'][names[0]] == 1
    assert 'full windows score as in OpenTAD; padded ones' in capsys.readouterr().out


def test_the_model_of_a_config_tells_what_fits(tmp_path, capsys):
    source = write(tmp_path / 'a.pth', VIDEOMAE)
    options = ['--config', 'configs/recog/videomae-tiny_mma82_indomain.py']
    out = str(tmp_path / 'b.pth')
    assert main('convert_weights', [source, out, '--from', 'videomae', *options]) == 0
    printed = capsys.readouterr().out
    assert 'weights matched' in printed
    assert '4 mismatched: ' in printed


@pytest.mark.parametrize(
    ('kind', 'names', 'message'),
    [
        ('opentad-adatid', ADATAD, "unknown format .* Did you mean 'opentad-adatad'"),
        ('opentad-adatad', FEATURES, 'not an AdaTAD of OpenTAD'),
        ('videomae', PYSKL, 'not an original VideoMAE file'),
        ('manet', VIDEOMAE, 'not a ResNet with shifts: 4 unknown names'),
        ('manet', ('cls_head.fc.weight',), 'nothing named backbone.layer1'),
        ('pyskl', VIDEOMAE, 'not a recognizer of OpenMMLab: 4 unknown names'),
    ],
)
def test_files_of_another_format_are_refused(tmp_path, capsys, kind, names, message):
    source = write(tmp_path / 'a.pth', names)
    out = tmp_path / 'b.pth'
    assert main('convert_weights', [source, str(out), '--from', kind]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert not out.exists()


@pytest.mark.parametrize(
    ('out', 'message'),
    [
        ('b.bin', 'write to a file named .pth or .safetensors'),
        ('there.pth', 'exists: choose another name, or --force'),
        ('gone/b.pth', 'no such folder to write to'),
    ],
)
def test_bad_targets_are_refused(tmp_path, capsys, out, message):
    source = write(tmp_path / 'a.pth', PYSKL)
    write(tmp_path / 'there.pth', PYSKL)
    options = [source, str(tmp_path / out), '--from', 'pyskl']
    assert main('convert_weights', options) == 2
    assert message in capsys.readouterr().err


def test_a_file_is_replaced_if_forced(tmp_path):
    source = write(tmp_path / 'a.pth', PYSKL)
    assert main('convert_weights', [source, source, '--from', 'pyskl', '--force']) == 0
    assert 'cls_head.fc_cls.weight' in load_weights_file(source)['state_dict']


def test_safetensors_is_asked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'safetensors.torch', None)
    source = write(tmp_path / 'a.pth', PYSKL)
    out = str(tmp_path / 'b.safetensors')
    assert main('convert_weights', [source, out, '--from', 'pyskl']) == 2
    assert 'pip install safetensors, or write .pth' in capsys.readouterr().err
