import json

import pytest
from video_files import make_video, moving_frames

from mmma.layout.checks import check_root
from mmma.layout.converters import convert
from mmma.layout.converters.mapping import RELEASE
from mmma.layout.converters.target import Options
from mmma.layout.det import Instance
from mmma.layout.root import DataRoot
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')
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


def mapping(tmp_path, **changes):
    path = tmp_path / 'mine.json'
    path.write_text(json.dumps({**json.loads(RELEASE.read_text()), **changes}))
    return Options(mapping=path)


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
    failed = {r.check.name for r in report.results if r.status == 'failed'}
    assert failed == {'published margins', 'videos'}


@pytest.mark.parametrize(
    ('row', 'video'),
    [
        (f'street/a.mp4 {NODDING}', 'x/a.mp4'),  # a folder of the path
        (f'a.mp4 {NODDING}', 'street_interviews/train/a.mp4'),  # a folder of the video
    ],
)
def test_the_domain_of_one_list_for_all(tree, tmp_path, row, video):
    files = {'train_list_videos.txt': row, 'label_name.txt': NAMES, video: b'x'}
    convert('mma82', tree(files), tmp_path / 'out')
    (clip,) = DataRoot(tmp_path / 'out').read_rec()
    assert (clip.domain, clip.path) == ('street', 'videos/street/train/a.mp4')
    assert (tmp_path / 'out' / clip.path).is_file()


def test_nothing_tells_the_domain(tree, tmp_path):
    files = {'train_list_videos.txt': f'a.mp4 {NODDING}', 'label_name.txt': NAMES}
    with pytest.raises(ValueError, match=r'txt:1: a\.mp4: nothing tells the domain'):
        convert('mma82', tree(files), tmp_path / 'out')
    options = mapping(tmp_path, default_domain='emotion')
    convert('mma82', tree(files), tmp_path / 'out', options)
    assert DataRoot(tmp_path / 'out').read_rec()[0].domain == 'emotion'


def test_a_mapping_of_ones_own(tree, tmp_path):
    header = 'file\tsplit\tscene\tperson\tname\tgroup\tfrom\tto'
    row = 'x/c1.avi\tTraining\tclinic\tp9\tNodding\tHead\t0.5\t2'
    files = {'all.tsv': f'{header}\n{row}\n'}
    columns = {
        'path': 'file',
        'subset': 'split',
        'domain': 'scene',
        'subject': 'person',
        'action': 'name',
        'body': 'group',
        'start_sec': 'from',
        'end_sec': 'to',
    }
    rec = {'files': ['all.tsv'], 'delimiter': '\t', 'header': True, 'columns': columns}
    options = mapping(tmp_path, rec=rec, domains={'Clinic': 'psychiatric'})
    convert('mma82', tree(files), tmp_path / 'out', options)
    (clip,) = DataRoot(tmp_path / 'out').read_rec()
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
def test_bad_rows_name_the_file_of_the_release(tree, tmp_path, row, message):
    columns = ['path', 'subset', 'domain', 'action', 'start_sec', 'end_sec']
    rec = {'files': ['all'], 'delimiter': ',', 'header': False, 'columns': columns}
    options = mapping(tmp_path, rec=rec)
    with pytest.raises(ValueError, match=rf'download/all:1: a: .*{message}'):
        convert('mma82', tree({'all': row}), tmp_path / 'out', options)


def test_another_layout_says_what_was_expected_and_how_to_describe_it(tree, tmp_path):
    source = tree({'annotations/train.jsonl': '{}', 'videos.zip': b'', 'a.mp4': b''})
    with pytest.raises(FileNotFoundError, match='no table of the release') as error:
        convert('mma82', source, tmp_path / 'out')
    text = str(error.value)
    assert 'recognition: {domain}/{subset}_list_videos.txt' in text
    assert 'It has annotations/train.jsonl and 1 videos' in text
    assert 'videos.zip skipped: an archive: unpack it first' in text
    assert f'copy {RELEASE}' in text
    assert '--mapping COPY' in text


def test_a_table_of_another_form_names_it(tree, tmp_path):
    source = tree({'lab/train_list_videos.txt': 'a.mp4 120 9\n'})
    with pytest.raises(ValueError, match=r'lab/train_list_videos\.txt:1: 3 columns'):
        convert('mma82', source, tmp_path / 'out')


def test_names_that_repeat_get_domain_and_subset(tree, tmp_path):
    files = {
        'label_name.txt': NAMES,
        'lab/train_list_videos.txt': f'0001.mp4 {NODDING}',
        'street/train_list_videos.txt': f'0001.mp4 {SWING}',
        'lab/0001.mp4': b'lab',
        'street/0001.mp4': b'street',
    }
    conversion = convert('mma82', tree(files), tmp_path / 'out')
    clips = DataRoot(tmp_path / 'out').read_rec()
    assert [clip.clip for clip in clips] == ['lab_train_0001', 'street_train_0001']
    contents = [(tmp_path / 'out' / clip.path).read_bytes() for clip in clips]
    assert contents == [b'lab', b'street']
    assert any('clip names repeat' in notice for notice in conversion.notices)


def test_detection_alone_and_its_placeholder(tree, tmp_path):
    rows = ''.join(f'{i},t{i},0,20,{i + 1},99,30\n' for i in range(4))
    files = {
        'label_name.txt': NAMES,
        'lab/val.csv': f'{CSV}0,0012_a,0,60,{NODDING},300,30\n'
        '1,0012_a,30,90,0,300,30\n',
        'lab/test.csv': CSV + rows,
    }
    conversion = convert('mma82', tree(files), tmp_path / 'out')
    (video,) = DataRoot(tmp_path / 'out').read_det()
    assert (video.subset, video.subject, len(video.instances)) == ('val', '0012', 2)
    notices = '\n'.join(conversion.notices)
    assert 'lab/test.csv skipped: a placeholder' in notices
    assert 'no recognition tables: looked for {domain}/' in notices


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        (f'0,v,9,3,{NODDING},9,30', r'val\.csv:2: v: frames 9 to 3'),
        ('0,v,0,3,99,9,30', r"val\.csv:2: v: action '99' is an index that nothing"),
        ('0,v,0,3,,9,30', 'an instance without an action'),
    ],
)
def test_bad_instances(tree, tmp_path, row, message):
    files = {'label_name.txt': NAMES, 'lab/val.csv': CSV + row}
    with pytest.raises(ValueError, match=message):
        convert('mma82', tree(files), tmp_path / 'out')


def test_a_video_without_a_domain(tree, tmp_path):
    files = {'label_name.txt': NAMES, 'val.csv': f'{CSV}0,v,0,3,{NODDING},9,30'}
    with pytest.raises(ValueError, match=r'val\.csv:2: v: nothing tells the domain'):
        convert('mma82', tree(files), tmp_path / 'out')


def test_detection_tables_without_fps(tree, tmp_path):
    old = CSV.replace(',fps', '')
    files = {'label_name.txt': NAMES, 'lab/val.csv': f'{old}0,v,0,3,{NODDING},9'}
    with pytest.raises(ValueError, match='no fps in the table'):
        convert('mma82', tree(files), tmp_path / 'out')
    convert('mma82', tree(files), tmp_path / 'out', mapping(tmp_path, fps=25))
    assert DataRoot(tmp_path / 'out').read_det()[0].fps == 25
