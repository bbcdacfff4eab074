import json
from pathlib import Path, PurePosixPath

import pytest

from mmma.layout.converters.mapping import RELEASE, load_mapping, read_rows

SHIPPED = json.loads(RELEASE.read_text())


@pytest.fixture
def mapping_file(tmp_path):
    def write(changes=None, task=None):
        content = json.loads(json.dumps(SHIPPED))
        target = content[task] if task else content
        for key, value in (changes or {}).items():
            if value is ...:
                del target[key]
            else:
                target[key] = value
        path = tmp_path / 'mapping.json'
        path.write_text(json.dumps(content))
        return path

    return write


def test_the_shipped_mapping_is_valid_and_explains_itself():
    assert load_mapping(RELEASE).tables['rec'].columns == {'path': 0, 'action': 1}
    explained = ' '.join(SHIPPED['about'])
    for key in (*SHIPPED, *SHIPPED['rec']):
        assert key in ('about', 'rec', 'det', 'header', 'delimiter') or key in explained


@pytest.mark.parametrize(
    ('files', 'found'),
    [
        (
            ['ann/lab/train_list_videos.txt', 'ann/Street/VAL_list_videos.txt'],
            [
                {'domain': 'lab', 'subset': 'train'},
                {'domain': 'street', 'subset': 'val'},
            ],
        ),
        (['laboratory_test_list_videos.txt'], [{'domain': 'lab', 'subset': 'test'}]),
        (['x/validation_list_videos.txt'], [{'subset': 'val'}]),
        (['train_list.txt', 'garden/list_videos.txt'], []),
    ],
)
def test_tables_are_found_with_what_their_path_tells(files, found):
    tables = load_mapping(RELEASE).find_tables('rec', map(PurePosixPath, files))
    assert [told for _, told in tables] == found


def test_the_first_pattern_that_fits_counts():
    files = ['train_list_videos.txt', 'emotion/train_list_videos.txt']
    tables = load_mapping(RELEASE).find_tables('rec', map(PurePosixPath, files))
    assert [str(path) for path, _ in tables] == ['emotion/train_list_videos.txt']


def test_a_star_stands_for_a_part_of_a_name(mapping_file):
    path = mapping_file({'files': ['*-{subset}.txt']}, 'rec')
    files = map(PurePosixPath, ['v1.2-train.txt', 'a/b-val.txt', 'train.txt'])
    assert len(load_mapping(path).find_tables('rec', files)) == 2


@pytest.mark.parametrize(
    ('changes', 'task', 'message'),
    [
        ({'subjects': '^x'}, None, "unknown key 'subjects'.*Did you mean 'subject'"),
        ({'fps': ...}, None, "the mapping: no key 'fps'"),
        ({'fps': 'thirty'}, None, "'fps' cannot be 'thirty'"),
        (
            {'domains': {'clinic': 'psychiatry'}},
            None,
            "domain of 'clinic' 'psychiatry'",
        ),
        ({'subsets': {'dev': 'valid'}}, None, "unknown subset of 'dev' 'valid'"),
        ({'default_domain': 'labs'}, None, "unknown default_domain 'labs'"),
        ({'subject': '('}, None, 'mapping.json: missing \\)'),
        ({'columns': ['path', 'label']}, 'rec', "unknown rec column 'label'"),
        ({'columns': ['path', '-']}, 'rec', "rec: columns lack 'action'"),
        ({'columns': {'path': 'p', 'action': 'a'}}, 'rec', 'rec: columns must be an'),
        ({'delimiter': ''}, 'rec', 'rec: delimiter must be one character'),
        ({'files': ...}, 'det', "det: no key 'files'"),
        ({'columns': {'video': 'v'}}, 'det', "det: columns lack 'start_frame'"),
    ],
)
def test_bad_mappings(mapping_file, changes, task, message):
    with pytest.raises(ValueError, match=message):
        load_mapping(mapping_file(changes, task))


@pytest.mark.parametrize(
    ('text', 'message'),
    [('{', 'm.json:1: not readable as JSON'), ('[]', 'the mapping must be an object')],
)
def test_not_a_mapping(tmp_path, text, message):
    (tmp_path / 'm.json').write_text(text)
    with pytest.raises(ValueError, match=message):
        load_mapping(tmp_path / 'm.json')


def test_no_mapping(tmp_path):
    with pytest.raises(FileNotFoundError, match='no such file'):
        load_mapping(tmp_path / 'm.json')


@pytest.fixture
def rows(tmp_path):
    def read(text, mapping=RELEASE, task='rec'):
        (tmp_path / 'table').write_text(text)
        return read_rows(tmp_path / 'table', load_mapping(Path(mapping)).tables[task])

    return read


def test_rows_without_a_header(rows):
    assert rows('a.mp4 3\r\n\nb.mp4   4') == [
        (1, {'path': 'a.mp4', 'action': '3'}),
        (3, {'path': 'b.mp4', 'action': '4'}),
    ]


def test_a_column_may_be_skipped(rows, mapping_file):
    mapping = mapping_file(
        {'columns': ['action', '-', 'path'], 'delimiter': ','}, 'rec'
    )
    assert rows('3,120,a b.mp4', mapping) == [(1, {'action': '3', 'path': 'a b.mp4'})]


def test_rows_with_a_header(rows):
    text = 'fps,video_id,total_frames,start_frame,end_frame,class\n30,v,9,0,"3",7\n'
    assert rows(text, task='det') == [
        (
            2,
            {
                'video': 'v',
                'start_frame': '0',
                'end_frame': '3',
                'action': '7',
                'frames': '9',
                'fps': '30',
            },
        )
    ]


@pytest.mark.parametrize(
    ('text', 'task', 'message'),
    [
        (
            'a.mp4 120 3',
            'rec',
            r"table:1: 3 columns .*expected 2 \(path, action\) parted by ' '",
        ),
        ('', 'rec', 'empty table'),
        ('video_id,start_frame', 'det', r"no column 'end_frame' for end_frame; .*json"),
        ('', 'det', "no column 'video_id' for video"),
    ],
)
def test_tables_of_another_form(rows, text, task, message):
    with pytest.raises(ValueError, match=message):
        rows(text, task=task)
