"""Checks of a data root."""

import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest
from video_files import make_span_root, make_video, moving_frames

from mmma.data.arrays import SkeletonStore
from mmma.data.check import _det_differences, _rec_differences, check_root, try_all
from mmma.data.clips import Clip
from mmma.data.root import DataRoot, DatasetInfo, write_info
from mmma.data.videos import Instance, Video
from mmma.taxonomy import DOMAINS, SUBSETS, load_statistics


@pytest.fixture(scope='module')
def clips(space):
    """A table with the published clips per cell and per action."""
    published = load_statistics()['rec']
    actions = [a for a, n in enumerate(space.rec_instances) for _ in range(n)]
    cells = [
        (subset, domain)
        for domain in DOMAINS
        for subset in SUBSETS
        for _ in range(published[domain][subset])
    ]
    return [
        Clip(str(i), '', *cell, '', action, None)
        for i, (cell, action) in enumerate(zip(cells, actions, strict=True))
    ]


@pytest.fixture(scope='module')
def videos(space):
    """The published instances per action, dealt to the published number of videos."""
    labels = [a for a, n in enumerate(space.det_instances) for _ in range(n)]
    count = load_statistics()['det']['videos']
    return [
        Video(
            *(str(i), '', 'train', 'lab', '', 30.0, 300, 10.0),
            tuple(Instance(0.0, 1.0, label) for label in labels[i::count]),
        )
        for i in range(count)
    ]


def test_the_published_margins_have_no_difference(clips, videos, space):
    assert list(_rec_differences(clips, space)) == []
    assert list(_det_differences(videos, space)) == []


def test_a_missing_clip_shows_in_its_cell_and_action(clips, space):
    assert list(_rec_differences(clips[1:], space)) == [
        'lab train: 15,819 clips, published 15,820',
        f"'{space.actions[0]}': 339 clips, published 340",
    ]


def test_withheld_truth_excuses_fewer_clips_of_an_action_not_more(clips, space):
    hidden = [Clip('x', '', 'train', 'lab', '', None, None), *clips[1:]]
    assert list(_rec_differences(hidden, space)) == []
    more = [hidden[0], replace(clips[1], action=81), *clips[2:]]
    assert list(_rec_differences(more, space)) == [
        f"'{space.actions[81]}': {space.rec_instances[81] + 1:,} clips, published "
        f'{space.rec_instances[81]:,}'
    ]


def test_a_missing_video_shows_with_its_instances(videos, space):
    differences = list(_det_differences(videos[1:], space))
    gone = len(videos[0].instances)
    assert differences[0] == '11,179 videos, published 11,180'
    assert differences[1] == f'{39_758 - gone:,} instances, published 39,758'
    assert len(differences) == 2 + len({i.label for i in videos[0].instances})


def test_withheld_videos_excuse_fewer_instances(videos, space):
    hidden = Video(*('x', '', 'test', 'lab', '', 30.0, 300, 10.0), withheld=True)
    assert list(_det_differences([hidden, *videos[1:]], space)) == []


@pytest.fixture
def whole(root, write_skeletons):
    """The root with its videos and skeletons: nothing is wrong with it."""
    for name, frames in (('a', 10), ('b', 12), ('v', 300)):
        make_video(root / 'videos' / f'{name}.mp4', moving_frames(frames))
    write_skeletons(root, 'rec', {'a': 10, 'b': 12})
    write_skeletons(root, 'det', {'v': 300})
    return root


def problems(report, name):
    return [str(problem) for problem in report.checks[name]]


def test_a_whole_root(whole):
    report = check_root(whole, decode=True, workers=2)
    assert report.ok
    skipped = {'published margins': 'the root does not claim to be the real MMA-82'}
    names = ['tables', 'rec.csv', 'det.json', 'published margins', 'videos']
    names += ['skeletons/rec.npy', 'skeletons/det.npy', 'decoding']
    assert report.checks == {**{name: [] for name in names}, **skipped}
    assert list(report.checks) == names
    assert report.summary['counts'] == {
        'clips': 2,
        'clips_unlabelled': 1,
        'clips_by_cell': {'lab train': 1, 'street test': 1},
        'videos': 1,
        'videos_unlabelled': 0,
        'instances': 2,
        'skeletons_rec': 2,
        'skeletons_det': 1,
    }


