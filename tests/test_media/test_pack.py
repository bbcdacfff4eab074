import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from kill_points import kill_points
from mmengine.registry import DefaultScope
from pack_roots import contents, make_pack_root
from video_files import make_span_root, make_video, moving_frames, read_numbers

from mmma.data.arrays import SkeletonStore
from mmma.data.check import check_root
from mmma.data.root import DataRoot, read_info
from mmma.datasets.clips import ClipDataset
from mmma.files import only_writer, source_identity
from mmma.media import pack as packer
from mmma.media.encode import PackOptions
from mmma.media.pack import (
    JOURNAL_FILE,
    Journal,
    copy_table,
    move_joints,
    pack_root,
    packed_path,
)
from mmma.packets import VideoIndex, index_video, packed_index


def test_only_paths_change(det_root, tmp_path):
    paths = {'v/a.mp4': 'v/a.mp4', 'v/a.MP4': 'v/a.MP4', 'v/a.avi': 'v/a.avi.mp4'}
    assert {path: packed_path(path) for path in paths} == paths
    copy_table(DataRoot(det_root), tmp_path, 'det')
    assert (tmp_path / 'det.json').read_bytes() == (det_root / 'det.json').read_bytes()
    source = tmp_path / 'root'
    source.mkdir()
    (source / 'dataset.json').write_bytes((det_root / 'dataset.json').read_bytes())
    content = json.loads((det_root / 'det.json').read_text())
    content['version'] = '1'
    content['database']['lab_train_0']['path'] = 'videos/x.avi'
    content['database']['lab_train_0']['own'] = 7
    (source / 'det.json').write_text(json.dumps(content))
    (source / 'rec.csv').write_text(
        'clip,path,subset,domain,subject,action,body,own\n'
        'a,videos/a.mkv,train,lab,s,0,,"x, y"\nb,,train,lab,s,0,,\n'
    )
    for task in ('rec', 'det'):
        copy_table(DataRoot(source), tmp_path, task)
    content['database']['lab_train_0']['path'] = 'videos/x.avi.mp4'
    assert json.loads((tmp_path / 'det.json').read_text()) == content
    assert (tmp_path / 'rec.csv').read_text().splitlines()[1:] == [
        'a,videos/a.mkv.mp4,train,lab,s,0,,"x, y"',
        'b,,train,lab,s,0,,',
    ]


def test_joints_follow_the_crop():
    place = {'picture': [200, 100], 'crop': [50, 0, 100, 100], 'size': [40, 40]}
    points = np.array([[25.0, 0.0], [50.0, 25.0]])  # in a picture of 100 x 50
    assert move_joints(points, (100, 50), place).tolist() == [[0, 0], [20, 20]]


