import gc
import json
import re

import numpy as np
import pytest

from mmma.data.videos import (
    Instance,
    Video,
    read_det,
    read_detections,
    scan_det,
    true_segments,
    write_det,
    write_detections,
)
from mmma.taxonomy import load_label_space

_SPACE = load_label_space('mma82')

ENTRY = {
    'path': 'v.mp4',
    'subset': 'train',
    'domain': 'lab',
    'subject': 's',
    'fps': 30,
    'frames': 300,
    'duration': 10,
    'annotations': [{'segment': [1, 2], 'label': 'nodding'}],
}


@pytest.fixture
def det_file(tmp_path):
    def write(entry, name='v'):
        path = tmp_path / 'det.json'
        content = {'database': {'good': ENTRY, name: entry}}
        path.write_text(json.dumps(content, indent=1))
        return path

    return write


def with_segment(segment, label='nodding'):
    return {**ENTRY, 'annotations': [{'segment': segment, 'label': label}]}


def test_an_entry_becomes_a_video(det_file, space):
    nodding = space.action_id('nodding')
    expected = Video(
        'v',
        'v.mp4',
        'train',
        'lab',
        's',
        30.0,
        300,
        10.0,
        (Instance(1.0, 2.0, nodding),),
    )
    assert read_det(det_file(ENTRY), space)[1] == expected


@pytest.mark.parametrize('label', [5, '5'])
def test_labels_by_index(det_file, space, label):
    video = read_det(det_file(with_segment([0, 1], label)), space)[1]
    assert video.instances[0].label == 5


def test_no_annotations_withhold_the_truth_and_none_mean_nothing_happens(
    det_file, space
):
    withheld = {k: v for k, v in ENTRY.items() if k != 'annotations'}
    assert read_det(det_file(withheld), space)[1].withheld
    empty = read_det(det_file({**ENTRY, 'annotations': []}), space)[1]
    assert (empty.withheld, empty.instances) == (False, ())


def test_a_segment_that_ends_just_after_the_video_is_cut(det_file, space):
    video = read_det(det_file(with_segment([9, 10.4])), space)[1]
    assert video.instances[0].end_sec == 10


def read_strictly(path, space):
    _, *odd = scan_det(path, space)
    for own in odd:
        own.notes(strict=True)


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ({**ENTRY, 'subset': 'training'}, "unknown subset 'training'"),
        ({**ENTRY, 'domain': 'labs'}, "unknown domain 'labs'.*Did you mean 'lab'"),
        ({**ENTRY, 'path': '../v.mp4'}, "'../v.mp4' leaves the data root"),
        ({**ENTRY, 'emotion': ['sad']}, r"emotion \['sad'\]: must be a name"),
        ({**ENTRY, 'fps': 0}, 'fps 0: must be a number above 0'),
        ({**ENTRY, 'frames': None}, 'frames None: must be a number'),
        ({**ENTRY, 'duration': float('nan')}, 'duration nan: must be a number'),
        ({**ENTRY, 'duration': True}, 'duration True: must be a number'),
        ({**ENTRY, 'annotations': {}}, r'annotations must be a list, not \{\}'),
        ({**ENTRY, 'annotations': [7]}, 'annotation 0: must be .*segment.*not 7'),
        (
            {**ENTRY, 'fps': 5, 'frames': 500},
            'frames 500 / fps 5 is 100 s, but .* 10 s',
        ),
        ({**ENTRY, 'duration': 1.8e19}, r'is 10 s, but duration says 1\.8e\+19 s'),
        ({**ENTRY, 'fps': 1e-300}, 'but duration says 10 s'),
        ({**ENTRY, 'frames': 1}, 'frames 1 / fps 30 is 0.0333333 s, but duration says'),
        ({**ENTRY, 'fps': 300}, 'fps 300 is 1 s, but duration says 10 s: put right'),
        (7, 'must be an object with subset, domain'),
        (with_segment([1, 2], 'noding'), "unknown action 'noding'.*'nodding'"),
        (with_segment([1, 2], None), 'label None: must be the name or index'),
        (with_segment([1, 2], True), 'label True: must be the name or index'),
    ],
)
def test_bad_entries(det_file, space, entry, message):
    with pytest.raises(ValueError, match=rf'det\.json:21: v: .*{message}'):
        read_strictly(det_file(entry), space)