def test_what_a_root_lacks_is_skipped_with_a_reason(root):
    header = 'clip,path,subset,domain,subject,action,body'
    (root / 'rec.csv').write_text(f'{header}\na,,train,lab,s,0,\n')
    (root / 'det.json').unlink()
    report = check_root(root)
    assert report.ok
    lines = report.lines()
    assert 'skipped  det.json: the root has none' in lines
    assert 'skipped  videos: no row has a path' in lines
    assert any(line.startswith('skipped  decoding: not asked') for line in lines)
    (root / 'rec.csv').unlink()
    assert 'neither rec.csv nor det.json' in problems(check_root(root), 'tables')[0]
    (root / 'dataset.json').unlink()
    with pytest.raises(FileNotFoundError, match='No data in'):
        check_root(root)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('det.json', '{', 'not readable as JSON'),
        ('rec.csv', '', 'empty file'),
        ('dataset.json', '{}', "'name' is None"),
    ],
)
def test_unreadable_files_fail_their_check(root, name, content, message):
    (root / name).write_text(content)
    report = check_root(root)
    assert not report.ok
    assert message in problems(report, name)[0]


def test_missing_videos_and_those_outside(root, tmp_path):
    (root / 'videos').mkdir()
    (root / 'videos/b.mp4').symlink_to(tmp_path)
    found = problems(check_root(root), 'videos')
    assert found[0] == f'{root}/rec.csv:2: a: videos/a.mp4: no such file'
    assert found[1].startswith(f"{root}/rec.csv:3: b: path 'videos/b.mp4' leaves the")
    assert found[2:] == [f'{root}/det.json:2: v: videos/v.mp4: no such file']


def test_skeletons_of_other_clips(root, write_skeletons):
    write_skeletons(root, 'rec', {'a': 10, 'bb': 12})
    assert problems(check_root(root), 'skeletons/rec.npy') == [
        'skeletons/rec.npy: b: no skeleton, but the table has it',
        'skeletons/rec.npy: bb: a skeleton, but the table has it not.'
        " Did you mean 'b'?",
    ]


@pytest.mark.parametrize(
    ('frames', 'fps', 'message'),
    [
        (290, 30, '290 frames, det.json says 300'),
        (300, 29, '29.0 frames per second, det.json says 30.0'),
    ],
)
def test_skeletons_of_another_length(root, write_skeletons, frames, fps, message):
    write_skeletons(root, 'det', {'v': frames}, fps)
    assert problems(check_root(root), 'skeletons/det.npy') == [
        f'skeletons/det.npy: v: {message}'
    ]


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda folder: (folder / 'rec.npy').write_bytes(b'x'), 'not a skeleton array'),
        (lambda folder: (folder / 'rec_index.csv').unlink(), 'csv: no such file'),
    ],
)
def test_broken_skeletons(root, write_skeletons, damage, message):
    write_skeletons(root, 'rec', {'a': 10})
    damage(root / 'skeletons')
    (problem,) = problems(check_root(root), 'skeletons/rec.npy')
    assert message in problem


def test_decoding_finds_what_a_look_does_not(whole, write_skeletons):
    (whole / 'videos' / 'a.mp4').write_bytes(b'')
    write_skeletons(whole, 'rec', {'a': 10, 'b': 30})
    assert check_root(whole).ok
    report = check_root(whole, decode=True, workers=0)
    assert problems(report, 'decoding') == [
        f'{whole}/rec.csv:2: a: videos/a.mp4: zero bytes',
        f'{whole}/rec.csv:3: b: videos/b.mp4: 12 frames, expected 30',
    ]


