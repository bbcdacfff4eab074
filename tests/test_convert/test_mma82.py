import json
from pathlib import PurePosixPath

import pytest
from video_files import make_video, moving_frames

from mmma.convert import convert
from mmma.convert.mma82 import (
    RELEASE,
    Release,
    find_tables,
    load_mapping,
    read_rows,
)
from mmma.convert.target import Conversion, Options, SourceTree
from mmma.data.check import check_root
from mmma.data.root import DataRoot
from mmma.data.videos import Instance
from mmma.files import OddEntries
from mmma.taxonomy import load_label_space

SHIPPED = json.loads(RELEASE.read_text())
SPACE = load_label_space('mma82')
NODDING_ID, SWING_ID = map(SPACE.action_id, ('nodding', 'swing body'))


@pytest.fixture
def changed(mapping_file):
    """Writes the shipped mapping with changes, of one task or of its own keys."""

    def write(task=None, **changes):
        content = json.loads(RELEASE.read_text())
        target = content[task] if task else content
        target |= {key: value for key, value in changes.items() if value is not ...}
        for key in [key for key, value in changes.items() if value is ...]:
            del target[key]
        return mapping_file(content)

    return write


def test_the_shipped_mapping_is_valid_and_explains_itself():
    assert load_mapping(RELEASE)['rec']['columns'] == {'path': 0, 'action': 1}
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
        (  # the first pattern that fits counts
            ['train_list_videos.txt', 'emotion/train_list_videos.txt'],
            [{'domain': 'emotion', 'subset': 'train'}],
        ),
    ],
)
def test_tables_are_found_with_what_their_path_tells(files, found):
    tables = find_tables(load_mapping(RELEASE), 'rec', map(PurePosixPath, files))
    assert [told for _, told in tables] == found


def test_a_star_stands_for_a_part_of_a_name(changed):
    mapping = load_mapping(changed('rec', files=['*-{subset}.txt']))
    files = map(PurePosixPath, ['v1.2-train.txt', 'a/b-val.txt', 'train.txt'])
    assert len(find_tables(mapping, 'rec', files)) == 2


@pytest.mark.parametrize(
    ('task', 'changes', 'message'),
    [
        (None, {'subjects': '^x'}, "unknown key 'subjects'.*Did you mean 'subject'"),
        (None, {'fps': ...}, "the mapping: no key 'fps'"),
        (None, {'fps': 'thirty'}, "'fps' cannot be 'thirty'"),
        (None, {'domains': {'spa': 'psychiatry'}}, "domain of 'spa' 'psychiatry'"),
        (None, {'subsets': {'dev': 'valid'}}, "unknown subset of 'dev' 'valid'"),
        (None, {'default_domain': 'labs'}, "unknown default_domain 'labs'"),
        (None, {'subject': '('}, 'mapping.json: missing \\)'),
        ('rec', {'columns': ['path', 'label']}, "unknown rec column 'label'"),
        ('rec', {'columns': ['path', '-']}, "rec: columns lack 'action'"),
        ('rec', {'columns': {'path': 'p', 'action': 'a'}}, 'rec: columns must be an'),
        ('rec', {'delimiter': ''}, 'rec: delimiter must be one character'),
        ('det', {'files': ...}, "det: no key 'files'"),
        ('det', {'files': [3]}, r'det: files must be a list of names, not \[3\]'),
        ('rec', {'columns': [['path']]}, 'rec: columns are texts'),
        (None, {'label_names': {'files': 'x'}}, 'label_names: files must be a list'),
        (None, {'action_names': {'3': 4}}, r'action_names\.3 must be text, not 4'),
        (None, {'skip': {'*.pkl': None}}, r'skip\.\*\.pkl must be text'),
        (None, {'domains': {'a': ['lab']}}, r'domains\.a must be text'),
        ('det', {'columns': {'video': 'v'}}, "det: columns lack 'start_frame'"),
    ],
)
def test_bad_mappings(changed, task, changes, message):
    with pytest.raises(ValueError, match=message):
        load_mapping(changed(task, **changes))


def test_not_a_mapping(mapping_file, tmp_path):
    for text, message in (
        ('{', 'mapping.json:1: not readable as JSON'),
        ('[]', 'the mapping must be an object'),
    ):
        with pytest.raises(ValueError, match=message):
            load_mapping(mapping_file(text))
    with pytest.raises(FileNotFoundError, match='no such file'):
        load_mapping(tmp_path / 'gone.json')


@pytest.fixture
def rows(tmp_path):
    def read(text, mapping=RELEASE, task='rec'):
        (tmp_path / 'table').write_text(text)
        odd = OddEntries(tmp_path / 'table')
        rows = read_rows(odd, load_mapping(mapping), task)
        odd.notes(strict=True)
        return rows

    return read