@pytest.mark.parametrize(
    'facts',
    [
        {'frames': 271},  # a second less
        {'duration': 60, 'frames': 1711},  # 57.03 s
        {'duration': 60, 'frames': 1888, 'fps': 29.97},  # 62.996 s
    ],
)
def test_rates_vary_and_ends_are_rounded(det_file, space, facts):
    assert len(read_det(det_file({**ENTRY, **facts}), space)) == 2


@pytest.mark.parametrize('fps', [0, None, 'x'])
def test_in_a_file_of_anybody_known_facts_alone_can_contradict(det_file, space, fps):
    path = det_file({**ENTRY, 'fps': 5, 'frames': 500})
    videos, odd, _ = scan_det(path, space, of_root=False)
    assert [video.video for video in videos] == ['good']
    assert 'frames 500 / fps 5 is 100 s' in odd.problems[0].text
    path = det_file({**ENTRY, 'fps': fps, 'frames': 500})
    assert len(scan_det(path, space, of_root=False)[0]) == 2


def test_a_video_without_a_name(det_file, space):
    with pytest.raises(ValueError, match='video has no name'):
        read_strictly(det_file(ENTRY, ''), space)


def test_odd_videos_are_left_out_and_told(tmp_path, space, capsys):
    path = tmp_path / 'det.json'
    entry, odd = json.dumps(ENTRY), json.dumps({**ENTRY, 'domain': 'labs'})
    path.write_text(f'{{"database": {{"u": {odd},\n"v": {entry},\n"w": {entry}}}}}')
    assert [video.video for video in read_det(path, space)] == ['v', 'w']
    told = capsys.readouterr().err
    assert told.startswith('note: 1 of 3 videos left out of det.json: u: unknown dom')
    path.write_text(f'{{"database": {{"u": {odd},\n"v": {odd},\n"w": {entry}}}}}')
    with pytest.raises(ValueError, match='2 problems'):
        read_det(path, space)


def test_a_video_that_is_there_twice(tmp_path, space):
    path = tmp_path / 'det.json'
    entry = json.dumps(ENTRY)
    path.write_text(f'{{"database": {{"v": {entry},\n"v": {entry}}}}}')
    with pytest.raises(ValueError, match='v: is there twice'):
        read_det(path, space)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"database": {}}', 'empty table'),
        ('{"results": {}}', 'no table: need {"database"'),
        ('[]', 'no table'),
        ('{"database":\n {', 'det.json:2: not readable as JSON'),
    ],
)
def test_no_table(tmp_path, space, text, message):
    path = tmp_path / 'det.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_det(path, space)


def test_every_bad_entry_is_found_and_good_ones_kept(tmp_path, space):
    bad = {**ENTRY, 'domain': 'labs'}
    entries = {f'v{i}': bad for i in range(7)} | {'good': ENTRY}
    path = tmp_path / 'det.json'
    path.write_text(json.dumps({'database': entries}))
    videos, odd, _ = scan_det(path, space)
    assert [video.video for video in videos] == ['good']
    assert len(odd.problems) == 7


def test_written_videos_read_back_with_their_lines(tmp_path, space):
    videos = [
        Video('v"ä', '', 'test', 'lab', '', 29.97, 300, 10.01, withheld=True),
        Video(
            'w', 'w.mp4', 'val', 'street', 's', 30.0, 60, 2.0, (Instance(0.1, 2, 81),)
        ),
    ]
    path = tmp_path / 'det.json'
    write_det(path, videos, space)
    back = read_det(path, space)
    assert back == videos
    assert [video.line for video in back] == [2, 3]
    assert space.actions[81] in path.read_text()


