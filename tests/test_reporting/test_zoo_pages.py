"""Pages of the zoo: their tables and numbers, and where two texts differ."""

import json
import posixpath
import re
from pathlib import Path

import pytest
from result_files import write_ablation, write_fusion
from zoo_folders import add_weights, make_checkout

from mmma.hub.zoo import read_metafiles
from mmma.reporting.paper import published_rows
from mmma.reporting.zoo_pages import (
    PAGE,
    _measured,
    billions,
    compare,
    millions,
    text_differences,
    zoo_pages,
)
from mmma.reporting.zoo_results import Method, read_studies, read_zoo

REPO = Path(__file__).parents[2]


def test_sizes_of_networks():
    assert (millions(1_234_567), millions(None)) == ('1.23', '–')
    small, large = billions(62_700_000), billions(1_200_000_000)
    assert (small, large, billions(0)) == ('0.0627', '1.20', '–')


@pytest.mark.parametrize(
    ('old', 'new', 'said'),
    [
        ('a\n| x | 1 |\n', 'a\n| x | 2 |\n', ["line 2: '1' should be '2'"]),
        ('a\nb\n', 'a\nc\n', ["line 2: 'b' should be 'c'"]),
        ('a\nc\n', 'a\nb\nc\n', ["line 2: 'b' is missing"]),
        ('a\nb\nc\n', 'a\nc\n', ["line 2: 'b' should not be there"]),
        ('a\n' + 'b' * 70, 'a\n', [f"line 2: '{'b' * 60}...' should not be there"]),
        ('a\r\n', 'a\n', ['line 1: its end is not one line break']),
        ('a', 'a', []),
    ],
)
def test_differences_name_the_line_and_the_number(old, new, said):
    assert list(text_differences(old, new)) == said


URL = 'https://huggingface.co/a/b/resolve/main/model.safetensors'


def recipe(name, **metadata):
    leaf = f'configs/{"det" if "adatad" in name else "recog"}/{name}.py'
    return {
        'Name': name,
        'Config': leaf,
        'Configs': [leaf],
        'Modality': 'RGB',
        'Metadata': metadata,
    }


