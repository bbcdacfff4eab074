import json

import pytest
from video_files import make_video, moving_frames

from mmma.layout.checks import CHECKS, check_root
from mmma.layout.root import DatasetInfo, write_info


@pytest.fixture
def whole(root, write_skeletons):
    """The root with its videos and skeletons: nothing is wrong with it."""
    for name, frames in (('a', 10), ('b', 12), ('v', 300)):
        make_video(root / 'videos' / f'{name}.mp4', moving_frames(frames))
    write_skeletons(root, 'rec', {'a': 10, 'b': 12})
    write_skeletons(root, 'det', {'v': 300})
    return root


def statuses(report):
    return {result.check.name: result.status for result in report.results}


def problems(report, name):
    result = next(r for r in report.results if r.check.name == name)
    return [str(problem) for problem in result.problems]


def test_a_whole_root(whole):
    report = check_root(whole, decode=True, workers=2)
    assert report.ok
    assert {name for name, status in statuses(report).items() if status != 'ok'} == {
        'published margins'
    }
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
    (root / 'rec.csv').write_text(
        'clip,path,subset,domain,subject,action,body\na,,train,lab,s,0,\n'
    )
    (root / 'det.json').unlink()
    report = check_root(root)
    assert report.ok
    assert 'skipped  det.json: the root has none' in report.lines()
    assert 'skipped  videos: no row has a path' in report.lines()
    assert any(
        line.startswith('skipped  decoding: not asked') for line in report.lines()
    )


def test_every_bad_row_is_listed_with_its_line(root):
    bad = ''.join(f'c{i},../c.mp4,train,lab,s,nodding,\n' for i in range(30))
    with (root / 'rec.csv').open('a') as file:
        file.write(bad)
    report = check_root(root)
    assert not report.ok
    assert f'{root}/rec.csv:33: c29: path' in '\n'.join(report.lines())
    assert len(problems(report, 'rec.csv')) == 30


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


def test_a_root_without_tables(root):
    (root / 'rec.csv').unlink()
    (root / 'det.json').unlink()
    assert 'neither rec.csv nor det.json' in problems(check_root(root), 'tables')[0]


def test_no_root(tmp_path):
    with pytest.raises(FileNotFoundError, match='No data in'):
        check_root(tmp_path / 'gone')


def test_missing_videos(root):
    assert problems(check_root(root), 'videos') == [
        f'{root}/rec.csv:2: a: videos/a.mp4: no such file',
        f'{root}/rec.csv:3: b: videos/b.mp4: no such file',
        f'{root}/det.json:2: v: videos/v.mp4: no such file',
    ]


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


def test_broken_skeletons(root, write_skeletons):
    write_skeletons(root, 'rec', {'a': 10})
    (root / 'skeletons' / 'rec.npy').write_bytes(b'x')
    (problem,) = problems(check_root(root), 'skeletons/rec.npy')
    assert 'not a skeleton array, or cut off' in problem


def test_skeletons_without_an_index(root, write_skeletons):
    write_skeletons(root, 'rec', {'a': 10})
    (root / 'skeletons' / 'rec_index.csv').unlink()
    (problem,) = problems(check_root(root), 'skeletons/rec.npy')
    assert 'rec_index.csv: no such file' in problem


def test_decoding_finds_what_a_look_does_not(whole, write_skeletons):
    (whole / 'videos' / 'a.mp4').write_bytes(b'')
    write_skeletons(whole, 'rec', {'a': 10, 'b': 30})
    assert check_root(whole).ok
    report = check_root(whole, decode=True, workers=0)
    assert problems(report, 'decoding') == [
        f'{whole}/rec.csv:2: a: videos/a.mp4: zero bytes',
        f'{whole}/rec.csv:3: b: videos/b.mp4: 12 frames, expected 30',
    ]


def test_clips_that_share_a_file_have_no_frame_count_of_their_own(
    whole, write_skeletons
):
    text = (whole / 'rec.csv').read_text().replace('b.mp4', 'a.mp4')
    (whole / 'rec.csv').write_text(text)
    write_skeletons(whole, 'rec', {'a': 4, 'b': 6})
    assert check_root(whole, decode=True, workers=0).ok


def test_a_root_that_claims_to_be_real_is_compared(root):
    write_info(root, DatasetInfo('mma82', 'mma82', False))
    found = problems(check_root(root), 'published margins')
    assert f'{root}/rec.csv: lab train: 1 clips, published 15,820' in found
    assert f'{root}/det.json: 1 videos, published 11,180' in found


def test_a_long_list_is_cut_in_the_text_not_in_the_json(root):
    rows = ''.join(f'c{i},videos/c{i}.mp4,train,lab,s,nodding,\n' for i in range(40))
    with (root / 'rec.csv').open('a') as file:
        file.write(rows)
    report = check_root(root)
    assert '  ... and 23 more; --json FILE has all' in report.lines()
    checks = json.loads(json.dumps(report.as_dict()))['checks']
    videos = next(check for check in checks if check['name'] == 'videos')
    assert videos['status'] == 'failed'
    assert len(videos['problems']) == 43
    assert videos['problems'][2] == {
        'file': f'{root}/rec.csv',
        'line': 4,
        'item': 'c0',
        'text': 'videos/c0.mp4: no such file',
    }


def test_names_of_checks_are_unique():
    assert len({check.name for check in CHECKS}) == len(CHECKS)