def test_rows_without_a_header(rows, changed):
    assert rows('a.mp4 3\r\n\nb.mp4   4') == [
        (1, {'path': 'a.mp4', 'action': '3'}),
        (3, {'path': 'b.mp4', 'action': '4'}),
    ]
    names = rows('lab/nodding (1).mp4 3\nlab/a  1.mp4\t4\nnodding (2) 5')
    assert [row['path'] for _, row in names] == [
        'lab/nodding (1).mp4', 'lab/a  1.mp4', 'nodding (2)',
    ]  # fmt: skip
    mapping = changed('rec', columns=['action', '-', 'path'], delimiter=',')
    assert rows('3,120,a b.mp4', mapping) == [(1, {'action': '3', 'path': 'a b.mp4'})]


def test_rows_with_a_header(rows):
    commas = 'fps,video_id,total_frames,start_frame,end_frame,class\n30,v,9,0,"3",7\n'
    tabs = commas.replace(',', ' \t ') + '\t\t\n'
    for text in (commas, commas.replace(',', ';'), tabs):
        ((line, row),) = rows(text, task='det')
        assert line == 2
        assert row == {
            **{'video': 'v', 'start_frame': '0', 'end_frame': '3', 'action': '7'},
            **{'frames': '9', 'fps': '30'},
        }


@pytest.mark.parametrize(
    ('text', 'task', 'message'),
    [
        (
            'a.mp4 120 3',
            'rec',
            r"table:1: a.mp4: 3 columns .*expected 2 \(path, action\) parted by ' '",
        ),
        ('', 'rec', 'empty table'),
        ('video_id,start_frame', 'det', r"no column 'end_frame' for end_frame; .*json"),
        ('', 'det', "no column 'video_id' for video"),
    ],
)
def test_tables_of_another_form(rows, text, task, message):
    with pytest.raises(ValueError, match=message):
        rows(text, task=task)


@pytest.fixture
def labels(tree, tmp_path):
    def make(text=None, **changes):
        files = {} if text is None else {'ann/label_name.txt': text}
        mapping = {**load_mapping(RELEASE), **changes}
        source = SourceTree(tree(files))
        return Release(Conversion(source, tmp_path / 'out', Options()), mapping)

    return make


def test_names_in_any_spelling(labels):
    names = {'nodding': NODDING_ID, 'Nodding': NODDING_ID, ' nodding': NODDING_ID}
    names |= {'SWING_BODY': SWING_ID, '': None, '-1': None}  # the last are withheld
    assert {name: labels().label('action', name) for name in names} == names
    bodies = {'Head': SPACE.body_id('head'), '': None, '-1': None}
    assert {name: labels().label('body', name) for name in bodies} == bodies


@pytest.mark.parametrize(
    'text',
    ['1 nodding\n0 swing body\n', '1,nodding\n0,swing body', 'swing body\nnodding\n'],
)
def test_an_index_follows_the_release_not_our_order(labels, text):
    found = labels(text)
    assert [found.label('action', i) for i in '10'] == [NODDING_ID, SWING_ID]


def test_renaming(labels):
    renamed = {'7': 'nodding', 'nod': 'nodding'}
    found = labels('4 nod', action_names=renamed, body_names={'1': 'head'})
    for text in ('7', 'nod', '4'):  # names of the list are renamed too
        assert found.label('action', text) == NODDING_ID
    assert found.label('body', '1') == SPACE.body_id('head')


def test_unknown_labels(labels):
    for kind, text, message in (
        (
            'action',
            '3',
            r"action '3' is an index that nothing explains \(no label_name",
        ),
        ('action', 'noding', r"action 'noding'.*'nodding'.*under action_names"),
        ('body', '1', r"body group '1'.*under body_names in a copy"),
    ):
        with pytest.raises(ValueError, match=message):
            labels().label(kind, text)
    with pytest.raises(ValueError, match=r"'7' is an index .*label_name\.txt\)"):
        labels('0 nodding').label('action', '7')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('0 nodding\nswing body', r"label_name\.txt:2: 'swing body': expected"),
        ('0 nodding\n0 swing body', 'each index once'),
        ('3 noding', r"label_name\.txt: index 3: unknown action 'noding'"),
    ],
)
def test_bad_label_files(labels, text, message):
    with pytest.raises(ValueError, match=message):
        labels(text)