def test_truth_in_columns():
    places = (Instance(0, 1, 3), Instance(2, 4, 5)), (Instance(0, 1, 3),), ()
    videos = [
        Video(name, '', 'test', '', '', 30, 0, 5.0, own)
        for name, own in zip('abc', places, strict=True)
    ]
    found = true_segments(videos)
    assert found.names == ('a', 'b', 'c')
    assert found.videos.tolist() == [0, 0, 1]
    assert found.labels.tolist() == [3, 5, 3]
    assert found.segments_sec.tolist() == [[0, 1], [2, 4], [0, 1]]
    assert len(true_segments([])) == 0


def entry(label=9, score=0.5, segment=(1, 2.5), **more):
    return {'segment': list(segment), 'label': label, 'score': score, **more}


@pytest.fixture
def read(tmp_path):
    def from_content(content, space=_SPACE):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / 'd.json').write_text(text)
        return read_detections(tmp_path / 'd.json', space)

    return from_content


def test_columns(read):
    name = _SPACE.actions[4]
    found = read(
        {
            'version': 1,
            'results': {
                'b': [entry(name, 2), entry('9', -1, (0, 0), rank=3)],
                'empty': [],
                'a': [entry(81, 0.25, (3, 4))],
            },
        }
    )
    assert found.names == ('b', 'empty', 'a')
    assert found.videos.tolist() == [0, 0, 2]
    assert found.labels.tolist() == [4, 9, 81]
    assert found.segments_sec.tolist() == [[1, 2.5], [0, 0], [3, 4]]
    assert found.scores.tolist() == [2, -1, 0.25]
    assert gc.isenabled()


def test_names_of_macos(read):
    content = {'results': {'e\u0301': [entry(3)]}}
    for text in (json.dumps(content), json.dumps(content, ensure_ascii=False)):
        assert read(text).names == ('\u00e9',)


def test_no_detection_at_all_is_allowed(read):
    assert len(read({'results': {'v': []}})) == 0


def test_what_is_written_is_read_again(read, tmp_path):
    content = {'results': {'a': [entry(3), entry(5, 0.1)], 'é': [], 'b': [entry(3)]}}
    found = read(content)
    write_detections(tmp_path / 'again.json', found, _SPACE)
    again = read_detections(tmp_path / 'again.json', _SPACE)
    for name, column in vars(found).items():
        assert np.array_equal(vars(again)[name], column)
    written = json.loads((tmp_path / 'again.json').read_text())
    assert written['results']['a'][0]['label'] == _SPACE.actions[3]


@pytest.mark.parametrize(
    ('content', 'text'),
    [
        ('{', r'd.json:1: not readable as JSON'),
        ([], 'no detections: need'),
        ({'results': {}}, 'no detections: need'),
        ({'database': {}}, 'no detections: need'),
        ({'results': {'v': 3}}, 'v: 3 is no list'),
        ({'results': {'v': [3]}}, r'v \[0\]: must be .*"score"}, not 3'),
        ({'results': {'v': [{'segment': [0, 1]}]}}, r'v \[0\]: must be'),
        ({'results': {'v': [entry(segment=(2, 1))]}}, r'v \[0\].*start <= en'),
        ({'results': {'v': [entry(segment=(1,))]}}, 'must be seconds'),
        ({'results': {'v': [entry(segment='12')]}}, 'must be seconds'),
        ({'results': {'v': [entry(segment=(0, float('nan')))]}}, 'must be seconds'),
        ({'results': {'v': [entry(score=True)]}}, 'score True: must be a finite'),
        ({'results': {'v': [entry(score='1')]}}, "score '1': must be a finite"),
        ({'results': {'v': [entry(score=float('inf'))]}}, 'score inf: must be a fin'),
        ({'results': {'v': [entry(True)]}}, 'label True: must be the name or index'),
        ({'results': {'v': [entry(1.0)]}}, 'label 1.0: must be the name or index'),
        ({'results': {'v': [entry([1])]}}, r'label \[1\]: must be the name or index'),
        ({'results': {'v': [entry('shaking bdy')]}}, "Did you mean 'shaking body'"),
        ({'results': {'v': [entry('x')] * 6 + [entry(99)]}}, r"'x' \(6\), 99 \(1\)"),
        ('{"results": {"v": [], "v": []}}', 'v: is there twice'),
    ],
)
def test_bad_detections(read, content, text):
    with pytest.raises(ValueError, match=text):
        read(content)


