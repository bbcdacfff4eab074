"""Tables, numbers, and where two texts differ."""

import posixpath
import re

import pytest
from zoo_folders import add_weights, make_checkout

from mmma.hub.zoo import read_metafiles
from mmma.reporting.paper import published_rows
from mmma.reporting.table import COLUMNS
from mmma.reporting.zoo_pages import (
    FULL_COLUMNS,
    PAGE,
    REC_COLUMNS,
    billions,
    checkpoints_table,
    compare,
    compared_table,
    data_groups,
    measured_table,
    megabytes,
    millions,
    recipes_table,
    span,
    text_differences,
    upstream_table,
    zoo_pages,
)
from mmma.reporting.zoo_results import Method, read_zoo


@pytest.mark.parametrize(
    ('found', 'text'),
    [
        (millions(1_234_567), '1.23'),
        (millions(None), '–'),
        (billions(1_200_000_000), '1.20'),
        (billions(62_700_000), '0.0627'),
        (billions(0), '–'),
        (megabytes(1_580_000), '1.58 MB'),
        (megabytes(None), 'unknown'),
        (span(['9.5', '10.0', '–']), '9.5–10.0'),
        (span(['9.5', '9.5']), '9.5'),
        (span(['–']), '–'),
    ],
)
def test_cells(found, text):
    assert found == text


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
    Method('posec3d', {'Name': 'PoseC3D'}, (recipe('posec3d_mma82'),)),
    Method('gctsm', {'Name': 'GC-TSM'}, (recipe('gctsm_mma82'),)),
    Method('adatad', {}, (recipe('adatad_videomae-s_mma82'),)),
]
PAGES = {r['Name']: f'{m.name}.md' for m in PAPER for r in m.recipes}


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


def methods_of(root):
    _, methods, problems = read_zoo(root, read_metafiles(root))
    assert not problems
    return methods


def cells(lines, row):
    return lines[row].strip('| ').split(' | ')


def test_every_row_of_the_paper_is_there():
    rows = compare('rec', 'crossdomain', PAPER)
    paper = [(c.place, c.setting) for c in rows if c.paper]
    assert len(paper) == len(published_rows('rec', 'crossdomain')) == 12
    assert paper[:4] == [
        ('psychiatric', 'zero-shot'), ('psychiatric', '1-shot'),
        ('psychiatric', '5-shot'), ('psychiatric', '10-shot'),
    ]  # fmt: skip


def test_a_recipe_that_was_never_measured_has_one_row_of_dashes():
    rows = compare('rec', 'indomain', PAPER)
    assert [c.recipe for c in rows if not c.paper] == [
        'posec3d_mma82', 'gctsm_mma82',
    ]  # fmt: skip
    lines = compared_table(rows, REC_COLUMNS, PAGES)
    assert cells(lines, -2) == [
        'each', '[gctsm_mma82](gctsm.md)', '**ours**', *['–'] * 8,
    ]  # fmt: skip
    first = ['all', 'PoseC3D', 'paper', '56.62', '80.45', '36.77', '39.39']
    assert cells(lines, 2)[:7] == first


def test_the_papers_val_figures_are_rows_of_their_own():
    rows = compare('rec', 'indomain', PAPER[:1])
    lines = compared_table(rows, FULL_COLUMNS, PAGES, ('val', 'test'))
    assert cells(lines, 2)[:5] == ['all', 'val', 'PoseC3D', 'paper', '54.43']
    assert cells(lines, 3)[:5] == ['all', 'test', 'PoseC3D', 'paper', '56.62']


def test_a_suspect_figure_has_a_footnote():
    lines = compared_table(compare('rec', 'crossdomain', PAPER), REC_COLUMNS, PAGES)
    marked = [line for line in lines if '17.00†' in line]
    assert len(marked) == 1
    assert marked[0].startswith('| street | 5-shot |')
    assert sum(line.count('†') for line in lines) == 2
    assert '† Stands out; probably a misprint of the paper.' in lines


def test_detection_columns():
    lines = compared_table(compare('det', 'indomain', PAPER), COLUMNS['det'], PAGES)
    assert cells(lines, 0)[3:] == [
        'action .2', 'action .5', 'action .7', 'action mAP',
        'body .2', 'body .5', 'body .7', 'body mAP', 'AVG',
    ]  # fmt: skip
    assert cells(lines, 2)[1:5] == ['AdaTAD VideoMAE-S', 'paper', '20.88', '12.72']
    assert cells(lines, 3)[:2] == ['all', '[adatad_videomae-s_mma82](adatad.md)']


def test_only_real_numbers_of_ours_stand_beside_the_paper(methods):
    for task in ('rec', 'det'):
        rows = compare(task, 'indomain', methods)
        assert rows
        assert not any(c.simulated for c in rows)
        assert {c.name.endswith('_real') for c in rows} == {True}


def test_numbers_over_other_classes_stay_out(methods, monkeypatch):
    (results,) = {
        id(e): e for c in methods[0].checkpoints if not c.simulated for e in c.measured
    }.values()
    monkeypatch.setitem(results, 'classes', ['a', 'b'])
    assert compare('det', 'indomain', methods) == []


def test_real_and_simulated_in_one_table_is_an_error(methods):
    checkpoints = methods[0].checkpoints
    assert {c.simulated for c in checkpoints} == {True, False}
    with pytest.raises(ValueError, match='must not stand in one table'):
        measured_table(checkpoints)


