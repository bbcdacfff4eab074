import json

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from mmma.cli import main
from mmma.convert.events import Event, Recording, format_function
from mmma.data.root import DatasetInfo, write_info
from mmma.taxonomy import load_label_space

LABELS = ('nod', 'shake', 'wave')
SPACE = {'name': 'own', 'actions': [{'name': name} for name in LABELS]}
# A code per second and video, '.' for none.
ANNA = {f'v{i}': 'nn.sss..ww.n..' for i in range(6)}
BEN = {**ANNA, 'v0': 'nn.sww..ww.n..', 'v1': 'nn.sss..ww....', 'v2': '.n.sss..wwss..'}


def marks(codes, score=None):
    """Annotations of runs of codes."""
    found, start = [], 0
    for at in range(1, len(codes) + 1):
        if at == len(codes) or codes[at] != codes[start]:
            label = {name[0]: name for name in LABELS}.get(codes[start])
            more = {} if score is None else {'score': score}
            if label:
                found.append({'segment': [start, at], 'label': label, **more})
            start = at
    return found


def entry(codes, subject=''):
    facts = {'path': '', 'subset': 'test', 'domain': 'lab', 'subject': subject}
    size = {'fps': 10, 'frames': 10 * len(codes), 'duration': len(codes)}
    return {**facts, **size, 'annotations': marks(codes)}


@pytest.fixture
def files(tmp_path):
    """A root, a truth file and detections of the same videos, and of one more."""
    root = tmp_path / 'anna'
    root.mkdir()
    database = {name: entry(codes, f'p{name}') for name, codes in ANNA.items()}
    (root / 'det.json').write_text(json.dumps({'database': database}))
    write_info(root, DatasetInfo('anna', SPACE, simulated=True, domains=('lab',)))
    ben, model = tmp_path / 'ben.json', tmp_path / 'model.json'
    database = {name: entry(codes) for name, codes in BEN.items()}
    database['v9'] = entry('nnnn')
    ben.write_text(json.dumps({'database': database}))
    results = {f'clips/{n}.mp4': marks(c, 0.6) for n, c in BEN.items()}
    results['clips/v0.mp4'] += [{'segment': [7, 8], 'label': 'nod', 'score': 0.1}]
    model.write_text(json.dumps({'results': results}))
    return [str(root), str(ben), str(model)]


def test_two_people_as_json(files, capsys):
    assert main('agree', [*files[:2], '--json']) == 0
    out, told = capsys.readouterr()
    report = json.loads(out)
    codes = (''.join(side[name] for name in ANNA) for side in (ANNA, BEN))
    assert report['kappa'] == pytest.approx(cohen_kappa_score(*map(list, codes)))
    assert {'alpha', 'event_f1', 'per_class', 'confusion'} < {*report}
    low, high = report['intervals']['kappa']
    assert low < report['kappa'] <= high
    assert (report['bootstrap']['unit'], report['bootstrap']['units']) == ('subject', 6)
    assert (report['n'], report['units'], report['simulated']) == (6, 84, True)
    assert report['alone'] == {files[0]: [], files[1]: ['v9']}
    assert "ben.json: 1 videos not in all: 'v9'" in told
    assert report['options']['tolerance_sec'] == 0.5


def test_people_and_a_model_side_by_side(files, capsys):
    # Videos of the model have a folder and a suffix: they go by their stems.
    assert main('agree', [*files[1:], '--json', '--threshold', '0.5']) == 0
    assert json.loads(capsys.readouterr().out)['kappa'] == 1
    assert main('agree', [*files, '--per-class', '--resamples', '20']) == 0
    out, told = capsys.readouterr()
    assert 'A - B' in out
    assert 'B - C' in out
    assert '95 % intervals: 6 subjects, drawn 20 times' in out
    assert 'A - B differ most by: ' in out
    assert 'SIMULATED DATA' in out
    assert 'scored events, from 0.1 on (--threshold takes fewer)' in told
    shown = [line for line in out.splitlines() if line.startswith('| nod')]
    assert len(shown) == 3