def test_odd_detections_are_left_out_and_told(read, capsys):
    odd = [entry(segment=(2, 1)), entry('x'), 7]
    found = read({'results': {'v': [entry(3), *odd, entry(4)], 'w': [entry(5)]}})
    assert found.labels.tolist() == [3, 4, 5]
    assert found.videos.tolist() == [0, 0, 1]
    told = capsys.readouterr().err
    assert told.startswith('note: 3 of 6 detections left out of d.json: v [1]: segment')
    with pytest.raises(ValueError, match='unknown action 99'):
        read({'results': {'v': [entry(3), entry(3), entry(99)]}})


def test_a_label_of_the_other_space_is_told(read):
    space = load_label_space('ma52')
    with pytest.raises(ValueError, match='label 60 is of mma82, but the 52 actions'):
        read({'results': {'v': [entry(60)]}}, space)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='no such file'):
        read_detections(tmp_path / 'd.json', _SPACE)


ODD = [
    ([2, 1], None, r'segment \[2, 1\]: must be seconds, 0 <= start < end'),
    ([-1, 1], (0, 1), r'segment \[-1, 1\] starts before the video'),
    ([1, 1], None, '0 <= start < end'),
    ([1], None, '0 <= start < end'),
    (['1', '2'], None, '0 <= start < end'),
    (None, None, '0 <= start < end'),
    ([1, 10.6], (1, 10), r'segment \[1, 10.6\] ends after the video \(10 s\)'),
    ([0, 84], (0, 10), 'ends after the video'),
    ([10.1, 10.4], None, 'ends after the video'),
]


@pytest.mark.parametrize(('segment', 'left', 'message'), ODD)
def test_an_odd_segment_is_cut_or_left_out_and_told(
    tmp_path, space, capsys, segment, left, message
):
    path = tmp_path / 'det.json'
    fine = {'segment': [2, 3], 'label': 'nodding'}
    entry = {**ENTRY, 'annotations': [fine, {**fine, 'segment': segment}]}
    path.write_text(json.dumps({'database': {'v': entry}}))
    (video,) = read_det(path, space)
    found = [(i.start_sec, i.end_sec) for i in video.instances]
    assert found == [(2, 3)] + [left] * bool(left)
    told = capsys.readouterr().err
    assert 'note: 1 of 2 segments cut to their video or left out of det.json' in told
    assert re.search(f'v: annotation 1: .*{message}', told)
    entry['annotations'][:1] = []
    path.write_text(json.dumps({'database': {'v': entry}}))
    with pytest.raises(ValueError, match=message) as refused:  # now most are odd
        read_det(path, space)
    asked = 'frames taken for seconds, or another fps?' in str(refused.value)
    assert asked == ('0 <=' not in message)


def test_frames_taken_for_seconds_are_refused(tmp_path, space):
    path = tmp_path / 'det.json'
    times = [[0, 9], [30, 60], [90, 120]]
    annotations = [{'segment': t, 'label': 'nodding'} for t in times]
    entry = {**ENTRY, 'annotations': annotations}
    path.write_text(json.dumps({'database': {'v': entry}}))
    with pytest.raises(ValueError, match=r'2 problems(.|\n)*frames taken for seconds'):
        read_det(path, space)