ORDER = sorted(SPACE.actions)  # a release's own order, unlike ours
NAMES = ''.join(f'{i}\t{name}\n' for i, name in enumerate(ORDER))
NODDING, SWING = ORDER.index('nodding'), ORDER.index('swing body')
CSV = 'id,video_id,start_frame,end_frame,class,total_frames,fps\n'
PER_DOMAIN = {
    'README.md': 'hello',
    'rec/label_name.txt': NAMES,
    'rec/lab/train_list_videos.txt': f'0003_01_0001.mp4 {NODDING}\n',
    'rec/lab/test_list_videos.txt': '0001.mp4 0\n',
    'rec/street/val_list_videos.txt': f'0007_02_0001.mp4 {SWING}\n',
    'det/lab/train.csv': f'{CSV}0,v_0001,0,29,{NODDING},58,29.0\n',
    'pose/all.pkl': b'\x80',
}


def test_a_tree_like_the_earlier_releases(tree, tmp_path):
    source = tree(PER_DOMAIN)
    make_video(source / 'rec/lab/videos/0003_01_0001.mp4', moving_frames(8))
    make_video(source / 'det/lab/v_0001.mp4', moving_frames(58), fps=29)
    conversion = convert('mma82', source, tmp_path / 'out')
    root = DataRoot(tmp_path / 'out')
    assert (root.info.name, root.info.simulated) == ('mma82', False)
    clips = {clip.clip: clip for clip in root.read_rec()}
    nodding = clips['0003_01_0001']
    assert SPACE.actions[nodding.action] == 'nodding'
    assert (nodding.domain, nodding.subset, nodding.subject) == ('lab', 'train', '0003')
    assert nodding.path == 'videos/lab/train/0003_01_0001.mp4'
    assert root.video_path(nodding.path).is_file()
    assert clips['0001'].action is None
    assert clips['0007_02_0001'].domain == 'street'
    (video,) = root.read_det()
    assert video.instances == (Instance(0.0, 1.0, SPACE.action_id('nodding')),)
    notices = '\n'.join(conversion.notices)
    assert 'pose/all.pkl skipped: skeletons in a pickle' in notices
    assert 'rec/lab/test_list_videos.txt: every label is 0' in notices
    assert '2 videos are not in place' in notices
    report = check_root(root.path, decode=True, workers=0)
    failed = {
        name
        for name, found in report.checks.items()
        if isinstance(found, list) and found
    }
    assert failed == {'published margins', 'videos'}


@pytest.mark.parametrize(
    ('row', 'video'),
    [
        (f'street/a.mp4 {NODDING}', 'x/a.mp4'),  # a folder of the path
        (f'a.mp4 {NODDING}', 'street_interviews/train/a.mp4'),  # a folder of the video
    ],
)
def test_the_domain_of_one_list_for_all(run, row, video):
    files = {'train_list_videos.txt': row, 'label_name.txt': NAMES, video: b'x'}
    root, _ = run('mma82', files)
    (clip,) = root.read_rec()
    assert (clip.domain, clip.path) == ('street', 'videos/street/train/a.mp4')
    assert root.video_path(clip.path).is_file()


def test_nothing_tells_the_domain(run, changed):
    files = {'train_list_videos.txt': f'a.mp4 {NODDING}', 'label_name.txt': NAMES}
    with pytest.raises(ValueError, match=r'txt:1: a\.mp4: nothing tells the domain'):
        run('mma82', files)
    root, _ = run('mma82', files, mapping=changed(default_domain='emotion'))
    assert root.read_rec()[0].domain == 'emotion'


def test_a_mapping_of_ones_own(run, changed):
    header = 'file\tsplit\tscene\tperson\tname\tgroup\tfrom\tto'
    row = 'x/c1.avi\tTraining\tclinic\tp9\tNodding\tHead\t0.5\t2'
    files = {'all.tsv': f'{header}\n{row}\n'}
    columns = {
        **{'path': 'file', 'subset': 'split', 'domain': 'scene', 'subject': 'person'},
        **{'action': 'name', 'body': 'group', 'start_sec': 'from', 'end_sec': 'to'},
    }
    rec = {'files': ['all.tsv'], 'delimiter': '\t', 'header': True, 'columns': columns}
    mapping = changed(rec=rec, domains={'Clinic': 'psychiatric'})
    root, _ = run('mma82', files, mapping=mapping)
    (clip,) = root.read_rec()
    assert clip.path == 'videos/psychiatric/train/c1.avi'
    assert (clip.subset, clip.domain, clip.subject) == ('train', 'psychiatric', 'p9')
    assert (clip.start_sec, clip.end_sec) == (0.5, 2.0)
    assert SPACE.bodies[clip.body] == 'head'


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        ('a,dev,lab,nodding,,', "unknown subset 'dev'"),
        ('a,train,labor,nodding,,', "unknown domain 'labor'.*Did you mean 'lab'"),
        ('a,train,lab,noding,,', "unknown action 'noding'"),
        ('a,train,lab,nodding,2,1', '0 <= start_sec < end_sec'),
    ],
)
def test_bad_rows_name_the_file_of_the_release(run, changed, row, message):
    columns = ['path', 'subset', 'domain', 'action', 'start_sec', 'end_sec']
    rec = {'files': ['all'], 'delimiter': ',', 'header': False, 'columns': columns}
    with pytest.raises(ValueError, match=rf'download/all:1: a: .*{message}'):
        run('mma82', {'all': row}, mapping=changed(rec=rec))


