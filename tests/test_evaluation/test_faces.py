"""Emotions from face scores of every tool, and from recognizers."""

import csv
import json

import numpy as np
import pytest

from mmma.data.videos import Video
from mmma.evaluation.faces import (
    action_scores,
    read_faces,
    recognizer_scores,
)

EMOTIONS = ('anger', 'disgust', 'fear', 'happy', 'melancholy', 'sad', 'surprise')
UNITS = {'a': 'a', 'b': 'b', 'other': ''}
FER = ('angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral')


def write(path, header, *rows):
    with path.open('w', newline='') as file:
        csv.writer(file).writerows([header, *rows])
    return path


def shares(scores):
    return {
        e: round(float(s), 4) for e, s in zip(EMOTIONS, scores, strict=True) if s > 1e-6
    }


def test_our_own_file_is_averaged_over_the_frames_with_a_face(tmp_path):
    header = ['video', 'frame', 'time_sec', 'face', 'x', 'y', 'width', 'height']
    header += ['angry', 'happy', 'neutral']
    path = write(
        tmp_path / 'faces.csv',
        header,
        ['a', 0, 0.0, 1, 5, 5, 9, 9, 0.2, 0.6, 0.2],
        ['a', 1, 0.1, 0, '', '', '', '', '', '', ''],
        ['a', 2, 0.2, 2, 5, 5, 9, 9, 0.4, 0.2, 0.4],
        ['b', 0, 0.0, 0, '', '', '', '', '', '', ''],
        ['other', 0, 0.0, 1, 5, 5, 9, 9, 1, 0, 0],
    )
    scores, read = read_faces(path, UNITS, EMOTIONS)
    # angry (.2 + .4) / 2, happy (.6 + .2) / 2, and neutral's .3 goes to neither
    assert shares(scores.pop('a')) == {
        'anger': round(3 / 7, 4),
        'happy': round(4 / 7, 4),
    }
    assert not scores  # b has no face
    assert (
        read['frames'],
        read['frames_without_face'],
        read['frames_of_several_faces'],
    ) == (4, 2, 1)
    assert read['emotions_without_class'] == [
        'disgust',
        'fear',
        'melancholy',
        'sad',
        'surprise',
    ]
    assert read['classes_dropped'] == ['neutral']
    assert read['unknown_videos'] == []


def test_deepface_of_several_faces_takes_the_largest(tmp_path):
    """``pandas.json_normalize(DeepFace.analyze(...))`` with frames and videos."""
    header = [
        'video',
        'frame',
        'dominant_emotion',
        'face_confidence',
        'region.w',
        'region.h',
    ]
    header += [f'emotion.{name}' for name in FER]
    path = write(
        tmp_path / 'deepface.csv',
        header,
        ['a.mp4', 0, 'happy', 0.9, 90, 90, 10, 0, 0, 90, 0, 0, 0],
        ['a.mp4', 0, 'sad', 0.99, 20, 20, 0, 0, 0, 0, 100, 0, 0],
        [
            'a.mp4',
            1,
            'fear',
            0,
            640,
            480,
            0,
            0,
            100,
            0,
            0,
            0,
            0,
        ],  # no face: whole picture
    )
    scores, read = read_faces(path, UNITS, EMOTIONS)
    assert shares(scores['a']) == {'anger': 0.1, 'happy': 0.9}
    assert (
        read['frames'],
        read['frames_without_face'],
        read['frames_of_several_faces'],
    ) == (2, 1, 1)


@pytest.mark.parametrize('new', [False, True])
def test_py_feat(tmp_path, new):
    """Columns of releases to 0.6, and those of the detector since 0.7."""
    words = ['anger', 'disgust', 'fear', 'happiness', 'sadness', 'surprise', 'neutral']
    if new:
        words = ['Anger', 'Disgust', 'Fear', 'Happy', 'Sad', 'Surprise', 'Neutral']
    header = ['FaceRectX', 'FaceRectY', 'FaceRectWidth', 'FaceRectHeight', 'FaceScore']
    header += ['AU01', *words, 'valence', 'input', 'frame', 'approx_time']
    rows = [
        [
            1,
            1,
            80,
            80,
            0.99,
            1,
            0,
            0,
            0,
            0.5,
            0.5,
            0,
            0,
            -0.5,
            '/x/a.mp4',
            0.0,
            '00:00',
        ],
        ['', '', '', '', '', '', *[''] * 7, '', '/x/a.mp4', 10.0, '00:00'],
    ]
    scores, read = read_faces(write(tmp_path / 'f.csv', header, *rows), UNITS, EMOTIONS)
    assert shares(scores['a']) == {'happy': 0.5, 'sad': 0.5}
    assert (read['frames'], read['frames_without_face']) == (2, 1)


def test_openface_is_read_by_the_rule_of_action_units(tmp_path):
    numbers = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
    header = ['frame', ' face_id', ' timestamp', ' confidence', ' success']
    header += [f' AU{n:02}_r' for n in numbers] + [' AU01_c']
    smile = [5.0 if n in (6, 12) else 0.0 for n in numbers]
    rest = [0.0 for n in numbers]
    write(
        tmp_path / 'a.csv',
        header,
        [1, 0, 0.0, 0.98, 1, *smile, 0],
        [2, 0, 0.033, 0.98, 1, *rest, 0],  # neutral
        [3, 0, 0.066, 0.2, 0, *rest, 0],  # lost
    )
    write(tmp_path / 'b.csv', header, [1, 0, 0.0, 0.98, 1, *rest, 0])
    scores, read = read_faces(tmp_path, UNITS, EMOTIONS)
    assert shares(scores['a']) == {'happy': 1.0}
    assert 'b' not in scores  # neutral alone tells nothing of the emotions here
    assert (read['frames'], read['frames_without_face']) == (4, 1)
    assert read['classes_dropped'] == ['neutral']