@pytest.mark.parametrize(
    ('facts', 'expected'),
    [
        ({'frames': 301, 'fps': 29.97, 'duration': 10.4}, []),
        ({'frames': 302}, ['300 frames, expected 302']),
        ({'frames': 298}, ['300 frames, expected 298']),
        ({'fps': 29.0}, ['30.00 frames per second, expected 29.00']),
        ({'duration': 10.6}, ['10.00 s long, expected 10.60 s']),
    ],
)
def test_what_the_tables_say_is_compared(whole, facts, expected):
    content = json.loads((whole / 'det.json').read_text())
    content['database']['v'].update(facts)
    (whole / 'det.json').write_text(json.dumps(content))
    found = check_root(whole, decode=True, workers=0).checks['decoding']
    assert [p.text.removeprefix('videos/v.mp4: ') for p in found] == expected


def test_a_shared_file_is_decoded_once_and_reported_for_each_row(whole, capsys):
    text = (whole / 'rec.csv').read_text()
    (whole / 'rec.csv').write_text(text.replace('a.mp4', 'v.mp4').replace('b.m', 'v.m'))
    (whole / 'videos/v.mp4').write_bytes(b'')
    found = check_root(whole, decode=True, workers=0).checks['decoding']
    assert [problem.item for problem in found] == ['a', 'b', 'v']
    assert capsys.readouterr().err == 'decode 1/1\n'


def first_byte(file):
    return file.read_bytes()[0] or os._exit(1)


def test_a_crash_costs_one_file(tmp_path):
    files = [tmp_path / f'{i}' for i in range(9)]
    for i, file in enumerate(files[:8]):
        file.write_bytes(bytes([i]))
    found = dict(try_all(first_byte, files * 2, 2, 'read'))
    assert found.pop(files[0]) == 'the decoder crashes on it'
    assert 'No such file' in found.pop(files[8])
    assert found == {file: i for i, file in enumerate(files[:8]) if i}


def test_clips_that_share_a_file_have_no_frame_count_of_their_own(
    whole, write_skeletons
):
    text = (whole / 'rec.csv').read_text().replace('b.mp4', 'a.mp4')
    (whole / 'rec.csv').write_text(text)
    write_skeletons(whole, 'rec', {'a': 4, 'b': 6})
    assert check_root(whole, decode=True, workers=0).ok


@pytest.mark.parametrize(
    'info',
    [
        DatasetInfo('mma82', 'mma82', True),
        DatasetInfo('mma82-mine', 'mma82', False),
        DatasetInfo('mma82', 'ma52', False),
    ],
)
def test_only_a_root_that_claims_to_be_real_is_compared(root, info):
    write_info(root, info)
    assert 'does not claim' in check_root(root).checks['published margins']
    write_info(root, DatasetInfo('MMA-82', 'mma82', False))
    found = problems(check_root(root), 'published margins')
    assert f'{root}/rec.csv: lab train: 1 clips, published 15,820' in found
    assert f'{root}/det.json: 1 videos, published 11,180' in found


def test_a_long_list_of_videos_is_cut_in_the_text_not_in_the_json(root):
    with (root / 'rec.csv').open('a') as file:
        for i in range(40):
            file.write(f'c{i},videos/c{i}.mp4,train,lab,s,nodding,\n')
        for i in range(30):
            file.write(f'd{i},../d.mp4,train,lab,s,nodding,\n')
    assert '30 of 72 rows repaired or left out' in check_root(root).summary['notes']
    report = check_root(root, strict=True)
    lines = report.lines()
    assert '  ... and 23 more; --json FILE has all' in lines
    assert f"  {root}/rec.csv:73: d29: path '../d.mp4' leaves" in '\n'.join(lines)
    content = json.loads(json.dumps(report.as_dict()))
    found = {check['name']: check for check in content['checks']}
    assert (content['ok'], len(found['rec.csv']['problems'])) == (False, 30)
    assert found['videos']['status'] == 'failed'
    assert len(found['videos']['problems']) == 43
    assert found['videos']['problems'][2] == {
        'file': f'{root}/rec.csv',
        'line': 4,
        'item': 'c0',
        'text': 'videos/c0.mp4: no such file',
    }


