"""Releases whose clips are spans of source videos, some of which cannot be had."""

import json

import pytest
from video_files import make_video, numbered_frames, read_numbers

from mmma.convert import Options, convert
from mmma.convert.mma82 import RELEASE
from mmma.data.check import check_root
from mmma.data.clips import span_frames
from mmma.data.root import MISSING_FILE, DataRoot
from mmma.video import open_video

HEAD = 'file,split,scene,label,source,from,to'
COLUMNS = {
    **{'path': 'file', 'subset': 'split', 'domain': 'scene', 'action': 'label'},
    **{'source_video': 'source', 'start_sec': 'from', 'end_sec': 'to'},
}


@pytest.fixture
def spans(run, mapping_file):
    """Converts rows of a table of spans, with these further files."""

    def convert_rows(rows, files=(), **options):
        content = json.loads(RELEASE.read_text())
        rec = {'files': ['all.csv'], 'delimiter': ',', 'header': True}
        content['rec'] = {**rec, 'columns': COLUMNS}
        table = '\n'.join([HEAD, *rows])
        names = {'all.csv': table, **dict.fromkeys(files, b'x')}
        root, conversion = run('mma82', names, mapping=mapping_file(content), **options)
        no_det, *conversion.notices = conversion.notices
        assert no_det.startswith('no detection tables')
        return root, conversion

    return convert_rows


@pytest.fixture
def sources(tmp_path):
    def make(*names):
        for name in names:
            file = tmp_path / 'sources' / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(name.encode())
        return tmp_path / 'sources'

    return make


def found(root):
    """Source, path, span and content of each clip."""
    return [
        (c.clip, c.path, c.span, root.video_path(c.path).read_bytes().decode())
        for c in root.read_rec()
    ]


def test_clips_are_spans_of_sources_and_what_is_missing_is_listed(
    spans, sources, capsys
):
    rows = [
        'a1,train,street,nodding,V001,0,1',
        'a2,test,street,nodding,V001,1,1.5',
        'a3,test,street,nodding,V011,00:00:02,0:03',
        'a4,train,street,nodding,V011,3,4',
        'b1,test,psychiatric,nodding,V002,0,1',
        'c1,test,lab,nodding,,,',
    ]
    folder = sources('V001.mp4', 'psychiatric/V002.mkv')
    root, conversion = spans(rows, ['lab/c1.mp4'], sources=folder)
    assert found(root) == [
        ('a1', 'videos/sources/street/V001.mp4', (0, 1), 'V001.mp4'),
        ('a2', 'videos/sources/street/V001.mp4', (1, 1.5), 'V001.mp4'),
        ('b1', 'videos/sources/psychiatric/V002.mkv', (0, 1), 'psychiatric/V002.mkv'),
        ('c1', 'videos/lab/test/c1.mp4', None, 'x'),
    ]
    assert (root.path / MISSING_FILE).read_text() == (
        'source_video,domain,clips,videos\nV011,street,2,0\n'
    )
    assert len((root.path / 'rec.csv').read_text().splitlines()) == 7
    text = '\n'.join(conversion.lines())
    assert 'rec.csv: 2 train + 4 test clips' in text
    assert 'test: 1 of 2 clips of street' in text
    assert 'train: 1 of 2 clips of street' in text
    assert '1 source videos, such as V011 of street, are in neither' in text
    assert 'videos: 3 put in place, 0 absent' in text
    assert capsys.readouterr().err.count('test: 1 of 2 clips of street') == 1
    report = check_root(root.path)
    texts = {problem.text.split(': ')[-1] for problem in report.checks['videos']}
    assert not any('no such file' in text for text in texts)  # but no video either
    assert any('1 of 2 clips of street' in line for line in report.lines())
    (folder / 'V011.mp4').write_bytes(b'back')
    root, conversion = spans(rows, sources=folder, force=True)
    assert len(root.read_rec()) == 6
    assert not (root.path / MISSING_FILE).exists()
    assert conversion.notices == []


