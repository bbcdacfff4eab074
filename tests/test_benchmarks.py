"""The scripts of benchmarks/, each in its smallest setting."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).parents[1] / 'benchmarks'
CPU = ['--device', 'cpu']
SMALL = {
    'data': ['--rounds', '1'],
    'model': ['--arch', 'tiny', '--steps', '1', *CPU],
    'recipes': ['--steps', '1', '--size', '32', '--matrix', '64', *CPU],
    'eval': ['--predictions', '20000', '--json-predictions', '500', '--videos', '25'],
    'nms': ['--candidates', '80', '--classes', '5', '--videos', '2', '--rounds', '1'],
    'heatmap': ['--frames', '3', '--size', '24', '--clips', '2', '--rounds', '1', *CPU],
    'growth': ['--scale', '0.01', '--rounds', '1'],
    'plan': ['videomae-tiny', 'adatad_videomae-tiny'],
    'fewshot': ['--dim', '16', '--shots', '1', '2', '--runs', '1', '--views', '2'],
}


@pytest.fixture
def load(monkeypatch):
    """A script as a module; its threads are those of before afterwards."""
    monkeypatch.syspath_prepend(FOLDER)
    threads = torch.get_num_threads()

    def by_name(name):
        path = FOLDER / f'{name}.py'
        spec = importlib.util.spec_from_file_location(f'benchmarks_{name}', path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    yield by_name
    torch.set_num_threads(threads)
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, '__file__', None) or '/').parent == FOLDER:
            del sys.modules[name]


@pytest.fixture
def measured(load, capsys):
    def run(bench, *options):
        bench = load(bench) if isinstance(bench, str) else bench
        name = bench.__name__.removeprefix('benchmarks_')
        status = load('harness').main(bench, [*options, *SMALL[name], '--json'])
        assert status == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def test_a_packed_clip_decodes_faster(load, measured, monkeypatch):
    bench = load('data')
    draw = bench.draw_clip
    monkeypatch.setattr(bench, 'draw_clip', lambda p: draw(p, 10))
    found = measured(bench, '--readers', 'pyav')
    drawn, packed = found['rows']
    assert (drawn['times faster'], found['clips']) == (1, 1)
    # Medians wait for whatever else the machine does; the fastest passes do not.
    assert drawn['fastest ms'] > 3 * packed['fastest ms']
    assert packed['median ms'] >= packed['fastest ms'] > 0


def test_every_reader_on_roots_that_are_given(measured, video_root):
    found = measured('data', str(video_root), str(video_root), '--clips', '3')
    assert found['clips'] == 3
    assert 'pyav' in {row['reader'] for row in found['rows']}


def test_libraries_give_the_same_frames(load, video_root):
    bench = load('data')
    file = next(video_root.glob('videos/**/*.mp4'))
    index = bench.index_video(file)
    frames = {n: read(file, index, np.array([0, 3, 5])) for n, read in
              bench.LIBRARIES.items() if n != 'torchcodec'}  # fmt: skip
    for found in frames.values():
        apart = np.stack(found).astype(int) - np.stack(frames['ours'])
        assert abs(apart).max() <= 3  # of conversion to RGB


def test_samples_of_loaders(measured, video_root):
    few = str(video_root), '--clips', '2', '--rounds', '1', '--what'
    rows = measured('data', *few, 'samples')['rows']
    assert [row['file'] for row in rows] == [
        *('usual', 'ours', 'ours', 'ours', 'ours', 'raw', 'raw', 'ours', 'raw'),
    ]
    rows = measured('data', *few, 'workers', '--samples', '8')['rows']
    told = [(row['changed on'], row['processes']) for row in rows]
    changed = 'CPU', 'device', 'CPU, kept there'
    assert told == [(where, number) for where in changed for number in '12']
    assert all(
        row['clips per s'] * row['median ms'] == pytest.approx(1000) for row in rows
    )
    told = measured('data', *few, 'memory', '--samples', '10')['rows']
    assert [row['samples'] for row in told] == [1, 5, 10]


def test_attention_is_that_of_upstream(measured):
    found = measured('model')
    assert found['clip'] == '16x112x112'
    assert found['rows'][0]['backbone'] == 'MMAction2 VisionTransformer'
    for row in found['rows']:
        assert row['output difference'] < 1e-5
        assert row['gradient difference'] < 1e-4
        assert row['median ms'] >= row['fastest ms'] > 0
        assert row['peak MiB'] > row['MiB before'] > 0


def test_recomputing_blocks_with_adapters_changes_nothing(load, measured, monkeypatch):
    bench = load('model')
    monkeypatch.setattr(bench.harness, 'fresh_process', lambda *_: {})
    found = measured(bench, '--what', 'tia', '--frames', '32', '--size', '32')
    _, checkpointed, half = found['rows']
    assert checkpointed['gradient difference'] < 1e-4
    assert 0 < half['output difference'] < 0.1
    assert found['clip'] == '32x32x32'


def test_training_steps_beside_those_of_upstream(measured):
    recipes = ['videomae-tiny:2', 'posec3d-tiny:2', 'skeletontcn-tiny:2']
    found = measured('recipes', *recipes, 'adatad_videomae-tiny:1', '--amp')
    rows = found['rows']
    assert found['matrix TFLOP/s'] > 0
    assert [row['code'].split(',')[0].split()[0] for row in rows] == [
        *('MMAction2', 'mmma', 'MMAction2', 'mmma', 'mmma', 'MMAction2', 'mmma'),
    ]
    for row in rows:
        assert not row['told']
        assert row['clips per s'] * row['ms per step'] == pytest.approx(
            1000 * row['batch']
        )
        assert row['share (%)'] > 0
        assert row['peak MiB'] is None  # of a GPU
    assert rows[4]['times faster'] is None  # no peer
    # All is counted, attention as well: the same operations.
    theirs, ours = (row['TFLOP/s'] * row['ms per step'] for row in rows[:2])
    assert ours == pytest.approx(theirs, rel=1e-3)


def test_peers_have_the_shapes_of_the_recipes(load, monkeypatch):
    bench = load('recipes')
    args = bench.argparse.Namespace(size=32, batch_size=None, steps=1, amp=False)
    bench.init_default_scope('mmma')
    sizes = {}
    for text in ('gctsm:2', 'stgcnpp:2'):
        _, cfg, size = bench.parse(text, args)
        peer, own = bench.peer_of(cfg), bench.Variant(bench.OURS, cfg.model)
        for variant in (peer, own):
            step = bench.Step(variant, cfg, size, 'cpu', args)
            sizes[text, variant.own] = bench.count_flops(step)
    assert sizes['stgcnpp:2', True] == sizes['stgcnpp:2', False]
    assert sizes['gctsm:2', False] < sizes['gctsm:2', True]  # gates
    assert bench.parse('stgcnpp', args)[2] == 128
    assert bench.peer_of(bench.parse('gctsm-tiny', args)[1]) is None


def test_a_variant_without_room_ends_nothing(load, measured, monkeypatch, capsys):
    bench = load('recipes')
    step = bench.Step

    def full(variant, *others):
        if not variant.own:
            raise torch.cuda.OutOfMemoryError
        if variant.channels_last:
            raise ValueError('no such order')
        return step(variant, *others)

    monkeypatch.setattr(bench, 'Step', full)
    rows = measured(bench, 'posec3d-tiny:2', '--channels-last')['rows']
    assert [row['told'] for row in rows] == [
        *('out of memory', '', 'ValueError: no such order'),
    ]
    assert rows[1]['times faster'] is None
    assert rows[1]['ms per step'] > 0
    assert rows[0]['ms per step'] is None


def test_tables_of_a_gpu_run(load, tmp_path, capsys):
    bench = load('gpu')
    row = {'recipe': 'videomae', 'code': 'mmma', 'clips per s': 200.0, 'told': ''}
    row |= {'times faster': 1.6, 'memory': 0.6, 'share (%)': None}
    steps = {'machine': 'H', 'torch': '2', 'amp': True, 'rows': [row]}
    loaded = {'rows': [{'changed on': 'device', 'clips per s': 300.0}]}
    logs = {'steps': ('', f'{json.dumps(steps)}\nkilled'), 'tests': ('a\nb', 'c\nd\n')}
    logs['loaders'] = (f'said before\n{json.dumps(loaded)}', '')
    logs['light'] = ('next: test', '')
    for name, (log, err) in logs.items():
        (tmp_path / f'{name}.log').write_text(log)
        (tmp_path / f'{name}.err').write_text(err)
    lines = ['steps\t124\t9\t9', 'tests\t1\t2\t9', 'loaders\t0\t3\t9']
    lines += ['light\t0\t4\t9', 'rest\tskipped\t0\t0']
    (tmp_path / 'steps.tsv').write_text('\n'.join(lines))
    (scalars := tmp_path / 'light' / 'now' / 'vis_data').mkdir(parents=True)
    told = [{'epoch': 3, 'time': 0.2, 'data_time': 0.1}]
    told += [
        {'action/top1': 25.0, 'body/top1': 50.0, 'step': 3},
        {'loss': 1, 'step': 4},
    ]
    (scalars / 'scalars.json').write_text('\n'.join(map(json.dumps, told)))
    assert bench.main([str(tmp_path), '--show']) == 0
    page = capsys.readouterr().out
    assert page.startswith('## A run of benchmarks/gpu.sh\n\nmachine H, torch 2, date')
    assert '| light | top1 | 3 | 25.00 | 50.00 | 0.20 | 0.10 | simulated | 4 |' in page
    assert '| tests | 1 | 2 | 9 | d |' in page
    assert '| rest | skipped | 0 | 0 |  |' in page
    found = json.loads((tmp_path / 'gpu.json').read_text())
    told = [(goal['found'], goal['reached']) for goal in found['goals']]
    assert told == [(1.6, 'yes'), (0.6, 'no'), (None, 'no'), (1.5, 'yes')]
    row['told'] = 'ValueError'
    (tmp_path / 'steps.log').write_text(json.dumps(steps))
    assert bench.main([str(tmp_path)]) == 1


def test_what_finds_no_time_is_told(tmp_path):
    env = {**os.environ, 'PY': sys.executable, 'OUT': str(tmp_path), 'IN_ALL': '5'}
    command = ['bash', str(FOLDER / 'gpu.sh'), '--dry']
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 1, done.stderr
    assert 'tests: skipped, ' in done.stdout
    assert (tmp_path / 'gpu.md').read_text() in done.stdout


def test_detections_of_arrays_and_of_files(measured):
    arrays, files = measured('eval')['rows']
    assert (arrays['predictions'], files['predictions']) == (20000, 500)
    for row in (arrays, files):
        assert min(row['seconds'], row['CPU seconds']) > 0
        assert 0 < row['peak MiB'] < 1000
        assert 0 < row['AVG (%)'] < 100


def test_arrays_and_files_agree(load, tmp_path):
    bench = load('eval')
    bench.write_files(tmp_path, 300, 5)
    arrays = bench.alone(bench.ARRAYS, 300, 5)['AVG (%)']
    assert bench.alone(bench.FILES, str(tmp_path))['AVG (%)'] == pytest.approx(arrays)


def test_all_nms_keep_the_same(load, measured):
    bench = load('nms')
    rows = measured(bench)['rows']
    assert [row['classes'] for row in rows] == ['even'] * 2 + ['longtail'] * 2
    assert {row['code'] for row in rows} == {'one pick at a time', 'mmma Segments.nms'}
    assert all(row['difference'] < 1e-6 for row in rows)
    assert all(0 < row['kept per video'] <= 80 for row in rows)
    assert bench.difference([[1], [2]], [[1]]) is None  # other detections


def test_the_slope_of_every_work(measured):
    rows = measured('growth')['rows']
    assert len({(row['work'], row['grows'].split(',')[0]) for row in rows}) == 10
    assert all(row['last ms'] > 0 and row['slope'] < 5 for row in rows)


def test_what_trainings_ask_of_gpus(load, measured):
    clips, windows = measured('plan', '--tflops', '1')['rows']
    for row in (clips, windows):
        hours = row['clips in all'] / row['clips per s'] / 3600
        assert row['GPU hours'] == pytest.approx(hours)
        assert row['GPU hours'] == 8 * row['hours on 8'] == 64 * row['hours on 64']
        assert row['GiB a GPU'] > row['GiB of states'] > 0
        assert row['M parameters'] == row['that learn']
    bench = load('plan')
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU())
    model.extract_feat = lambda x, stage: [model(x)]
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    assert bench.kept(model, torch.rand(5, 4), own) == 4 * (5 * 4 + 5 * 8)


@pytest.mark.parametrize('persons', ['1', '2'])
def test_all_heatmaps_are_the_same(measured, persons):
    rows = measured('heatmap', '--persons', persons)['rows']
    assert [row['what'] for row in rows] == ['joint'] * 2 + ['limb'] * 2
    assert (rows[0]['difference'], rows[0]['times faster']) == (0, 1)
    assert all(row['difference'] < 1e-5 for row in rows)


def test_the_fewshot_grid_is_of_the_published_size(measured):
    rows = measured('fewshot')['rows']
    assert [row['step'] for row in rows] == ['linear', 'prototype', 'metrics']
    for row in rows:
        assert row['times'] == 3 * 2  # targets, shots
        assert row['seconds'] >= row['slowest seconds'] >= row['mean seconds'] > 0


def test_scripts_run_from_the_shell():
    command = [sys.executable, FOLDER / 'startup.py', '--rounds', '1']
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert '| import mmma' in out
    subprocess.run(['bash', '-n', FOLDER / 'gpu.sh'], check=True)


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('data', ['--frames', '0'], '0: use at least 1.'),
        ('data', ['--readers', 'pyva'], "unknown video backend 'pyva'"),
        ('model', ['--arch', 'smal'], "unknown arch 'smal'"),
        ('model', ['--what', 'tia', '--frames', '0'], '0: use at least 1.'),
        ('model', ['--size', '64'], '--size is of --what tia'),
        ('model', ['--device', 'cuda'], '--device cuda: torch sees no GPU'),
        ('recipes', ['gctms'], "unknown recipe 'gctms'"),
        ('recipes', ['gctsm:0'], 'gctsm:0: write NAME:N with a batch of N clips'),
        ('recipes', ['--device', 'cuda'], '--device cuda: torch sees no GPU'),
        ('heatmap', ['--device', 'cuda'], '--device cuda: torch sees no GPU'),
        ('heatmap', ['--size', '3'], 'use at least 5 x 5'),
        ('nms', ['--max-per-video', '0'], '--max-per-video: 0: use at least 1.'),
        ('fewshot', ['--runs', '0'], '--runs 0: use a whole number from 1'),
    ],
)
def test_bad_options_exit_with_two(load, capsys, monkeypatch, name, options, message):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    bench, main = load(name), load('harness').main
    try:
        status = main(bench, options)
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert message in capsys.readouterr().err


def test_the_page_of_domains_is_that_of_its_results(load, capsys, tmp_path):
    bench, kept = load('domains'), tmp_path / 'kept'
    assert len(list(bench.grid(3))) == 3 * (8 + 3 + 4 * 8)
    kept.mkdir()
    for file in (bench.DOCS / 'experiments' / 'domains').glob('*.json'):
        shutil.copy(file, kept)
    page = tmp_path / 'page.md'
    options = ['--out', str(kept), '--page', str(page), '--minutes', '0']
    assert load('harness').main(bench, ['none', *options]) == 0
    left = 129 - len([*kept.glob('*.json')])
    assert capsys.readouterr().out.startswith(f'missing {left}\n')
    assert page.read_text() == (bench.DOCS / 'domain_methods.md').read_text()
    assert '@' not in page.read_text()
    mean, half = bench.gain({0: 3.0, 1: 5.0, 2: 9.0}, {0: 1.0, 1: 1.0, 2: 1.0})
    assert (mean, half) == pytest.approx((14 / 3, 4.30265 * 3.05505 / 3**0.5), rel=1e-4)
    assert bench.gain({0: 3.0}, {0: 1.0, 1: 1.0}) is None


def test_roots_without_a_common_clip(load, capsys, video_root, det_root, tmp_path):
    table = 'clip,path,subset,domain,subject,action,body\nx,,train,lab,s,0,\n'
    (tmp_path / 'rec.csv').write_text(table)
    (tmp_path / 'dataset.json').write_bytes((det_root / 'dataset.json').read_bytes())
    roots = [str(video_root), str(tmp_path)]
    assert load('harness').main(load('data'), roots) == 2
    assert 'no clip whose video is in' in capsys.readouterr().err


def test_a_failed_measurement_says_why(load, tmp_path):
    script = tmp_path / 'broken.py'
    script.write_text('raise SystemExit("no such thing")')
    with pytest.raises(ValueError, match='measuring arrays failed: no such thing'):
        load('harness').fresh_process(str(script), 'arrays')


def test_timing_leaves_the_first_round_out(load, monkeypatch):
    harness, results = load('harness'), iter(range(9))
    clock = iter([10, 11, 20, 23, 30, 32])  # no reading in the first round
    monkeypatch.setattr(harness.time, 'perf_counter', lambda: next(clock))
    case = harness.Case({'what': 'a'}, lambda: next(results))
    [row] = harness.time_cases([case], 3, per=2, compare=lambda a, b: {'was': (a, b)})
    assert row == {
        'what': 'a', 'median ms': 1000, 'fastest ms': 500, 'times faster': 1,
        'was': (0, 0),
    }  # fmt: skip


def test_the_table_shows_conditions_and_missing_values(load):
    rows = [{'what': 'a', 'how much': None}, {'what': 'b', 'how much': 1234.5}]
    out = load('harness').table({'threads': 2, 'rows': rows})
    assert out.startswith('threads 2\n')
    assert '| a    |        – |' in out
    assert '| b    | 1,234.50 |' in out


def test_a_grid_goes_on_where_it_stopped(load, capsys, monkeypatch, tmp_path):
    bench, lines = load('grid'), []

    def call(line, log):
        lines.append(line)
        if ' --out ' in line:
            run = {'target': 'street', 'metrics': {'action/top1': 40.0 + len(lines)}}
            run |= {'per_class': {}, 'where': str(tmp_path / 'small')}
            out = Path(line.partition(' --out ')[2].partition(' ')[0])
            out.write_text(json.dumps({'name': 'x', 'runs': [run]}))

    monkeypatch.setattr(bench, 'call', call)
    monkeypatch.setattr(bench, 'HERE', tmp_path / 'benchmarks')
    rows = {
        'base': {'title': 'base', 'train': 'B.py --data-root {raw}', 'tests': {}},
        'tuned': {
            'title': 'tuned',
            'train': 'T.py --load-from {work:base}',
            'tests': {'far': 'test T.py {work} --out {out}'},
        },
    }
    (grid := tmp_path / 'g.json').write_text(
        json.dumps({'seeds': [0, 1], 'rows': rows})
    )
    for name in ('base-seed0', 'tuned-seed0', 'base-seed1', 'tuned-seed1'):
        (tmp_path / 'work' / name).mkdir(parents=True)
    (tmp_path / 'work/base-seed1/last_checkpoint').touch()
    options = ['--work', str(tmp_path / 'work'), '--root', f'raw={tmp_path / "small"}']
    monkeypatch.setattr(sys, 'argv', ['grid.py', str(grid), *options])
    assert bench.main() == 0
    work = tmp_path / 'work'
    first, then = work / 'base-seed0', work / 'tuned-seed0'
    assert lines[:2] == [
        f'train B.py --data-root {tmp_path}/small --seed 0 --work-dir {first}',
        f'train T.py --load-from {first} --seed 0 --work-dir {then}',
    ]
    assert [line for line in lines if line.endswith(' --resume')] == [lines[3]]
    kept = json.loads(
        (tmp_path / 'docs/experiments/g/tuned-far-seed0.json').read_text()
    )
    assert kept['name'] == 'tuned'
    assert kept['runs'][0].keys() == {'target', 'metrics', 'where'}
    assert kept['runs'][0]['where'] == 'data/raw'
    # values 43 and 46: t of one degree of freedom, 12.706, times 1.5
    assert '| tuned | 44.5 ± 19.1 |' in capsys.readouterr().out
    before = len(lines)
    assert bench.main() == 0
    assert len(lines) == before
    roots = {'roots': {'raw': 'r'}, 'work': work, 'rows': rows}
    with pytest.raises(
        ValueError, match=r'tuned: \{here\} is unknown; known: raw, seed'
    ):
        bench.fill('{here}', roots, 'tuned', 0)


def test_the_page_of_models_is_that_of_its_results(load):
    bench = load('grid')
    docs = FOLDER.parent / 'docs'
    grid = json.loads((FOLDER / 'model_comparison.json').read_text('utf-8'))
    grid['out'] = docs / 'experiments' / 'model_comparison'
    text = grid['out'].with_suffix('.txt').read_text('utf-8')
    page = text.replace('@tables@', bench.table(grid))
    assert page == (docs / 'model_comparison.md').read_text('utf-8')