SMALL = PackOptions(short_side=32, gop=4)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Read it, change a copy."""
    return make_pack_root(tmp_path_factory.mktemp('pack') / 'root')


@pytest.fixture
def own_root(root, tmp_path):
    return shutil.copytree(root, tmp_path / 'own')


def pack(root, out, options=SMALL, workers=0, **how):
    return pack_root(DataRoot(root), out, options, workers=workers, **how)


def test_a_packed_root_is_whole_and_says_so(root, tmp_path):
    report = pack(root, tmp_path / 'out')
    assert (report.videos, report.packed, report.failures) == (4, 4, [])
    assert report.packed_bytes > 0
    assert report.complete
    assert check_root(tmp_path / 'out', decode=True, workers=0).ok
    info = read_info(tmp_path / 'out')
    assert info.packed == SMALL.as_dict()
    assert info.name == 'to-pack'
    paths = [clip.path for clip in DataRoot(tmp_path / 'out').read_rec()]
    assert paths[:2] == ['videos/0.mp4', 'videos/1.mkv.mp4']
    lines = (tmp_path / 'out/packing.jsonl').read_text().splitlines()
    header, first = json.loads(lines[0]), json.loads(lines[1])
    assert (header['source'], header['gop'], len(lines)) == ('to-pack', 4, 5)
    assert (first['path'], first['frames']) == ('videos/0.mp4', 12)
    pack(root, tmp_path / 'again', workers=2)
    assert contents(tmp_path / 'again') == contents(tmp_path / 'out')


def test_the_journal_keeps_what_packets_tell(root, tmp_path):
    out = tmp_path / 'out'
    pack(root, out)
    files = sorted(map(str, out.rglob('*.mp4')))
    assert len(files) > 3
    for file in files:
        kept, read = packed_index(out, file), index_video(file)
        for name in VideoIndex.__dataclass_fields__:
            assert np.array_equal(getattr(kept, name), getattr(read, name)), name
    assert packed_index(root, files[0]) is None
    lines = (out / JOURNAL_FILE).read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if Path(files[0]).name in line)
    record = json.loads(lines[first])
    huge = {**record['index'], 'steps': [[1, 10**12]]}
    for index in (huge, {**record['index'], 'unit': [1, 0]}, [], None):
        lines[first] = json.dumps(record | {'index': index})
        (out / JOURNAL_FILE).write_text('\n'.join(lines))
        assert packed_index(out, files[0]) is None
        assert packed_index(out, files[1]) is not None
    Path(files[1]).write_bytes(Path(files[1]).read_bytes() + b'x')
    assert packed_index(out, files[1]) is None


def test_skeletons_move_into_the_new_picture(root, tmp_path):
    pack(root, tmp_path / 'out')
    old, new = (SkeletonStore(r, 'rec') for r in (root, tmp_path / 'out'))
    assert new.size('clip0') == (42, 32)  # videos 80 x 60, skeletons of 160 x 120
    points, scores = new.get('clip0')
    before, scores_before = old.get('clip0')
    assert points[..., 0] == pytest.approx(before[..., 0] * 42 / 160, abs=0.05)
    assert points[..., 1] == pytest.approx(before[..., 1] * 32 / 120, abs=0.05)
    assert (scores == scores_before).all()


@pytest.mark.parametrize(('rule', 'left'), [('largest', True), ('left', False)])
def test_a_crop_follows_one_person(root, tmp_path, rule, left):
    nobody = {'clip2': 7, 'clip': 0}  # keeps its picture; is none
    options = PackOptions(crop='person', margin=0, person=rule, by_name=nobody)
    with pytest.warns(UserWarning, match='1 names of --person are of no clip.*: clip$'):
        assert pack(root, tmp_path / 'out', options).uncropped == 1
    packed = read_info(tmp_path / 'out').packed
    found = packed['crop'], packed['person'], packed['uncropped']
    assert found == ('person', rule, 1)
    store = SkeletonStore(tmp_path / 'out', 'rec')
    assert store.size('clip2') == (80, 60)
    points, _ = store.get('clip0')
    followed = points[1 if left else 0]
    width, height = store.size('clip0')
    assert (followed >= -0.1).all()
    assert (followed <= [width + 0.1, height + 0.1]).all()
    span = followed[0, 1] - followed[0, 0]
    assert span == pytest.approx([20, 30] if left else [5, 5], abs=0.1)


def test_a_crop_of_a_part_else_of_the_person_else_the_picture(own_root, tmp_path):
    table = own_root / 'rec.csv'
    *lines, last = table.read_text().splitlines()
    name, path, *place = last.split(',')[:5]  # its truth is withheld
    table.write_text('\n'.join([*lines, ','.join([name, path, *place, '', '']), '']))
    made = {}
    for crop in ('person', 'head', 'legs'):
        options = PackOptions(crop=crop, margin=0, by_name={'clip0': 7})
        report = pack(own_root, tmp_path / crop, options)
        packed = read_info(tmp_path / crop).packed
        assert (packed['crop'], packed['uncropped'], report.packed) == (crop, 1, 4)
        assert packed.get('without_part') == {'head': 0, 'legs': 3}.get(crop)
        assert report.without_part == packed.get('without_part', 0)
        assert pack(own_root, tmp_path / crop, options).packed == 0
        made[crop] = contents(tmp_path / crop / 'videos')
    assert made['legs'] == made['person'] != made['head']
    store = SkeletonStore(tmp_path / 'head', 'rec')
    assert store.size('clip0') == (80, 60)
    for clip in DataRoot(tmp_path / 'head').read_rec()[1:]:
        eyes = store.get(clip.clip)[0][1]  # the larger person's
        assert (eyes > 0).all()
        assert (eyes < store.size(clip.clip)).all()
    assert clip.action is None


def test_only_what_changed_is_packed_anew(own_root, tmp_path):
    out = tmp_path / 'out'
    pack(own_root, out)
    before = contents(out)
    assert pack(own_root, out).packed == 0
    (out / 'videos/0.mp4').write_bytes(b'half')  # damaged afterwards
    assert pack(own_root, out).packed == 1
    assert contents(out) == before
    make_video(own_root / 'videos/0.mp4', moving_frames(12, 60, 80, 9), 25)
    report = pack(own_root, out)
    assert (report.packed, report.changed) == (1, 1)
    pack(own_root, tmp_path / 'fresh')
    assert contents(out) == contents(tmp_path / 'fresh')
    table = own_root / 'rec.csv'
    table.write_text(''.join(table.read_text().splitlines(keepends=True)[:3]))
    pack(own_root, out)  # videos that no table names any more go
    left = sorted(p.name for p in (out / 'videos').iterdir())
    assert left == ['0.mp4', '1.mkv.mp4']


def test_other_options_are_refused_or_forced(root, tmp_path):
    pack(root, tmp_path / 'out')
    other = PackOptions(short_side=32, gop=8)
    with pytest.raises(ValueError, match='packed differently: gop was 4, now 8; give'):
        pack(root, tmp_path / 'out', other)
    assert pack(root, tmp_path / 'out', other, force=True).packed == 4
    assert read_info(tmp_path / 'out').packed['gop'] == 8


def test_killed_anywhere_tables_are_of_one_pack(own_root, tmp_path):
    out, old = tmp_path / 'out', tmp_path / 'old'
    pack(own_root, out)
    (out / 'missing_sources.csv').write_text('source_video,domain\nx,lab\n')
    out.rename(old)
    rows = (own_root / 'rec.csv').read_text().splitlines(keepends=True)
    (own_root / 'rec.csv').write_text(''.join(rows[:-1]))
    found = set()
    for _ in kill_points(lambda: pack(own_root, out), step=3):
        if out.exists():
            try:
                root = DataRoot(out)
            except FileNotFoundError as error:
                found.add(str(error).partition(': ')[0])
            else:
                found.add(len(root.read_rec()))
                assert all((out / clip.path).is_file() for clip in root.read_rec())
            shutil.rmtree(out)
        shutil.copytree(old, out)
    assert found == {f'{out} is unfinished', 3, 4}


def test_failures_are_listed_and_leave_the_root_unfinished(own_root, tmp_path):
    (own_root / 'videos/2.mp4').write_bytes(b'')
    (own_root / 'videos/1.mkv').unlink()
    report = pack(own_root, tmp_path / 'out', workers=2)
    assert report.failures == [
        ('videos/1.mkv', 'no such file'),
        ('videos/2.mp4', 'zero bytes'),
    ]
    assert not report.complete
    assert not (tmp_path / 'out/dataset.json').exists()
    report = pack(own_root, tmp_path / 'out', allow_failures=True)
    assert (report.complete, report.packed) == (True, 0)
    packed = read_info(tmp_path / 'out').packed
    assert packed['failed'] == ['videos/1.mkv', 'videos/2.mp4']


def test_a_crash_is_a_failure_of_one_video(root, tmp_path, monkeypatch):
    whole = packer.pack_video

    def crash(source, *rest):
        return os._exit(3) if source.name == '2.mp4' else whole(source, *rest)

    monkeypatch.setattr(packer, 'pack_video', crash)
    report = pack(root, tmp_path / 'out', workers=2)
    assert report.failures == [('videos/2.mp4', 'the decoder crashes on it')]
    assert report.packed == 3


def test_disk_and_time_are_estimated_from_the_first_videos(tmp_path, monkeypatch):
    root = make_pack_root(tmp_path / 'root', clips=8)
    seen = []
    pack(root, tmp_path / 'out', on_estimate=lambda *now: seen.append(now))
    ((videos, size, seconds),) = seen
    real = sum(p.stat().st_size for p in (tmp_path / 'out/videos').iterdir())
    assert videos == 4
    assert seconds > 0
    assert size == pytest.approx(real / 2, rel=0.3)
    monkeypatch.setattr(
        packer.shutil, 'disk_usage', lambda _: SimpleNamespace(free=100)
    )
    with pytest.raises(ValueError, match=r'4 videos need about .* make room'):
        pack(root, tmp_path / 'small')
    monkeypatch.undo()
    assert pack(root, tmp_path / 'small').packed == 4  # the first ones were kept


def test_refused_roots(own_root, tmp_path):
    pack(own_root, tmp_path / 'out')
    with pytest.raises(ValueError, match='is packed already'):
        pack(tmp_path / 'out', tmp_path / 'again')
    with pytest.raises(ValueError, match='needs a folder of its own'):
        pack(own_root, own_root)
    with pytest.raises(FileNotFoundError, match="no table for task 'det'"):
        pack(own_root, tmp_path / 'det', tasks=['det'])
    make_video(own_root / 'videos/1.mkv.mp4', moving_frames(2))
    rows = (own_root / 'rec.csv').read_text()
    (own_root / 'rec.csv').write_text(rows.replace('videos/0.mp4', 'videos/1.mkv.mp4'))
    with pytest.raises(ValueError, match=r'would both become videos/1\.mkv\.mp4'):
        pack(own_root, tmp_path / 'twice')


def test_killed_at_random_it_ends_with_the_same_bytes(tmp_path):
    root, out = make_pack_root(tmp_path / 'root', clips=36), tmp_path / 'killed'
    pack(root, tmp_path / 'once')
    command = [sys.executable, '-m', 'mmma', 'data/pack', str(root), str(out)]
    command += ['--short-side=32', '--gop=4', '--workers=2']
    rng = random.Random(0)
    for _ in range(5):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        kept = journal_lines(out)
        while journal_lines(out) <= kept and process.poll() is None:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.03))
        process.kill()
        assert process.wait() != 0, 'it was done before it could be killed'
    assert 5 <= journal_lines(out) < 37  # the header, and of the first run no more
    subprocess.run(command, check=True, capture_output=True)
    assert contents(out) == contents(tmp_path / 'once')


def journal_lines(out):
    file = out / 'packing.jsonl'
    return len(file.read_text().splitlines()) if file.is_file() else 0


@pytest.mark.parametrize('times_ms', [None, [33 * i + i % 3 * 10 for i in range(75)]])
def test_each_span_is_cut_once_and_is_then_a_file(tmp_path, times_ms):
    rows = [
        'a,videos/talk.mp4,train,1,,0,1',
        'b,videos/talk.mp4,train,2,,1,2.001',
        'again,videos/talk.mp4,train,2,,1.0,2.001',
        'c,,train,3,videos/talk.mp4,2.0,2.33',
        'whole,videos/talk.mp4,train,4,,,',
    ]
    root = make_span_root(tmp_path / 'root', rows, times_ms=times_ms)
    report = pack(root, tmp_path / 'out', PackOptions(short_side=32, crf=1))
    assert (report.videos, report.packed, report.failures) == (4, 4, [])
    assert report.source_bytes == (root / 'videos/talk.mp4').stat().st_size
    assert check_root(tmp_path / 'out', decode=True, workers=0).ok
    clips = DataRoot(tmp_path / 'out').read_rec()
    assert [(clip.path, clip.span) for clip in clips] == [
        ('videos/talk_0.0-1.0.mp4', None),
        ('videos/talk_1.0-2.001.mp4', None),
        ('videos/talk_1.0-2.001.mp4', None),
        ('videos/talk_2.0-2.33.mp4', None),
        ('videos/talk.mp4', None),
    ]
    assert {clip.source_video for clip in clips[:4]} == {'videos/talk.mp4'}
    steps = [
        {'type': 'OpenVideo'},
        {'type': 'UniformFrames', 'clip_len': 60, 'test_mode': True},
        {'type': 'DecodeFrames'},
    ]
    numbers = []
    with DefaultScope.overwrite_default_scope('mmma'):
        for data in (root, tmp_path / 'out'):
            dataset = ClipDataset(data, 'train', steps)
            samples = [dataset[i] for i in range(len(rows))]
            numbers.append([read_numbers(sample['imgs']) for sample in samples])
    assert numbers[0] == numbers[1]
    assert pack(root, tmp_path / 'out', PackOptions(short_side=32, crf=1)).packed == 0


def test_a_span_beyond_its_file_is_not_packed(tmp_path):
    rows = ['a,videos/talk.mp4,train,1,,2,4', 'b,videos/talk.mp4,train,2,,0,1']
    report = pack(make_span_root(tmp_path / 'root', rows), tmp_path / 'out')
    assert not report.complete
    ((path, reason),) = report.failures
    assert path == 'videos/talk.mp4 2.0-4.0 s'
    assert 'end_sec 4.0 ends after the file, which has 75 frames in 3.00 s' in reason


@pytest.fixture
def source(tmp_path):
    file = tmp_path / 'a.avi'
    file.write_bytes(b'12345')
    return file


PLACE = {'picture': [2, 2], 'crop': [0, 0, 2, 2], 'size': [2, 2]}


def add(journal, out, source, path='a.avi'):
    (out / 'a.mp4').write_bytes(b'123')
    record = {'path': path, 'packed': 'a.mp4', 'bytes': 3, **PLACE}
    journal.add({**record, **source_identity(source)})


def test_a_line_that_was_cut_off_does_not_count(tmp_path, source):
    out = tmp_path / 'out'
    journal = Journal(out, {'gop': 4}, force=False)
    add(journal, out, source)
    with (out / JOURNAL_FILE).open('a') as file:
        file.write('{"path": "b.avi", "pac')
    again = Journal(out, {'gop': 4}, force=False)
    assert again.holds('a.avi', source)
    assert not again.holds('b.avi', source)
    assert (out / JOURNAL_FILE).read_text().count('\n') == 2
    with pytest.raises(ValueError, match='packed differently: gop was 4, now 5; give'):
        Journal(out, {'gop': 5}, force=False)
    assert not Journal(out, {'gop': 5}, force=True).holds('a.avi', source)


def test_changes_that_make_a_record_void(tmp_path, source):
    out = tmp_path / 'out'
    journal = Journal(out, {}, force=False)
    add(journal, out, source)
    assert journal.holds('a.avi', source)
    (out / 'a.mp4').write_bytes(b'1234')
    assert not journal.holds('a.avi', source)
    add(journal, out, source)
    source.write_bytes(b'123456')
    assert not journal.holds('a.avi', source)
    source.unlink()
    assert not journal.holds('a.avi', source)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / 'mine.txt').touch()
    with pytest.raises(ValueError, match='not empty and was not packed'):
        Journal(tmp_path, {}, force=True)


def test_what_a_kill_in_the_first_moment_leaves_is_no_content(tmp_path):
    for name in ('.packing.jsonl.part', '.packing.jsonl.12-ab.part', '.mmma.lock'):
        (tmp_path / name).touch()
    (tmp_path / '.rec.part').mkdir()
    Journal(tmp_path, {}, force=False)


@pytest.mark.parametrize(
    'damage',
    [
        '',
        '[]\n',
        'x\n{}\n',
        '{}\n{}\n',
        '{}\n[1]\n',
        '{}\n{"packed": "../../a"}\n',
        '\0\n',
    ],
)
def test_a_damaged_journal_is_named_and_begun_anew_if_asked(tmp_path, damage):
    (tmp_path / 'a.mp4').touch()
    (tmp_path / JOURNAL_FILE).write_text(damage)
    told = r'packing\.jsonl: not of this program, or damaged .*: delete .*--force'
    with pytest.raises(ValueError, match=told):
        Journal(tmp_path, {'gop': 4}, force=False)
    assert Journal(tmp_path, {'gop': 4}, force=True).records == {}
    assert Journal(tmp_path, {'gop': 4}, force=False).records == {}


def test_one_of_two_that_pack_into_a_folder_works(det_root, tmp_path):
    out = tmp_path / 'out'
    with only_writer(out):
        code = f"""
from pathlib import Path
from mmma.data.root import DataRoot
from mmma.media.pack import PackOptions, pack_root
pack_root(DataRoot({str(det_root)!r}), Path({str(out)!r}), PackOptions())
"""
        run = subprocess.run(
            [sys.executable, '-c', code], capture_output=True, text=True
        )
    assert f'{out}: another process is at work here: wait for it' in run.stderr
    assert not out.exists()