@pytest.mark.parametrize(
    ('source', 'file'),
    [
        ('V001', 'V001.MP4'),
        ('V001.mp4', 'v001.mp4'),
        ('v001.avi', 'deep/V001.mp4'),
        ('CAER/train/Anger/0001', 'train/Anger/0001.avi'),
        ('Anger/0001.avi', 'CAER/train/Anger/0001.avi'),
        ('A\u0308 1.v2', '\u00c4 1.v2.mkv'),
        ('\u00c4 1', 'A\u0308 1.mp4'),
        ('/data/raw/V001.mp4', 'V001.mp4'),
        ('https://example.org/watch?v=V001', 'watch?v=V001.mp4'),
    ],
)
def test_sources_are_found_however_they_are_written(spans, sources, source, file):
    folder = sources(file, 'train/Happy/0001.avi')
    row = f'gone/a.mp4,test,emotion,nodding,{source},1,2.5'
    root, conversion = spans([row], sources=folder)
    ((_, path, span, content),) = found(root)
    assert (span, content) == ((1, 2.5), file)
    assert path.startswith('videos/sources/emotion/')
    assert conversion.notices == []


def test_spans_without_names_of_their_own(spans, sources):
    rows = [
        'V001.mp4,test,street,nodding,V001,1,2',
        'V001.mp4,test,street,swing body,V001,1,2',  # two at one time
        'V001.mp4,test,street,nodding,V001,1.0,2.0',  # the first again
        ',train,street,nodding,V001,00:01:00,00:01:01',
        'V001.mp4,test,street,nodding,V001,1,2.5',
    ]
    root, conversion = spans(rows, sources=sources('V001.mp4'))
    assert [(clip.clip, clip.span) for clip in root.read_rec()] == [
        ('V001_1.0-2.0', (1, 2)),
        ('V001_1.0-2.0_2', (1, 2)),
        ('V001_60.0-61.0', (60, 61)),
        ('V001_1.0-2.5', (1, 2.5)),
    ]
    (notice,) = conversion.notices
    assert notice == (
        'all.csv: 1 rows with the span and the action of another are left out'
    )


def test_a_list_of_spans_as_of_kinetics(run, mapping_file, sources):
    content = json.loads(RELEASE.read_text())
    columns = ['source_video', 'start_sec', 'end_sec', 'action']
    content['rec'] |= {'files': ['{domain}/{subset}_list.txt'], 'columns': columns}
    lines = 'my film 0:01 0:02 4\nmy film 1.5 2,5 4\nB.mp4 0 0.04 -1\nB.mp4 0 0.04 -1\n'
    files = {'street/test_list.txt': lines, 'label_name.txt': '4 nodding\n'}
    folder = sources('My Film.mov', 'b.mp4')
    root, _ = run('mma82', files, mapping=mapping_file(content), sources=folder)
    assert [clip[0::2] for clip in found(root)] == [
        ('my film_1.0-2.0', (1, 2)),
        ('my film_1.5-2.5', (1.5, 2.5)),
        ('B_0.0-0.04', (0, 0.04)),
        ('B_0.0-0.04_2', (0, 0.04)),  # withheld: perhaps another action
    ]


def test_files_that_are_cut_are_taken_whole_and_before_their_source(spans, sources):
    rows = [
        'a1.mp4,test,street,nodding,V001,12,13',
        'a2.mp4,test,street,nodding,V001,14,15',
        'V002.mp4,test,street,nodding,V002,0,2',
    ]
    files = ['street/a1.mp4', 'street/test/V002.mp4']
    root, conversion = spans(rows, files, sources=sources('V001.mp4'))
    assert [(path, span) for _, path, span, _ in found(root)] == [
        ('videos/street/test/a1.mp4', None),
        ('videos/sources/street/V001.mp4', (14, 15)),
        ('videos/street/test/V002.mp4', (0, 2)),
    ]
    first = root.read_rec()[0]
    assert (first.source_video, first.span) == ('V001', None)
    assert '1 clips have a file of their own' in ' '.join(conversion.notices)


def test_a_file_of_another_domain_is_not_taken(spans, sources):
    rows = ['a,test,street,nodding,V001,1,2', '0001.mp4,test,street,nodding,,,']
    folder = sources('psychiatric/V001.mp4')
    root, conversion = spans(rows, ['lab/0001.mp4'], sources=folder)
    assert (root.path / MISSING_FILE).read_text().endswith('V001,street,1,0\n')
    assert conversion.absent == {'videos/street/test/0001.mp4'}
    (clip,) = root.read_rec()  # its absence has no reason: an error in use
    assert [str(p) for p in check_root(root.path).checks['videos']] == [
        f'{root.path}/rec.csv:3: 0001: {clip.path}: no such file'
    ]


