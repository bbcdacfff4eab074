import json
import os
import pickle
import shutil
from pathlib import PurePosixPath

import numpy as np
import pytest
from kill_points import kill_points

from mmma.convert import convert
from mmma.convert.target import (
    Options,
    SourceTree,
    UserMapping,
    subject_of,
)
from mmma.data.clips import split_name
from mmma.data.root import DataRoot
from mmma.taxonomy import load_label_space


def test_files_nearest_to_the_top_come_first(tree, tmp_path):
    source = SourceTree(tree({'b/train.csv': '', 'train.csv': '', '.cache/x.csv': ''}))
    assert [str(file) for file in source.files] == ['train.csv', 'b/train.csv']
    assert source.find('test.csv', 'train.csv') == source.path / 'train.csv'
    assert source.find('test.csv') is None
    with pytest.raises(FileNotFoundError, match='no such folder to convert from'):
        SourceTree(tmp_path / 'gone')


@pytest.mark.parametrize(
    ('files', 'name', 'found'),
    [
        (['a.mp4'], 'a.mp4', 'a.mp4'),
        (['x/a.avi'], 'a.mp4', 'x/a.avi'),
        (['x/a.MP4'], 'a', 'x/a.MP4'),
        (['x/a.b.mp4'], 'a.b', 'x/a.b.mp4'),
        (['x/a.txt'], 'a', None),
        (['train/a.mp4', 'val/a.mp4'], 'a.mp4', 'train/a.mp4'),
        (['train/a.mp4', 'a.mp4'], 'a.mp4', 'train/a.mp4'),
        (['val/a.mp4'], 'a.mp4', None),
        (['lab/a.mp4', 'street/a.mp4'], 'street/a.mp4', 'street/a.mp4'),
        (['lab/a.mp4', 'Street/a.mp4'], 'a.mp4', 'Street/a.mp4'),
        (['a.avi', 'a.mp4'], 'a.mp4', 'a.mp4'),
    ],
)
def test_which_video_a_table_means(tree, files, name, found):
    source = SourceTree(tree(dict.fromkeys(files, 'x')))
    expected = PurePosixPath(found) if found else None
    assert source.find_video(name, 'train', ['street']) == expected


def test_several_videos_that_fit(tree):
    source = SourceTree(tree({'x/a.mp4': '', 'y/a.mp4': ''}))
    with pytest.raises(ValueError, match=r'could be x/a\.mp4 or y/a\.mp4'):
        source.find_video('a.mp4', 'train')


def test_names_taken_apart():
    names = {'x/a.mp4': ('a', '.mp4'), 'a.AVI': ('a', '.AVI'), 'a.b': ('a.b', '.mp4')}
    assert {name: split_name(name) for name in names} == names
    subjects = {'0003_01_0001': '0003', 'test0000': '', '_x': ''}
    assert {name: subject_of(name) for name in subjects} == subjects


def test_the_longest_start_of_a_name_gives_the_domain(mapping_file):
    mapping = UserMapping.read(
        mapping_file({'domains': {'s': 'street', 's_em': 'emotion'}})
    )
    domains = {'s_1': 'street', 's_em1': 'emotion', 'x': 'lab'}
    assert {name: mapping.domain_of(name) for name in domains} == domains


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', r'mapping\.json:1: not readable as JSON: Expecting'),
        ('[1]', r'mapping\.json: must be an object, not \[1\]'),
        ('3', 'must be an object, not 3'),
        ('null', 'must be an object, not None'),
        ({'action_names': 'x'}, "action_names must be an object, not 'x'"),
        ({'action_names': 1.5}, r'action_names must be an object, not 1\.5'),
        ({'action_names': {'a': 3}}, r'action_names\.a must be text, not 3'),
        ({'action_names': {'a': None}}, r'action_names\.a must be text, not None'),
        ({'domains': [1]}, r'domains must be an object, not \[1\]'),
        ({'subsets': 'x'}, "subsets must be an object, not 'x'"),
        ({'subsets': {'a': ['train']}}, r'subsets\.a must be text'),
        ({'first_index': True}, 'first_index True: use 0 or 1'),
        ({'domain': 3}, 'unknown domain 3'),
        ({'action_name': {}}, "unknown key 'action_name'.*'action_names'"),
        ({'layout': {}}, "unknown key 'layout'"),
        ({'label_space': 'mma28'}, "unknown label_space 'mma28'.*'mma82'"),
        ({'domain': 'labor'}, "unknown domain 'labor'"),
        ({'domains': {'a': 'x'}}, "unknown domain 'x'"),
        ({'subsets': {'a': 'x'}}, "unknown subset 'x'"),
        ({'splits': {'a': 'training'}}, "'training'.*Did you mean 'train'"),
        ({'first_index': 2}, 'first_index 2: use 0 or 1'),
    ],
)
def test_bad_mappings(mapping_file, content, message):
    keys = ('action_names', 'first_index', 'subsets', 'splits')
    with pytest.raises(ValueError, match=message):
        UserMapping.read(mapping_file(content), *keys)