@pytest.mark.parametrize('tool', ['elan', 'boris', 'textgrid', 'csv'])
def test_two_coders_of_a_tool_with_planted_disagreement(tool, tmp_path, capsys):
    if tool in ('elan', 'textgrid'):
        pytest.importorskip({'elan': 'pympi', 'textgrid': 'praatio'}[tool])
    rng = np.random.default_rng(3)
    anna = rng.integers(0, 4, (10, 60))  # 0 for none; a code per second of ten videos
    ben = np.where(rng.random(anna.shape) < 0.8, anna, rng.integers(0, 4, anna.shape))
    space = load_label_space(SPACE)
    paths = []
    for name, codes in (('anna', anna), ('ben', ben)):
        recordings = [
            Recording(f'v{i}', f'v{i}.mp4', 25.0, 60.0, tuple(
                Event(float(at), at + 1.0, LABELS[code - 1])
                for at, code in enumerate(own) if code
            ))
            for i, own in enumerate(codes)
        ]  # fmt: skip
        format_function('write', tool)(tmp_path / name, recordings, space)
        paths.append(str(tmp_path / name))
    assert main('agree', [*paths, '--json']) == 0
    report = json.loads(capsys.readouterr().out)
    assert report['n'] == 10
    expected = cohen_kappa_score(anna.ravel(), ben.ravel())
    assert report['kappa'] == pytest.approx(expected)
    low, high = report['intervals']['kappa']
    assert low < 0.8 < high  # (0.85 - 0.25) / 0.75: of the fifth a quarter is alike


def test_subjects_of_a_video_are_told_apart(tmp_path, capsys):
    def coder(first, second):
        own = [{**m, 'subject': 'P1'} for m in marks(first)]
        own += [{**m, 'subject': 'P2'} for m in marks(second)]
        database = {'v': {**entry(first), 'annotations': own}}
        path = tmp_path / f'{first}.json'
        path.write_text(json.dumps({'database': database}))
        return str(path)

    paths = coder('nn..', '..ss'), coder('n...', '..ss')
    assert main('agree', [*paths, '--json']) == 0
    report = json.loads(capsys.readouterr().out)
    expected = cohen_kappa_score(list('nn....ss'), list('n.....ss'))
    assert report['kappa'] == pytest.approx(expected)
    assert (report['n'], report['units'], report['intervals']) == (1, 8, {})
    other = tmp_path / 'other.json'
    other.write_text(json.dumps({'database': {'v': entry('sh..')}}))
    assert main('agree', [paths[0], str(other)]) == 0
    told = capsys.readouterr().err
    assert 'subjects of a video are taken together: not every event' in told
    assert f"{paths[0]}: labels that no other has: 'nod'" in told


def test_what_is_wrong_is_one_line(files, tmp_path, capsys):
    empty = tmp_path / 'empty'
    empty.mkdir()
    other = tmp_path / 'other.json'
    other.write_text(json.dumps({'database': {'x': entry('nn'), 'y': entry('n')}}))
    nothing = f"{other}: 2 videos not in all: 'x', 'y'"
    for argv, told in (
        ([*files[:2], str(other)], 'no video is in all annotations; '),
        ([*files[:2], str(other)], nothing),
        (files[:1], 'one annotation: give two or more, of the same videos'),
        ([files[0], str(empty)], 'empty: no annotation is there: need a data root'),
        ([*files[:2], '--unit-sec', '0'], '--unit-sec 0.0: use seconds above 0'),
        ([*files[:2], '--tolerance-sec', 'nan'], '--tolerance-sec nan: use seconds'),
        ([*files[:2], '--unit-sec', '1e-8'], '8.4e+09 units of 1e-08 s: use longer'),
        ([files[1], files[1], '--label-space', 'no'], "unknown label space 'no'"),
        ([*files[1:], '--label-space', 'ma52'], "unknown action 'nod'"),
        ([*files[:2], '--resamples', '-1'], '--resamples -1: use 0 or more'),
    ):
        assert main('agree', argv) == 2
        out, err = capsys.readouterr()
        assert out == ''
        assert told in err
        assert err.count('error: ') == 1