def test_without_the_folder_sources_of_the_release_are_taken_or_listed(spans):
    rows = ['a,test,street,nodding,V001,1,2', 'b,val,street,nodding,V002,1,2']
    root, conversion = spans(rows, ['raw/train/V001.mp4'])
    assert [path for _, path, *_ in found(root)] == ['videos/sources/street/V001.mp4']
    assert 'nor no folder (--sources): missing_sources.csv' in conversion.notices[0]


def test_sources_inside_the_release_and_links_that_are_not_followed(
    spans, tmp_path, sources
):
    folder = tmp_path / 'download/raw'
    elsewhere = sources('V002.mp4')
    folder.mkdir(parents=True)
    (folder / 'more').symlink_to(elsewhere)
    rows = ['a,test,street,nodding,V001,1,2', 'b,test,street,nodding,V002,1,2']
    root, conversion = spans(rows, ['raw/V001.mp4'], sources=folder)
    assert root.incomplete('rec') == ['test: 1 of 2 clips of street']
    links, missing = conversion.notices
    assert 'links to folders were not followed: more' in links
    assert missing.startswith('1 source videos, such as V002 of street')


def test_what_is_wrong_with_sources(spans, sources, run, tmp_path):
    row = 'a,test,street,nodding,V001,1,2'
    for rows, files, message in (
        ([row], ('V001.mp4', 'old/V001.mp4'), "'V001'.* could be V001.mp4 or old/V001"),
        ([',test,street,nodding,,,'], (), 'neither a path nor a source_video'),
        (['a,test,street,nodding,V001,1,1'], (), '0 <= start_sec < end_sec'),
        (['a,test,street,nodding,V001,1,'], (), '0 <= start_sec < end_sec'),
    ):
        with pytest.raises(ValueError, match=message):
            spans(rows, sources=sources(*files))
        assert not (tmp_path / 'out').exists()
    (tmp_path / 'other/videos').mkdir(parents=True)
    inside = Options(sources=tmp_path / 'other/videos', force=True)
    with pytest.raises(ValueError, match=r'other and .*other/videos overlap'):
        convert('mma82', tmp_path / 'download', tmp_path / 'other', inside)
    with pytest.raises(FileNotFoundError, match='gone: no such folder'):
        spans([row], sources=tmp_path / 'gone')
    with pytest.raises(ValueError, match='--sources is for mma82, not for ma52'):
        run('ma52', {}, sources=tmp_path)


def test_untrimmed_videos_are_sources_too(run, sources, tmp_path):
    head = 'id,video_id,start_frame,end_frame,class,total_frames,fps\n'
    rows = [f'{i},{name},0,9,0,30,30\n' for i, name in enumerate(('V001', 'V011'))]
    files = {'label_name.txt': '0 nodding\n', 'street/val.csv': head + ''.join(rows)}
    root, _ = run('mma82', files, sources=sources('V001.mp4'))
    (video,) = root.read_det()
    assert (video.video, video.path) == ('V001', 'videos/sources/street/V001.mp4')
    assert root.incomplete('det') == ['val: 1 of 2 videos of street']
    assert root.incomplete('rec') == []
    other = convert('mma82', tmp_path / 'download', tmp_path / 'other', Options())
    assert len(other.absent) == 2  # no list: they are an error in use
    assert not (tmp_path / 'other' / MISSING_FILE).exists()


def test_frames_of_a_source_are_those_of_the_span(spans, tmp_path):
    make_video(tmp_path / 'sources/V001.mp4', numbered_frames(75), 25)
    rows = ['a,test,street,nodding,V001,1,1.2', 'b,test,street,nodding,V001,2,2.04']
    root, _ = spans(rows, sources=tmp_path / 'sources')
    assert check_root(root.path, decode=True, workers=0).checks['decoding'] == []
    clips = DataRoot(root.path).read_rec()
    with open_video(root.video_path(clips[0].path)) as video:
        seen = [
            read_numbers(
                video.get_frames(
                    range(*span_frames(video.times_sec, video.duration_sec, c.span)[:2])
                )
            )
            for c in clips
        ]
    assert seen == [[25, 26, 27, 28, 29], [50]]