def test_fer_has_a_row_per_frame_and_columns_per_face(tmp_path):
    header = [f'{n}{face}' for face in (0, 1) for n in ('box', *FER)]
    write(
        tmp_path / 'a.csv',
        header,
        ['(1, 1, 9, 9)', 1, 0, 0, 0, 0, 0, 0, '(5, 5, 40, 40)', 0, 0, 0, 1, 0, 0, 0],
        ['[1 1 9 9]', 0, 0, 0, 1, 0, 0, 0, *[''] * 8],
    )
    scores, read = read_faces(tmp_path / 'a.csv', UNITS, EMOTIONS)
    assert shares(scores['a']) == {'happy': 1.0}
    assert (read['frames'], read['frames_of_several_faces']) == (2, 1)


def test_a_file_of_scores_per_video_and_a_mapping_of_ones_own(tmp_path):
    path = write(tmp_path / 'x.csv', ['video', 'happy', 'Trauer'], ['a', 0.5, 0.5])
    table = {'columns': {'trauer': 'sad'}, 'emotions': {'melancholy': 'sad'}}
    own = tmp_path / 'map.json'
    own.write_text(json.dumps(table))
    scores, read = read_faces(path, UNITS, EMOTIONS, mapping=own)
    assert shares(scores['a']) == {'happy': 0.5, 'melancholy': 0.25, 'sad': 0.25}
    assert 'melancholy' not in read['emotions_without_class']


@pytest.mark.parametrize(
    ('header', 'rows', 'told'),
    [
        ('video,x,y', ['a,1,2'], r'f\.csv:1: no column has scores of a face'),
        ('video,frame,happy', ['z,0,1'], r"0 videos .*, 1 are not in the data: 'z'"),
        (
            'video,frame,happy,sad',
            ['a,0,1,0', 'a,1,nan,0'],
            r'f\.csv:3: nan, 0: need',
        ),
        (
            'video,frame,happy,sad',
            ['a,0,1,'],
            r'f\.csv:2: 1, : need .* all empty',
        ),
        ('video,happy', ['a,1', 'a,1'], r"f\.csv:3: a second row of 'a', and no frame"),
        ('video,frame,happy', ['a,0,-1'], r'f\.csv:2: .* none below 0'),
        ('video,frame,happy', ['a,0,0'], r'f\.csv:2: .* not all 0'),
        ('video,frame,happy', ['a,0'], r'f\.csv:2: a, 0: need 3 cells'),
        (
            'video,frame,contempt',
            ['a,0,1'],
            r"none of \['contempt'\] .* --face-mapping",
        ),
    ],
)
def test_bad_files_are_refused_with_their_place(tmp_path, header, rows, told):
    path = tmp_path / 'f.csv'
    path.write_text('\n'.join([header, *rows]) + '\n')
    with pytest.raises(ValueError, match=told):
        read_faces(path, UNITS, EMOTIONS)


@pytest.mark.parametrize(
    ('content', 'told'),
    [
        ('{"happy": "joy"}', r"map\.json: 'happy': use columns, emotions, units"),
        ('{"columns": {"x": null}}', r'map\.json: columns\.x is None: it must be text'),
        ('{"units": {"anger": 4}}', r'map\.json: units\.anger is 4: it must be a list'),
        ('[]', r'map\.json is \[\]: need an object'),
    ],
)
def test_bad_mappings_are_refused(tmp_path, content, told):
    path = write(tmp_path / 'f.csv', ['video', 'happy'], ['a', 1])
    own = tmp_path / 'map.json'
    own.write_text(content)
    with pytest.raises(ValueError, match=told):
        read_faces(path, UNITS, EMOTIONS, mapping=own)


def test_a_folder_without_files_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        read_faces(tmp_path, UNITS, EMOTIONS)


def test_a_recognizers_clips_are_averaged_to_their_video(tmp_path):
    path = tmp_path / 's.npz'
    scores = np.eye(7)[[0, 1, 3]]
    names = np.array(['a/1', 'a/2', 'elsewhere'])
    np.savez(path, clips=names, scores=scores, classes=np.array(EMOTIONS))
    units = {'a/1': 'a', 'a/2': 'a', 'elsewhere': ''}
    assert shares(recognizer_scores([path], units, EMOTIONS)['a']) == {
        'anger': 0.5,
        'disgust': 0.5,
    }
    with pytest.raises(ValueError, match=r"1 scores are of no clip .*: 'elsewhere'"):
        recognizer_scores([path], dict.fromkeys(['a/1', 'a/2'], 'a'), EMOTIONS)


def test_a_classifier_needs_two_emotions_to_train():
    place = '', 'train', 'lab', '', 25.0, 50, 2.0
    videos = [Video(f'v{i}', *place, emotion='anger') for i in range(9)]
    with pytest.raises(ValueError, match=r'9 train videos have 1 emotions.*--scores'):
        action_scores(np.zeros((9, 2)), videos, EMOTIONS, None)
