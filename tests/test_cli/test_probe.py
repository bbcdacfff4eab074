import json

import pytest
import torch

from mmma.cli import main
from mmma.cli.arguments import find_recipe
from mmma.taxonomy import DOMAINS

NAME = 'videomae-tiny'
SMALL = [
    'test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False',
    'test_dataloader.batch_size=4',
]  # fmt: skip


def probe(root, out, *more):
    argv = [NAME, '--data-root', str(root), '--out', str(out), '--no-pretrained']
    more = [*more, '--shots', '1', '2', '--runs', '2']
    return main('probe', [*argv, *more, '--cfg-options', *SMALL])


@pytest.fixture(scope='module')
def probed(video_root, tmp_path_factory):
    out = tmp_path_factory.mktemp('probes')
    assert probe(video_root, out, '--save-checkpoint') == 0
    return out / f'{NAME}_mma82' / 'linear'


def read(folder, tag):
    return json.loads((folder / tag / 'results.json').read_text())


def test_every_row_is_filled(probed):
    domains = DOMAINS
    tags = {'indomain', 'zeroshot', 'fewshot', *(f'indomain-{d}' for d in domains)}
    assert {p.parent.name for p in probed.glob('*/results.json')} == tags
    assert [r['domain'] for r in read(probed, 'indomain')['runs']] == ['all', *domains]
    assert [r['target'] for r in read(probed, 'zeroshot')['runs']] == list(DOMAINS[1:])
    kinds = [
        (r['shots'], r.get('control'), r.get('run'))
        for r in read(probed, 'fewshot')['runs']
        if r['target'] == 'street'
    ]
    assert kinds == [
        (0, None, None), (0, 'classes', None), (0, 'oracle-prior', None),
        (1, 'prior', 0), (1, None, 0), (2, 'prior', 0), (2, None, 0),
        (1, 'prior', 1), (1, None, 1), (2, 'prior', 1), (2, None, 1),
    ]  # fmt: skip


def test_results_tell_what_was_probed_and_how_it_was_chosen(probed):
    results = read(probed, 'indomain-street')
    assert results['name'] == 'videomae-tiny_mma82, linear probe, random weights'
    assert results['probe']['kind'] == 'linear'
    tried = {t['l2']: t['val_top1'] for t in results['probe']['tried']}
    best = max(tried.values())
    assert results['probe']['l2'] == max(k for k, v in tried.items() if v == best)
    assert results['selected_on'] == {
        'by': 'source-val', 'subset': 'val', 'domains': ['street'],
        'metric': 'action/top1',
    }  # fmt: skip
    assert results['checkpoint']['random_backbone'] is True
    assert results['checkpoint']['pretrain_data'] == 'none'
    assert results['checkpoint']['simulated'] is True
    assert read(probed, 'zeroshot')['target_seen'] == []
    assert read(probed, 'fewshot')['adaptation'] == {
        'adapt': 'linear', 'proximity': 0.1
    }  # fmt: skip


@pytest.mark.parametrize('tag', ['indomain', 'indomain-street', 'zeroshot', 'fewshot'])
def test_numbers_are_those_of_test_py_with_the_same_head(
    tag, probed, video_root, tmp_path
):
    name, _, domain = tag.partition('-')
    flags = ['--protocol', name, *(['--domain', domain] if domain else [])]
    flags += ['--shots', '1', '2', '--runs', '2'] if name == 'fewshot' else []
    out = tmp_path / 'out.json'
    argv = [f'recog/{NAME}_mma82_indomain', str(probed / tag / 'probe.pth'), *flags]
    argv += ['--data-root', str(video_root), '--work-dir', str(tmp_path)]
    argv += ['--out', str(out)]
    assert main('test', [*argv, '--cfg-options', *SMALL]) == 0
    expected, found = json.loads(out.read_text()), read(probed, tag)
    assert len(expected['runs']) == len(found['runs'])
    for theirs, ours in zip(expected['runs'], found['runs'], strict=True):
        assert ours['metrics'] == pytest.approx(theirs['metrics'], abs=1e-4)
        assert ours.get('supports') == theirs.get('supports')
    for key in ('options', 'data', 'target_seen', 'selected_on'):
        assert found[key] == expected[key]


def test_a_probe_checkpoint_says_what_it_is(probed):
    meta = torch.load(probed / 'zeroshot' / 'probe.pth', weights_only=True)['meta']
    assert meta['seen_domains'] == ['lab']
    assert meta['probe']['kind'] == 'linear'
    assert len(meta['classes']) == 82


def test_an_attentive_probe(video_root, tmp_path):
    more = ['--probe', 'attentive', '--protocols', 'zeroshot', '--seed', '1']
    assert probe(video_root, tmp_path, *more) == 0
    folder = tmp_path / f'{NAME}_mma82' / 'attentive'
    results = read(folder, 'zeroshot-seed1')
    assert {'lr', 'weight_decay', 'epochs'} <= results['probe'].keys()
    assert len(results['probe']['tried']) == 4


def test_names_of_recipes():
    assert find_recipe('videomae-s').endswith('recog/videomae-s_mma82_indomain.py')
    with pytest.raises(FileNotFoundError, match="no config 'videomae-q'"):
        find_recipe('videomae-q')


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        ([NAME, '--ckpt', 'a', 'b'], '2 checkpoints for 1 configs'),
        ([NAME, '--probe', 'attentive', '--save-checkpoint'], 'only linear probes'),
        (['det/adatad_videomae-s_mma82'], 'probes are for recognition'),
        ([NAME], 'the recipe names no pretrained weights'),
        (
            [NAME, '--no-pretrained', '--cfg-options', 'fewshot.adapt=finetune'],
            "fewshot.adapt 'finetune' trains the backbone",
        ),
    ],
)
def test_bad_usage(argv, message, video_root, tmp_path, capsys):
    config, *more = argv
    place = ['--data-root', str(video_root), '--out', str(tmp_path)]
    assert main('probe', [config, *place, *more]) == 2
    assert message in capsys.readouterr().err