PAPER = [
    Method('posec3d', {'Name': 'PoseC3D'}, (recipe('posec3d_mma82', FLOPs=10**9),)),
    Method('gctsm', {'Name': 'GC-TSM'}, (recipe('gctsm_mma82'),)),
    Method('adatad', {'Name': 'AdaTAD'}, (recipe('adatad_videomae-s_mma82'),)),
]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Real and simulated weights of both tasks."""
    root = make_checkout(tmp_path_factory.mktemp('zoo'))
    for task in ('rec', 'det'):
        for simulated in (True, False):
            add_weights(root, task, simulated)
    return root


@pytest.fixture(scope='module')
def methods(root):
    return methods_of(root)


@pytest.fixture(scope='module')
def pages(methods):
    return zoo_pages(methods)


def methods_of(root):
    _, methods, problems = read_zoo(root, read_metafiles(root))
    assert not problems
    return methods


def rows(text, heading, after=''):
    """Rows, titles first, of the first table below a heading, and below a text."""
    part = text.partition(f'{heading}\n')[2]
    part = part[part.index(after) :]
    table = part[part.index('\n|') + 1 :].partition('\n\n')[0].rstrip('\n')
    cells = [line.strip('| ').split(' | ') for line in table.split('\n')]
    return [cells[0], *cells[2:]]


def test_every_row_of_the_paper_is_there():
    found = compare('rec', 'crossdomain', PAPER)
    paper = [(c.place, c.setting) for c in found if c.paper]
    assert len(paper) == len(published_rows('rec', 'crossdomain')) == 12
    assert paper[:4] == [
        ('psychiatric', 'zero-shot'), ('psychiatric', '1-shot'),
        ('psychiatric', '5-shot'), ('psychiatric', '10-shot'),
    ]  # fmt: skip


def test_a_recipe_that_was_never_measured_has_one_row_of_dashes():
    found = compare('rec', 'indomain', PAPER)
    lacking = [c.recipe for c in found if not c.paper]
    assert lacking == ['posec3d_mma82', 'gctsm_mma82']
    text = zoo_pages(PAPER)[PAGE]
    _, first, *_, last = rows(text, '### Recognition, in-domain')
    assert first[:7] == ['all', 'PoseC3D', 'paper', '56.62', '80.45', '36.77', '39.39']
    link = '[gctsm_mma82](docs/zoo/gctsm.md)'
    assert last == ['each', link, '**ours**', *['–'] * 8]
    titles, *overview = rows(text, '## Methods')
    assert titles == ['method', 'task', 'input', 'recipes', 'GFLOPs', 'paper']  # known
    assert [row[5] for row in overview] == ['56.62 Top-1', '60.43 Top-1', '18.77 AVG']


def test_the_papers_val_figures_are_rows_of_their_own():
    text = zoo_pages(PAPER)['docs/zoo/posec3d.md']
    _, val, test, *_ = rows(text, '## Recognition, in-domain')
    assert val[:5] == ['all', 'val', 'PoseC3D', 'paper', '54.43']
    assert test[:5] == ['all', 'test', 'PoseC3D', 'paper', '56.62']


def test_a_suspect_figure_has_a_footnote():
    heading = '### Recognition, from lab: zero-shot and few-shot'
    text = zoo_pages(PAPER)[PAGE].partition(heading)[2]
    (marked,) = (line for line in text.split('\n') if '17.00†' in line)
    assert marked.startswith('| street | 5-shot |')
    assert text.count('†') == 2
    assert '\n† Stands out; probably a misprint of the paper.\n' in text


def test_detection_columns():
    titles, paper, ours = rows(zoo_pages(PAPER)[PAGE], '### Detection, in-domain')
    assert titles[3:] == [
        'action .2', 'action .5', 'action .7', 'action mAP',
        'body .2', 'body .5', 'body .7', 'body mAP', 'AVG',
    ]  # fmt: skip
    assert paper[1:5] == ['AdaTAD VideoMAE-S', 'paper', '20.88', '12.72']
    assert ours[:2] == ['all', '[adatad_videomae-s_mma82](docs/zoo/adatad.md)']


def test_only_real_numbers_of_ours_stand_beside_the_paper(methods):
    for task in ('rec', 'det'):
        found = compare(task, 'indomain', methods)
        assert found
        assert not any(c.simulated for c in found)
        assert {c.name.endswith('_real') for c in found} == {True}


def test_numbers_over_other_classes_stay_out(methods, monkeypatch):
    (real,) = (c for c in methods[0].checkpoints if not c.simulated)
    monkeypatch.setitem(real.measured[0], 'classes', ['a', 'b'])
    assert compare('det', 'indomain', methods) == []


def test_what_was_measured_with_counts_intervals_and_marks(pages):
    titles, row = rows(pages[PAGE], '### Detection, simulated')
    found = dict(zip(titles, row, strict=True))
    assert titles[:4] == ['name', 'tested on', 'videos', 'instances']
    assert (found['videos'], found['instances']) == ('3', '1,234')
    assert (found['action .2'], found['AVG']) == ('12.00ˢ', '16.25ˢ [15.2, 17.2]')
    assert 'benchmark**: tiny_set, fingerprint `12345678`. In brackets' in pages[PAGE]
    name = '### skeletondet-tiny_mma82-simulated'
    _, row = rows(pages['docs/zoo/skeletondet.md'], name, after='Tested on')
    assert row[4] == '12.00ˢ [11.0, 13.0]'
    _, *found = rows(pages[PAGE], '### Recognition, simulated')
    assert [row[1:3] for row in found[:2]] == [['all', '48'], ['lab', '12']]


def test_real_and_simulated_in_one_table_is_an_error(methods):
    checkpoints = methods[0].checkpoints
    assert {c.simulated for c in checkpoints} == {True, False}
    with pytest.raises(ValueError, match=r'data\.simulated differs'):
        _measured(checkpoints)


def test_the_source_of_data_is_named(methods, monkeypatch):
    (simulated,) = (c for c in methods[0].checkpoints if c.simulated)
    monkeypatch.setitem(simulated.measured[0]['data'], 'source', 'simulation, seed 3')
    assert ': tiny_set (simulation, seed 3), fingerprint' in zoo_pages(methods)[PAGE]


def test_shares_of_clips_are_named(methods, monkeypatch):
    (simulated,) = (c for c in methods[0].checkpoints if c.simulated)
    share = 'test: 9 of 10 clips of street'
    monkeypatch.setitem(simulated.measured[0]['data'], 'incomplete', [share])
    assert f'tiny_set, fingerprint `12345678`, {share}. ' in zoo_pages(methods)[PAGE]


def test_files_of_our_weights(methods, pages):
    (checkpoint,) = (c for c in methods[1].checkpoints if c.simulated)
    name, sha256 = checkpoint.name, checkpoint.entry['Weights SHA256']
    _, *found = rows(pages[PAGE], '## Ours, on simulated data: no benchmark')
    (row,) = (row for row in found if name in row[0])
    config = 'skeletontcn-tiny_mma82_indomain'
    assert row[:4] == [
        f'[`{name}`](docs/zoo/skeletontcn.md#{name})',
        f'[{config}](configs/recog/{config}.py)', 'indomain', '0.79',
    ]  # fmt: skip
    assert row[5:] == [
        f'[`{sha256[:8]}`](zoo/{name}/{name}-{sha256[:8]}.safetensors)',
        f'[log](zoo/{name}/train.log), [results](zoo/{name}/results.json)',
    ]


def test_upstream_weights_are_listed_once():
    start = {'Pretrained': 'kinetics', 'Pretrained Weights': URL}
    known = {
        'Pretrained Weights SHA256': 'abcdef0123',
        'Pretrained Weights Size': 10**9,
    }
    terms = {'License': {'Pretrained Weights': 'MIT'}}
    methods = [
        Method('a', {'Name': 'A', **terms}, (recipe('a', **start), recipe('b'))),
        Method('c', {'Name': 'C'}, (recipe('c', **start, **known),)),
        Method('d', {'Name': 'D'}, (recipe('d'),)),
    ]
    pages = zoo_pages(methods)
    _, row = rows(pages[PAGE], '## Upstream weights that recipes start from')
    assert row == [
        f'[`a-b-model`]({URL})', 'kinetics', '1000.00 MB', '`abcdef01`', 'MIT',
        '[a](configs/recog/a.py), [c](configs/recog/c.py)',
    ]  # fmt: skip
    _, row = rows(pages['docs/zoo/a.md'], '## Upstream weights')
    assert row[2:4] == ['unknown', 'unknown']
    assert '## Upstream weights' not in pages['docs/zoo/d.md']


def test_recipes_with_and_without_weights(pages):
    titles, row = rows(pages['docs/zoo/skeletondet.md'], '## Recipes')
    assert row[0] == 'skeletondet-tiny_mma82'
    assert row[5].split(', ')[0] == '`skeletondet-tiny_mma82-simulated`'
    assert (titles[-1], row[-1]) == ('window (s)', '17.07')
    assert 'window (s)' not in pages['docs/zoo/skeletontcn.md']
    _, plain = rows(zoo_pages(PAPER)['docs/zoo/posec3d.md'], '## Recipes')
    assert plain[4:] == ['scratch', 'none yet: train it', '1.00']  # what is known


HEADER = '<!-- Generated by tools/build_model_zoo.py from'


def tables(text):
    """Each table with the nearest heading and the paragraph before it."""
    blocks = [block for block in text.split('\n\n') if block.strip()]
    heading = before = ''
    for block in blocks:
        if block.startswith('#'):
            heading = block
        elif block.startswith('|'):
            yield heading, before, block
        before = block


def test_a_zoo_without_weights_of_ours(tmp_path):
    pages = zoo_pages(methods_of(make_checkout(tmp_path)))
    assert list(pages) == [PAGE, 'docs/zoo/skeletondet.md', 'docs/zoo/skeletontcn.md']
    assert '## Ours, on simulated data: no benchmark\n\nNone yet.\n' in pages[PAGE]
    assert all(text.startswith(HEADER) for text in pages.values())
    assert all(text.endswith('\n') and text[-2] != '\n' for text in pages.values())


def test_the_page_starts_with_what_rows_mean_and_an_overview(pages):
    text = pages[PAGE]
    assert re.findall('^## (.*)', text, re.M) == [
        'Methods',
        'Paper and ours, on real data',
        'Ours, on simulated data: no benchmark',
        'Upstream weights that recipes start from',
    ]
    row = '| [SkeletonTCN](docs/zoo/skeletontcn.md) | recognition | Pose | 1 |'
    assert row in text
    assert '| 1 | 1 |' in text  # one real, one simulated
    first = text.split('\n\n')[2]
    assert first.startswith('**What there is: ')
    assert '2 of them trained on simulated data and 2 on real data' in first
    assert 'there are 2 recipes, 0 of which start from 0 files of weights' in first
    (bare,) = re.findall(r'\*\*What there is: .*', zoo_pages(PAPER)[PAGE])
    assert '0 of them trained on simulated data and none on real data' in bare


def test_simulated_numbers_have_tables_of_their_own_that_say_so(pages):
    found = [list(tables(text)) for text in pages.values()]
    shown = [[t for t in f if 'Top-1' in t[2] or 'AVG' in t[2]] for f in found]
    assert all(shown)
    with_metrics = [table for own in shown for table in own]
    for heading, before, block in with_metrics:
        names = set(
            re.findall(r'skeleton\w+-tiny_mma82[\w-]*(?:-simulated|_real)', block)
        )
        simulated = {name.endswith('-simulated') for name in names}
        assert len(simulated) <= 1, heading
        if simulated == {True}:
            assert before.startswith('**simulated data, no benchmark**')
            numbers = re.findall(r'\d+\.\d\d\S?', block)
            assert all(number.endswith('ˢ') for number in numbers)
        else:
            assert 'ˢ' not in block


def test_a_methods_page_has_the_commands_for_its_weights(pages):
    text = pages['docs/zoo/skeletondet.md']
    name = 'skeletondet-tiny_mma82-simulated'
    assert f'python tools/download.py {name}\n' in text
    config = 'configs/det/skeletondet-tiny_mma82.py'
    assert f'python tools/test.py {config} {name} --data-root ROOT\n' in text
    assert 'Training Resources: one CPU; Precision: float16' in text
    assert '## Upstream weights' not in text


def test_every_link_leads_somewhere(root, pages):
    for name, text in pages.items():
        for target in re.findall(r'\]\((?!https:)([^)#]+)', text):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            there = any((place / path).is_file() for place in (root, REPO))
            assert path in pages or there, (name, target)


def test_studies_of_emotions_stand_beside_the_paper(tmp_path):
    assert '## Emotion' not in zoo_pages(PAPER)[PAGE]
    folder = tmp_path / 'zoo/emotion_tiny-simulated'
    write_fusion(folder / 'results_fuse.json', videos=70)
    path = write_ablation(folder / 'results.json', videos=70)
    studies = read_studies(tmp_path)
    assert [s['protocol']['name'] for s in studies] == ['ablate', 'fuse']
    text = zoo_pages(PAPER, studies)[PAGE].partition('\n## Emotion\n')[2]
    assert text.count('[paper] |') == 6
    assert text.count('(simulated) |') == 3 + 5
    assert 'SIMULATED DATA' in text
    del studies[0]['files'], studies[0]['runs'][1]['metrics']['emotion/mca']
    path.write_text(json.dumps(studies[0]))
    with pytest.raises(
        ValueError, match=r'results.json: without .*emotion/mca.* is missing'
    ):
        read_studies(tmp_path)