def test_no_mapping(tmp_path):
    assert UserMapping.read(None) == UserMapping()
    with pytest.raises(FileNotFoundError, match=r'gone\.json: no such file'):
        UserMapping.read(tmp_path / 'gone.json')


LIST = {'train_list_videos.txt': 'a_1.mp4 9\n', 'train/a_1.mp4': b'film'}


@pytest.fixture
def target(tmp_path):
    return tmp_path / 'out/videos/train/a_1.mp4'


@pytest.mark.parametrize('how', ['link', 'copy', 'no links'])
def test_videos_are_linked_or_copied(tree, tmp_path, target, monkeypatch, how):
    def refuse(*_):
        raise OSError('another file system')

    if how == 'no links':
        monkeypatch.setattr(os, 'link', refuse)
    source = tree(LIST)
    options = Options(videos='copy' if how == 'copy' else 'link')
    assert convert('ma52', source, tmp_path / 'out', options).placed == 1
    assert target.read_bytes() == b'film'
    assert not target.is_symlink()
    assert os.path.samefile(target, source / 'train/a_1.mp4') == (how == 'link')


def test_a_link_in_the_download_is_followed(tree, tmp_path, target):
    source = tree({'train_list_videos.txt': 'a_1.mp4 9\n', 'blob': b'film'})
    (source / 'a_1.mp4').symlink_to('blob')
    convert('ma52', source, tmp_path / 'out')
    assert not target.is_symlink()
    assert target.read_bytes() == b'film'


def test_a_link_out_of_the_download_is_refused_by_name(tree, tmp_path, target):
    private = tmp_path / 'private.txt'
    private.write_bytes(b'secret')
    deep = tmp_path / 'blobs'
    deep.mkdir()
    (deep / 'x').write_bytes(b'secret')
    for to in (private, deep / 'x', tmp_path / 'gone'):
        source = tree({'train_list_videos.txt': 'a_1.mp4 9\n'})
        (source / 'a_1.mp4').unlink(missing_ok=True)
        (source / 'a_1.mp4').symlink_to(to)
        with pytest.raises(ValueError, match=r'a_1\.mp4 is a link out of .* to /'):
            convert('ma52', source, tmp_path / 'out')
        assert not (tmp_path / 'out').exists()
    (source / 'a_1.mp4').unlink()
    (source / 'train_list_videos.txt').unlink()
    (source / 'train_list_videos.txt').symlink_to(private)  # a table as well
    with pytest.raises(ValueError, match=r'list_videos\.txt is a link out of'):
        convert('ma52', source, tmp_path / 'out')
    assert private.read_bytes() == b'secret'


def test_links_to_the_blobs_of_a_cache_are_followed(tree, tmp_path, target):
    cache = tmp_path / 'datasets--x'
    source = cache / 'snapshots/1234'
    (source / 'train').mkdir(parents=True)
    (cache / 'blobs').mkdir()
    for name, content in LIST.items():
        blob = cache / 'blobs' / str(len(name))
        blob.write_bytes(content.encode() if isinstance(content, str) else content)
        (source / name).symlink_to(os.path.relpath(blob, (source / name).parent))
    convert('ma52', source, tmp_path / 'out')
    assert target.read_bytes() == b'film'