def simulated(methods, task):
    every = [c for m in methods for c in m.checkpoints]
    return [c for c in every if c.simulated and c.task == task]


def test_what_was_measured_with_counts_intervals_and_marks(methods):
    lines = measured_table(simulated(methods, 'det'))
    assert cells(lines, 0)[:4] == ['name', 'tested on', 'videos', 'instances']
    found = dict(zip(cells(lines, 0), cells(lines, 2), strict=True))
    assert (found['videos'], found['instances']) == ('3', '1,234')
    assert (found['action .2'], found['AVG']) == ('12.00ˢ', '16.25ˢ [15.2, 17.2]')
    lines = measured_table(simulated(methods, 'det'), every_interval=True)
    assert cells(lines, 2)[4] == '12.00ˢ [11.0, 13.0]'
    lines = measured_table(simulated(methods, 'rec'))
    assert [cells(lines, i)[1:3] for i in (2, 3)] == [['all', '48'], ['lab', '12']]


def test_weights_are_grouped_by_what_they_were_tested_on(methods):
    every = [c for m in methods for c in m.checkpoints if c.simulated]
    (text, own), (_, other) = data_groups(every)
    assert text == 'tiny_set, fingerprint `12345678`'
    assert (own[0].task, other[0].task) == ('det', 'rec')
    own[0].measured[0]['data']['source'] = 'simulation, seed 3'
    assert data_groups(own)[0][0].startswith('tiny_set (simulation, seed 3), finger')


def test_files_of_our_weights(methods):
    (checkpoint,) = simulated(methods, 'rec')
    name, sha256 = checkpoint.name, checkpoint.entry['Weights SHA256']
    row = cells(checkpoints_table([checkpoint], '../', {name: 'a.md'}), 2)
    assert row[:2] == [
        f'[`{name}`](a.md#{name})',
        '[skeletontcn-tiny_mma82_indomain]'
        '(../configs/recog/skeletontcn-tiny_mma82_indomain.py)',
    ]
    assert row[2:4] == ['indomain', '0.79']
    assert row[5] == (
        f'[`{sha256[:8]}`](../zoo/{name}/{name}-{sha256[:8]}.safetensors)'
    )
    assert row[6] == (
        f'[log](../zoo/{name}/train.log), [results](../zoo/{name}/results.json)'
    )


def test_upstream_weights_are_listed_once():
    start = {'Pretrained': 'kinetics', 'Pretrained Weights': URL}
    known = {
        'Pretrained Weights SHA256': 'abcdef0123',
        'Pretrained Weights Size': 10**9,
    }
    methods = [
        Method(
            'a',
            {'License': {'Pretrained Weights': 'MIT'}},
            (recipe('a', **start), recipe('b')),
        ),
        Method('c', {}, (recipe('c', **start, **known),)),
    ]
    lines = upstream_table(methods)
    assert len(lines) == 4
    assert cells(lines, 2) == [
        f'[`a-b-model`]({URL})', 'kinetics', '1000.00 MB', '`abcdef01`', 'MIT',
        '[a](configs/recog/a.py), [c](configs/recog/c.py)',
    ]  # fmt: skip
    assert cells(upstream_table(methods[:1]), 2)[2:4] == ['unknown', 'unknown']
    assert upstream_table([Method('b', {}, (recipe('b'),))]) == []


def test_recipes_with_and_without_weights(methods):
    det, rec = methods
    row = cells(recipes_table(det, ''), 2)
    assert row[0] == 'skeletondet-tiny_mma82'
    assert row[5].split(', ')[0] == '`skeletondet-tiny_mma82-simulated`'
    assert row[-1] == '17.07'
    assert 'window (s)' not in cells(recipes_table(rec, ''), 0)
    plain = cells(recipes_table(PAPER[0], '../'), 2)
    assert plain[4:] == ['scratch', 'none yet: train it', '–', '–', '–']


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


def test_the_page_starts_with_what_rows_mean_and_an_overview(methods):
    text = zoo_pages(methods)[PAGE]
    assert re.findall('^## (.*)', text, re.M) == [
        'Methods',
        'Paper and ours, on real data',
        'Ours, on simulated data: no benchmark',
        'Upstream weights that recipes start from',
    ]
    row = '| [SkeletonTCN](docs/zoo/skeletontcn.md) | recognition | Pose | 1 |'
    assert row in text
    assert '| – | 1 | 1 |' in text  # no number in the paper, one real, one simulated


@pytest.mark.parametrize('page', [0, 1, 2])
def test_simulated_numbers_have_tables_of_their_own_that_say_so(methods, page):
    text = list(zoo_pages(methods).values())[page]
    with_metrics = [t for t in tables(text) if 'Top-1' in t[2] or 'AVG' in t[2]]
    assert with_metrics
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


def test_a_methods_page_has_the_commands_for_its_weights(methods):
    text = zoo_pages(methods)['docs/zoo/skeletondet.md']
    name = 'skeletondet-tiny_mma82-simulated'
    assert f'python tools/download.py {name}\n' in text
    config = 'configs/det/skeletondet-tiny_mma82.py'
    assert f'python tools/test.py {config} {name} --data-root ROOT\n' in text
    assert 'Training Resources: one CPU; Precision: float16' in text
    assert '## Upstream weights' not in text


def test_every_link_leads_somewhere(root, methods):
    pages = zoo_pages(methods)
    for name, text in pages.items():
        for target in re.findall(r'\]\((?!https:)([^)#]+)', text):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            assert path in pages or (root / path).is_file(), (name, target)