def test_small_cuts_are_counted_and_rounding_is_not(tmp_path, space, capsys):
    path = tmp_path / 'det.json'
    times = [[9, 10.4], [8, 10.0005], [1, 2]]
    annotations = [{'segment': t, 'label': 'nodding'} for t in times]
    entry = {**ENTRY, 'annotations': annotations}
    path.write_text(json.dumps({'database': {'v': entry}}))
    (video,) = read_det(path, space)
    assert [i.end_sec for i in video.instances] == [10, 10, 2]
    told = capsys.readouterr().err
    assert told == ('note: 1 segments of det.json are cut by up to 0.5 s\n')


def test_one_frame_and_84_seconds_are_segments(tmp_path, space, capsys):
    path = tmp_path / 'det.json'
    times = [[5, 5.04], [0, 84], [99.96, 100]]
    annotations = [{'segment': t, 'label': 'nodding'} for t in times]
    entry = {**ENTRY, 'duration': 100, 'frames': 3000, 'annotations': annotations}
    path.write_text(json.dumps({'database': {'v': entry}}))
    (video,) = read_det(path, space)
    assert [[i.start_sec, i.end_sec] for i in video.instances] == times
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ('labels', 'told'),
    [
        (
            [2, 10],
            'labels are indices 2..10; none is 0: they are taken to count from 0',
        ),
        (['3', 4], 'labels are indices 3..4; none is 0'),
        ([0, 10], ''),
        ([3, 'nodding'], ''),
        ([], ''),
    ],
)
def test_indices_without_0_are_told(tmp_path, space, capsys, labels, told):
    path = tmp_path / 'x.json'
    found = [{'segment': [1, 2], 'label': label, 'score': 0.5} for label in labels]
    path.write_text(json.dumps({'results': {'v': found, 'w': []}}))
    read_detections(path, space)
    err = capsys.readouterr().err
    assert err.startswith(f'warning: x.json: {told}' if told else '')
    assert bool(err) == bool(told)
    path.write_text(json.dumps({'database': {'v': {**ENTRY, 'annotations': found}}}))
    read_det(path, space)
    err = capsys.readouterr().err
    assert told in err
    assert bool(err) == bool(told)


EXTRAS = {'subject': 'b', 'score': 0.0, 'text': 'zögert\nkurz', 'tier': 'Kopf 2'}


def test_what_annotators_tell_is_kept(det_file, space, tmp_path):
    told = {'segment': [1, 2], 'label': 'nodding', **EXTRAS, 'point': True}
    videos = read_det(det_file({**ENTRY, 'annotations': [told]}), space)
    assert videos[1].instances == (
        Instance(1.0, 2.0, space.action_id('nodding'), *EXTRAS.values(), True),
    )
    write_det(tmp_path / 'again.json', videos, space)
    again = json.loads((tmp_path / 'again.json').read_text('utf-8'))['database']
    assert again['v']['annotations'] == [told]
    assert again['good']['annotations'] == ENTRY['annotations']


@pytest.mark.parametrize(
    ('key', 'value', 'must'),
    [
        ('score', '0.9', 'a number'),
        ('point', 1, 'true or false'),
        ('text', 'a\x1b', 'text without control'),
        ('subject', 7, 'text without control'),
        ('tier', 'a\nb', 'text without control'),
    ],
)
def test_odd_extras_of_annotations(det_file, space, key, value, must):
    told = {'segment': [1, 2], 'label': 'nodding', key: value}
    path = det_file({**ENTRY, 'annotations': [told]})
    with pytest.raises(ValueError, match=rf'annotation 0: {key} .*: must be {must}'):
        read_strictly(path, space)
    videos, *_ = scan_det(path, space, of_root=False)  # of anybody: other keys
    assert videos[1].instances == (Instance(1.0, 2.0, space.action_id('nodding')),)