def test_none_says_where_the_videos_belong(tree, tmp_path, target):
    conversion = convert('ma52', tree(LIST), tmp_path / 'out', Options(videos='none'))
    assert not (tmp_path / 'out' / 'videos').exists()
    assert (conversion.placed, len(conversion.absent)) == (0, 1)
    assert conversion.notices[-1] == (
        '1 videos are not in place: put them where the tables expect them, such as '
        f'{target}'
    )


def test_a_folder_that_is_not_empty_needs_force(tree, tmp_path):
    out = tmp_path / 'out'
    (out / 'skeletons').mkdir(parents=True)
    (out / 'det.json').write_text('old')
    (out / 'mine.txt').write_text('kept')
    with pytest.raises(ValueError, match='is not empty: give --force'):
        convert('ma52', tree(LIST), out)
    assert (out / 'det.json').read_text() == 'old'
    conversion = convert('ma52', tree(LIST), out, Options(force=True))
    assert not (out / 'det.json').exists()
    assert (out / 'mine.txt').read_text() == 'kept'
    assert any('skeletons was there before' in text for text in conversion.notices)


def test_force_never_writes_through_an_old_link(tree, tmp_path, target):
    source = tree(LIST)
    convert('ma52', source, tmp_path / 'out')
    (source / 'train/a_1.mp4').unlink()
    (source / 'train/a_1.mp4').write_bytes(b'new')
    (tmp_path / 'other').hardlink_to(target)
    convert('ma52', source, tmp_path / 'out', Options(videos='copy', force=True))
    assert (tmp_path / 'other').read_bytes() == b'film'


def test_killed_anywhere_a_root_is_the_old_the_new_or_refused(tree, tmp_path):
    source, old, out = tree(LIST), tmp_path / 'old', tmp_path / 'out'
    convert('ma52', source, old)
    (source / 'train/a_1.mp4').unlink()
    tree({'train_list_videos.txt': 'a_1.mp4 2\n', 'train/a_1.mp4': b'new'})

    def seen():
        try:
            (row,) = DataRoot(out).read_rec()
        except FileNotFoundError as error:
            return str(error).partition('.py was')[0]
        return row.action, (out / row.path).read_bytes()

    shutil.copytree(old, out)
    refused = f'{out} is unfinished: tools/data/convert'
    expected, found = {refused, seen(), (2, b'new')}, set()
    options = Options(force=True)
    for _ in kill_points(lambda: convert('ma52', source, out, options), step=2):
        found.add(seen())
        convert('ma52', source, out, Options(force=seen() != refused))  # it goes on
        assert seen() == (2, b'new')
        assert sorted(os.listdir(out)) == ['dataset.json', 'rec.csv', 'videos']
        shutil.rmtree(out)
        shutil.copytree(old, out)
    assert found == expected