def test_a_root_has_domains_of_its_own(root):
    write_info(root, DatasetInfo('t', 'mma82', True, None, None, None, ('lab', 'gym')))
    assert problems(check_root(root, strict=True), 'rec.csv') == [
        f"{root}/rec.csv:3: b: unknown domain 'street': use one of lab, gym or "
        'name it under "domains" of dataset.json.'
    ]
    text = (root / 'rec.csv').read_text().replace('street', 'gym')
    (root / 'rec.csv').write_text(text)
    assert check_root(root).checks['rec.csv'] == []


def test_segments_past_the_end_are_noted_and_fail_if_strict(root):
    path = root / 'det.json'
    content = json.loads(path.read_text())
    (video,) = content['database'].values()
    own = video['annotations']
    odd = {**own[0], 'segment': [0, video['duration'] + 9]}
    video['annotations'] = [own[0], own[0], odd]
    path.write_text(json.dumps(content))
    report = check_root(root)
    assert report.checks['det.json'] == []
    assert '1 of 3 segments cut to their video' in report.summary['notes']
    assert any('notes: 1 of 3 segments' in line for line in report.lines())
    report = check_root(root, strict=True)
    assert 'ends after the video' in problems(report, 'det.json')[0]
    video['annotations'] = [odd]
    path.write_text(json.dumps(content))
    assert 'frames taken for seconds' in problems(check_root(root), 'det.json')[0]


def test_spans_lie_in_their_files(tmp_path, write_skeletons):
    rows = [
        'a,videos/talk.mp4,train,1,,0,1',
        'b,videos/talk.mp4,val,2,,2,4',
        'c,,test,3,videos/talk.mp4,1.001,1.002',
    ]
    root = make_span_root(tmp_path, rows)
    for decode in (False, True):
        report = check_root(root, decode=decode, workers=0)
        found = report.checks['videos']
        assert [(p.line, p.item) for p in found] == [(3, 'b'), (4, 'c')]
        assert 'end_sec 4.0 ends after the file, which has 75 frames' in found[0].text
        assert 'has no frame of the file' in found[1].text
    root = make_span_root(tmp_path, rows[:1])
    write_skeletons(root, 'rec', {'a': 25})
    assert check_root(root, decode=True, workers=0).ok
    write_skeletons(root, 'rec', {'a': 75})
    (problem,) = check_root(root, decode=True, workers=0).checks['videos']
    assert problem.text.endswith('the span has 25 frames, expected 75')


def test_a_row_that_is_left_out_may_have_a_skeleton(root, write_skeletons):
    write_skeletons(root, 'rec', {'a': 8, 'b': 8, 'x': 8})
    with (root / 'rec.csv').open('a') as file:
        file.write('x,,train,lab,s,noding,\n')
    report = check_root(root)
    assert report.checks['skeletons/rec.npy'] == []
    assert 'x: unknown action' in report.summary['notes']


@pytest.mark.parametrize('stored', [(101, -1), (0, -32768), (320, 100), (32767, 0)])
def test_damaged_scores_of_skeletons(root, write_skeletons, stored):
    write_skeletons(root, 'rec', {'a': 10, 'b': 12})
    file = root / 'skeletons' / 'rec.npy'
    array = np.load(file, mmap_mode='r+')
    array[15, 0, :, 2] = stored
    array.flush()
    low, high = min(100, *stored) / 100, max(100, *stored) / 100
    text = f'scores must be 0..1, found {low:g} to {high:g}: damaged'
    store = SkeletonStore(root, 'rec')
    assert store.get('a')[1].max() == 1
    assert store.get('b', frames=slice(0, 5))[1].max() == 1
    with pytest.raises(ValueError, match=rf'rec\.npy: b: {re.escape(text)}'):
        store.get('b')
    found = problems(check_root(root), 'skeletons/rec.npy')
    assert any(text in line and ': b: ' in line for line in found)
    assert not any(': a: ' in line for line in found)


def test_arrays_are_named(root, write_skeletons):
    write_skeletons(root, 'rec', {'a': 10, 'b': 12})
    report = check_root(root)
    assert report.as_dict()['arrays'] == DataRoot(root).arrays()
    print_ = report.summary['arrays']['skeletons/rec_index.csv']
    assert f'  skeletons/rec_index.csv: {print_}' in report.lines()