def test_another_layout_says_what_was_expected_and_how_to_describe_it(run):
    files = {'annotations/train.jsonl': '{}', 'videos.zip': b'', 'a.mp4': b''}
    with pytest.raises(FileNotFoundError, match='no table of the release') as error:
        run('mma82', files)
    text = str(error.value)
    assert 'recognition: {domain}/{subset}_list_videos.txt' in text
    assert 'It has annotations/train.jsonl and 1 videos' in text
    assert 'videos.zip skipped: an archive: unpack it first' in text
    assert f'copy {RELEASE}' in text
    assert '--mapping COPY' in text


def test_names_that_repeat_get_domain_and_subset(run):
    files = {
        'label_name.txt': NAMES,
        'lab/train_list_videos.txt': f'0001.mp4 {NODDING}',
        'street/train_list_videos.txt': f'0001.mp4 {SWING}',
        'lab/0001.mp4': b'lab',
        'street/0001.mp4': b'street',
    }
    root, conversion = run('mma82', files)
    clips = root.read_rec()
    assert [clip.clip for clip in clips] == ['lab_train_0001', 'street_train_0001']
    contents = [root.video_path(clip.path).read_bytes() for clip in clips]
    assert contents == [b'lab', b'street']
    assert any('clip names repeat' in notice for notice in conversion.notices)


def test_detection_alone_and_its_placeholder(run):
    rows = ''.join(f'{i},t{i},0,20,{i + 1},99,30\n' for i in range(4))
    files = {
        'label_name.txt': NAMES,
        'lab/val.csv': f'{CSV}0,0012_a,0,60,{NODDING},300,30\n'
        '1,0012_a,30,90,0,300,30\n',
        'lab/test.csv': CSV + rows,
    }
    root, conversion = run('mma82', files)
    *listed, video = sorted(root.read_det(), key=lambda v: v.subset)
    assert [v.withheld for v in listed] == [True] * 4
    assert (video.subset, video.subject, len(video.instances)) == ('val', '0012', 2)
    notices = '\n'.join(conversion.notices)
    assert 'lab/test.csv: made-up instances' in notices
    assert 'no recognition tables: looked for {domain}/' in notices


def test_emotions_of_detection_tables(run, changed):
    columns = {**SHIPPED['det']['columns'], 'emotion': 'mood'}
    head = CSV.replace('fps\n', 'fps,mood\n')
    rows = [f'{i},v,{i},9,{NODDING},9,30,{own}\n' for i, own in enumerate(('', 'sad'))]
    files = {'label_name.txt': NAMES, 'lab/val.csv': head + ''.join(rows)}
    root, _ = run('mma82', files, mapping=changed('det', columns=columns))
    (video,) = root.read_det()
    assert (video.emotion, len(video.instances)) == ('sad', 2)
    files['lab/val.csv'] += rows[1].replace('sad', 'fear') * 2
    text = r"val\.csv:4: v: emotion 'fear', but a row above says 'sad': a video has one"
    with pytest.raises(ValueError, match=text):
        run(
            'mma82',
            files,
            mapping=changed('det', columns=columns),
            strict=True,
            force=True,
        )


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        (f'0,v,9,3,{NODDING},9,30', r'val\.csv:2: v: frames 9 to 3'),
        ('0,v,0,3,99,9,30', r"val\.csv:2: v: action '99' is an index that nothing"),
        ('0,v,0,3,,9,30', 'an instance without an action'),
        (f'0,v,0,3,{NODDING},9,30', r'val\.csv:2: v: nothing tells the domain'),
    ],
)
def test_bad_instances(run, row, message):
    folder = '' if 'domain' in message else 'lab/'
    files = {'label_name.txt': NAMES, f'{folder}val.csv': CSV + row}
    with pytest.raises(ValueError, match=message):
        run('mma82', files)


def test_detection_tables_without_fps(run, changed):
    old = CSV.replace(',fps', '')
    files = {'label_name.txt': NAMES, 'lab/val.csv': f'{old}0,v,0,3,{NODDING},9'}
    with pytest.raises(ValueError, match='no fps in the table'):
        run('mma82', files)
    root, _ = run('mma82', files, mapping=changed(fps=25))
    assert root.read_det()[0].fps == 25