def test_a_conversion_that_fails_leaves_the_old_root(tree, tmp_path, monkeypatch):
    source, out = tree(LIST), tmp_path / 'out'
    convert('ma52', source, out)
    before = DataRoot(out).fingerprint()
    tree({'train_list_videos.txt': 'a_1.mp4 9\na_2.mp4 9\n', 'train/a_2.mp4': b'2'})
    for broken in ('link_or_copy', 'write_rec'):
        monkeypatch.setattr(f'mmma.convert.target.{broken}', lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            convert('ma52', source, out, Options(force=True))
        assert DataRoot(out).fingerprint() == before
        assert sorted(os.listdir(out)) == ['dataset.json', 'rec.csv', 'videos']


def test_folders_that_overlap(tree):
    source = tree(LIST)
    for inner in ('.', 'root', '..'):
        with pytest.raises(ValueError, match='overlap: convert into another folder'):
            convert('ma52', source, source / inner, Options(force=True))


def test_bad_usage(tree, tmp_path):
    for kind, options, message in (
        ('mma52', Options(videos='symlink'), "unknown --videos 'symlink'"),
        ('mma52', Options(fps=0), r'--fps 0: must be 1\.\.1000'),
        ('ma25', None, r"format 'ma25'.*Did you mean 'ma52'"),
    ):
        with pytest.raises(ValueError, match=message):
            convert(kind, tree(LIST), tmp_path / 'out', options)


def test_what_does_not_hold_is_left_out_and_told(tree, tmp_path):
    train, val = 'a.mp4 9\nb.mp4 9\n', 'a.mp4 9\n'
    source = tree({'train_list_videos.txt': train, 'val_list_videos.txt': val})
    out = tmp_path / 'out'
    found = convert('ma52', source, out)
    left = [(clip.clip, clip.subset) for clip in DataRoot(out).read_rec()]
    assert left == [('a', 'train'), ('b', 'train')]
    (note,) = (note for note in found.notices if 'duplicate clip' in note)
    assert note.startswith('1 of 3 rows repaired or left out of rec.csv: a: dup')
    assert found.absent == {'videos/train/a.mp4', 'videos/train/b.mp4'}
    with pytest.raises(ValueError, match='a: duplicate clip'):
        convert('ma52', source, tmp_path / 'strict', Options(strict=True))
    assert not (tmp_path / 'strict').exists()


def test_nothing_is_written_outside_of_the_root(tree, tmp_path):
    head = 'video_id,start_frame,end_frame,class,total_frames,fps\n'
    rows = [f'{video},0,9,3,90,30\n' for video in ('v', 'w', '../../../../x')]
    source = tree({'train.csv': head + ''.join(rows), 'x.mp4': '', 'v.mp4': ''})
    found = convert('mma52', source, tmp_path / 'out')
    assert [v.video for v in DataRoot(tmp_path / 'out').read_det()] == ['v', 'w']
    assert [*found.files, *found.absent] == ['videos/train/v.mp4', 'videos/train/w.mp4']
    assert any('1 of 3 videos left out of det.json' in n for n in found.notices)


def database(*labels):
    entry = {'subset': 'training', 'duration': 9.0, 'fps': 5, 'frame': 45}
    entry['annotations'] = [{'segment': [i, i + 1], 'label': x} for i, x in labels]
    return json.dumps({'database': {'v': entry}})


def skeletons(*labels):
    clip = {'img_shape': (9, 9), 'total_frames': 1, 'keypoint': np.ones((1, 1, 17, 2))}
    rows = [{**clip, 'frame_dir': f'c{i}', 'label': x} for i, x in labels]
    return pickle.dumps({'split': {'train': [f'c{i}' for i, _ in labels]},
                         'annotations': rows})  # fmt: skip


def lists(*labels):
    return ''.join(f'c{i}.mp4 {x}\n' for i, x in labels)


def frames(*labels):
    head = 'video_id,start_frame,end_frame,class,total_frames,fps\n'
    rows = ''.join(f'v{i // 2},{i},{i + 9},{x},99,30\n' for i, x in labels)
    return head + rows


NAMES = '\n'.join(load_label_space('mma82').actions)


@pytest.mark.parametrize(
    ('kind', 'name', 'write', 'beside'),
    [
        ('ma52', 'train_list_videos.txt', lists, {}),
        ('mma52', 'train.csv', frames, {}),
        ('mma82', 'lab/train_list_videos.txt', lists, {'label_name.txt': NAMES}),
        ('opentad', 'a.json', database, {'category_idx.txt': NAMES}),
        ('pyskl', 'a.pkl', skeletons, {}),
    ],
)
def test_labels_that_may_count_from_1_are_a_warning(
    run, capsys, kind, name, write, beside
):
    from_0, from_1 = [list(enumerate(range(first, 9))) for first in (0, 1)]
    _, conversion = run(kind, {name: write(*from_1), **beside})
    (told,) = (n for n in conversion.notices if n.startswith('warning: '))
    assert 'labels are indices 1..8; none is 0: they are taken to count from 0' in told
    assert told in capsys.readouterr().err.splitlines()
    assert 'warning' not in '\n'.join(conversion.lines())
    run(kind, {name: write(*from_0), **beside}, force=True)
    assert 'warning' not in capsys.readouterr().err
    if kind in ('mma82', 'opentad'):  # a list that counts from 1 itself
        numbered = {k: f'1 {v}'.replace('\n', '\n{} ') for k, v in beside.items()}
        counts = range(2, 83)
        numbered = {k: v.format(*counts) for k, v in numbered.items()}
        run(kind, {name: write(*from_1), **numbered}, force=True)
        assert 'warning' not in capsys.readouterr().err
