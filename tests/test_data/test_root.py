import hashlib
import json
import os
from pathlib import Path

import pytest

from mmma import taxonomy
from mmma.data.check import check_root
from mmma.data.clips import write_rec
from mmma.data.root import DataRoot, DatasetInfo, read_info, write_info
from mmma.taxonomy import DOMAINS


def test_what_a_root_has(root):
    data = DataRoot(root)
    assert data.info == DatasetInfo('tiny', 'mma82', True)
    assert (data.has_rec, data.has_det) == (True, True)
    assert [clip.clip for clip in data.read_rec()] == ['a', 'b']
    assert [video.video for video in data.read_det()] == ['v']
    assert os.fspath(data) == str(root)
    assert repr(data) == f'DataRoot({str(root)!r})'


def test_skeletons_are_seen_by_task(root, write_skeletons):
    write_skeletons(root, 'rec', {'a': 3})
    assert DataRoot(root).has_skeletons('rec')
    assert not DataRoot(root).has_skeletons('det')
    with pytest.raises(ValueError, match="unknown task 'pose'"):
        DataRoot(root).has_skeletons('pose')


@pytest.mark.parametrize('exists', [True, False])
def test_a_missing_root_says_the_two_ways_to_get_one_in_one_paragraph(tmp_path, exists):
    path = tmp_path / 'mma82'
    if exists:
        path.mkdir()
    with pytest.raises(FileNotFoundError, match='No data in') as error:
        DataRoot(path)
    text = str(error.value)
    assert '\n' not in text
    assert ('no dataset.json' in text) == exists
    assert f'python tools/data/simulate.py {path} --scale small' in text
    assert 'licence form' in text
    assert 'hf download lpynow/MMA-82 --repo-type dataset --local-dir' in text
    assert f'python tools/data/convert.py mma82 downloads/mma82 {path}' in text


def test_tables_of_ones_own_lack_a_file_that_is_told(tmp_path):
    (tmp_path / 'rec.csv').touch()
    text = r'has rec\.csv, but no dataset\.json: write {"name": .* of mma82, ma52'
    with pytest.raises(FileNotFoundError, match=text):
        DataRoot(tmp_path)


@pytest.mark.parametrize(
    ('table', 'read'), [('rec.csv', DataRoot.read_rec), ('det.json', DataRoot.read_det)]
)
def test_a_missing_table(root, table, read):
    (root / table).unlink()
    with pytest.raises(FileNotFoundError, match=rf'has no {table}'):
        read(DataRoot(root))


def test_label_space_follows_the_file_then_the_option(root, space):
    with (root / 'rec.csv').open('a') as file:
        file.write('c,,train,lab,s,nodding,body\n')
    data = DataRoot(root)
    nodding = space.action_id('nodding')
    forehead = space.action_id('scratching or touching forehead')
    found = [data.label_space(option) for option in ('taxonomy', 'statistics')]
    assert {s.body_of[nodding] for s in found} == {space.body_id('body')}
    groups = [s.bodies[s.body_of[forehead]] for s in found]
    assert groups == ['head-hand', 'body-hand']
    (root / 'rec.csv').unlink()
    assert DataRoot(root).label_space() == space


def test_fingerprint_changes_with_tables_and_nothing_else(root):
    before = DataRoot(root).fingerprint()
    (root / 'videos').mkdir()
    (root / 'videos' / 'a.mp4').write_bytes(b'x')
    assert DataRoot(root).fingerprint() == before
    assert len(before) == 64
    with (root / 'rec.csv').open('a') as file:
        file.write('c,,train,lab,s,nodding,\n')
    assert DataRoot(root).fingerprint() != before


@pytest.mark.parametrize('path', ['../a.mp4', '/etc/passwd', 'videos/../../a.mp4'])
def test_video_path_refuses_to_leave(root, path):
    with pytest.raises(ValueError, match='leaves the data root'):
        DataRoot(root).video_path(path)
    with pytest.raises(ValueError, match='no video, path is empty'):
        DataRoot(root).video_path('')


def test_video_path_through_links(root, tmp_path, monkeypatch, capsys):
    assert DataRoot(root).video_path('videos/a.mp4') == root / 'videos' / 'a.mp4'
    (root / 'disk').mkdir()
    (root / 'videos').symlink_to('disk')
    DataRoot(root).video_path('videos/a.mp4')
    (tmp_path / 'link').symlink_to(root)  # the root itself may be a link
    DataRoot(tmp_path / 'link').video_path('videos/a.mp4')
    (tmp_path / 'elsewhere').mkdir()
    (root / 'videos').unlink()
    (root / 'videos').symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(ValueError, match=r'leaves the data root .* through a link to'):
        DataRoot(root).video_path('videos/a.mp4')
    monkeypatch.setenv('MMMA_FOLLOW_LINKS', '1')
    assert DataRoot(root).video_path('videos/a.mp4') == root / 'videos' / 'a.mp4'
    with pytest.raises(ValueError, match='leaves the data root'):  # a table's path
        DataRoot(root).video_path('../elsewhere/a.mp4')
    monkeypatch.delenv('MMMA_FOLLOW_LINKS')
    info = json.loads((root / 'dataset.json').read_text())
    (root / 'dataset.json').write_text(json.dumps({**info, 'follow_links': True}))
    assert DataRoot(root).video_path('videos/a.mp4') == root / 'videos' / 'a.mp4'
    assert 'links out of it are read, as dataset.json says' in capsys.readouterr().err
    (root / 'dataset.json').write_text(json.dumps({**info, 'follow_links': 'yes'}))
    with pytest.raises(ValueError, match="'follow_links' is 'yes'; use true or false"):
        DataRoot(root)


def test_info_is_written_without_what_is_none(tmp_path):
    info = DatasetInfo('x', 'ma52', False, version='2')
    write_info(tmp_path, info)
    content = json.loads((tmp_path / 'dataset.json').read_text())
    assert list(content) == ['name', 'label_space', 'simulated', 'version']
    assert read_info(tmp_path) == info


GOOD = {'name': 'x', 'label_space': 'mma82', 'simulated': True}


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'dataset.json:1: not readable as JSON'),
        ('[]', 'must be an object with name'),
        ('{"name": "a", "name": "b"}', "dataset.json: 'name' is there twice: keep one"),
        (json.dumps({**GOOD, 'name': 3}), "'name' is 3; it must .* be a str"),
        (json.dumps({**GOOD, 'simulated': 'no'}), "'simulated' is 'no'; .* a bool"),
        (json.dumps({'name': 'x', 'label_space': 'mma82'}), "'simulated' is None"),
        (
            json.dumps({**GOOD, 'label_space': 'mma28'}),
            "dataset.json: unknown label space 'mma28'.*Did you mean 'mma82'",
        ),
    ],
)
def test_bad_info(tmp_path, content, message):
    (tmp_path / 'dataset.json').write_text(content)
    with pytest.raises(ValueError, match=message):
        DataRoot(tmp_path)


def test_unknown_keys_of_info_are_left_alone(tmp_path):
    (tmp_path / 'dataset.json').write_text(json.dumps({**GOOD, 'licence': 'CC'}))
    assert read_info(tmp_path).name == 'x'


def test_domains_are_the_roots(root, capsys):
    assert DataRoot(root).domains == (DOMAINS, 'lab')
    info = json.loads((root / 'dataset.json').read_text())
    info.update(domains=['clinic-a', 'clinic-b', 'lab'], source_domain='clinic-b')
    (root / 'dataset.json').write_text(json.dumps(info))
    data = DataRoot(root)
    assert data.domains == (('clinic-a', 'clinic-b', 'lab'), 'clinic-b')
    assert [clip.domain for clip in data.read_rec()] == ['lab']
    assert "domain 'street': use one of clinic-a" in capsys.readouterr().err
    rec = (root / 'rec.csv').read_text()
    (root / 'rec.csv').write_text(rec.replace(',street,', ',clinic-a,'))
    assert {clip.domain for clip in data.read_rec()} == {'lab', 'clinic-a'}
    write_info(root, data.info)
    assert json.loads((root / 'dataset.json').read_text()) == info


OWN_SPACE = {'name': 'own', 'actions': [{'name': 'waving'}, {'name': 'nodding'}]}


def write_own(folder, rows, **values):
    info = {'name': 'own', 'label_space': OWN_SPACE, 'simulated': False, **values}
    (folder / 'dataset.json').write_text(json.dumps(info))
    (folder / 'rec.csv').write_text('clip,path,subset,domain,subject,action\n' + rows)
    return info


def test_a_root_with_a_label_space_of_its_own(tmp_path, capsys):
    rows = 'a,a.mp4,train,clinic,s1,waving\nb,b.mp4,test,clinic,s2,1\n'
    info = write_own(tmp_path, rows)
    data = DataRoot(tmp_path)
    assert data.domains == (('clinic',), 'clinic')  # the one that the table has
    assert [(clip.action, clip.body) for clip in data.read_rec()] == [
        (0, None),
        (1, None),
    ]
    assert data.label_space().plain() == OWN_SPACE
    write_rec(tmp_path / 'again.csv', data.read_rec(), data.label_space())
    assert (
        (tmp_path / 'again.csv')
        .read_text()
        .startswith(
            'clip,path,subset,domain,subject,action\na,a.mp4,train,clinic,s1,waving\n'
        )
    )
    write_info(tmp_path, data.info)
    written = json.loads((tmp_path / 'dataset.json').read_text())
    assert written == {**info, 'domains': ['clinic'], 'source_domain': 'clinic'}
    assert capsys.readouterr().err == ''


def test_domains_of_two_are_to_be_named(tmp_path):
    rows = 'a,a.mp4,train,home,s1,waving\nb,b.mp4,test,clinic,s2,waving\n'
    write_own(tmp_path, rows)
    match = (
        r'have the domains home, clinic: write them .* "domains": \["home", "clinic"\]'
    )
    with pytest.raises(ValueError, match=match):
        DataRoot(tmp_path)
    write_own(tmp_path, rows, domains=['clinic', 'home'])
    assert DataRoot(tmp_path).domains == (('clinic', 'home'), 'clinic')
    write_own(tmp_path, rows, label_space={**OWN_SPACE, 'domains': ['home', 'clinic']})
    assert DataRoot(tmp_path).domains == (('home', 'clinic'), 'home')


def test_a_shipped_table_written_out_is_its_name(tmp_path):
    table = Path(taxonomy.__file__).with_name('tables') / 'ma52.json'
    write_own(tmp_path, '', label_space=json.loads(table.read_text('utf-8')))
    assert DataRoot(tmp_path).info.label_space == 'ma52'


def test_the_one_domain_of_ma52_is_of_its_table(tmp_path):
    info = write_own(tmp_path, 'a,a.mp4,train,lab,s1,nodding\n', label_space='ma52')
    data = DataRoot(tmp_path)
    assert data.domains == (('lab',), 'lab')
    write_info(tmp_path, data.info)
    assert json.loads((tmp_path / 'dataset.json').read_text()) == info


@pytest.mark.parametrize(
    ('values', 'match'),
    [
        ({'domains': 'lab'}, 'must be a list of names'),
        ({'domains': []}, 'must be a list of names'),
        ({'domains': ['all', 'lab']}, "none of them 'all' or 'rest'"),
        ({'domains': ['lab', 'rest']}, "none of them 'all' or 'rest'"),
        ({'domains': ['a', 'a']}, 'name each domain once'),
        ({'domains': ['a'], 'source_domain': 'lab'}, "unknown source_domain 'lab'"),
        ({'source_domain': 3}, 'unknown source_domain 3'),
    ],
)
def test_bad_domains(root, values, match):
    info = {'name': 'own', 'label_space': 'mma82', 'simulated': True, **values}
    (root / 'dataset.json').write_text(json.dumps(info))
    with pytest.raises(ValueError, match=match):
        DataRoot(root)


def test_composed_letters_find_letters_with_marks(root):
    data = DataRoot(root)
    composed, marks = 'videos/J\u00f6rg.mp4', 'videos/Jo\u0308rg.mp4'
    for written, there in ((composed, marks), (marks, composed)):
        file = root / there
        file.parent.mkdir(exist_ok=True)
        file.touch()
        assert data.video_path(written).samefile(file)
        file.unlink()
    assert data.video_path(composed) == root / composed


LIST = 'source_video;domain\nV011.mp4;street\nV012;lab\n'


@pytest.fixture
def part_root(tmp_path):
    """Sources V001, there, and V011, missing, of street; two more files are absent."""
    rows = [
        f'{clip},videos/{path}.mp4,{subset},street,s,nodding,,{source},{times}'
        for clip, path, subset, source, times in (
            ('a', 'V001', 'train', 'V001', '0,1'),
            ('b', 'V011', 'train', 'v011', '0,1'),
            ('c', 'V011', 'test', 'V011', '1,2'),
            ('d', 'other', 'test', '', ','),
        )
    ]
    header = (
        'clip,path,subset,domain,subject,action,body,source_video,start_sec,end_sec'
    )
    (tmp_path / 'videos').mkdir()
    (tmp_path / 'videos/V001.mp4').write_bytes(b'')
    (tmp_path / 'rec.csv').write_text('\n'.join([header, *rows]) + '\n')
    (tmp_path / 'missing_sources.csv').write_text(LIST)
    write_info(tmp_path, DatasetInfo('parts', 'mma82', simulated=True))
    return tmp_path


def test_clips_of_missing_sources_are_left_out_and_told(part_root, capsys):
    root = DataRoot(part_root)
    assert [clip.clip for clip in root.read_rec()] == ['a', 'd']
    assert root.incomplete('rec') == [
        'train: 1 of 2 clips of street',
        'test: 1 of 2 clips of street',
    ]
    assert root.incomplete('det') == []
    assert capsys.readouterr().err == (
        f'note: {part_root}: train: 1 of 2 clips of street; test: 1 of 2 clips of '
        'street (missing_sources.csv lists what is missing)\n'
    )
    (part_root / 'videos/V011.mp4').write_bytes(b'')  # it was found
    assert len(root.read_rec()) == 4
    assert root.incomplete('rec') == []
    (part_root / 'videos/V001.mp4').unlink()  # that has no reason
    assert len(root.read_rec()) == 4
    (part_root / 'videos/V011.mp4').unlink()
    before = root.fingerprint()
    (part_root / 'missing_sources.csv').unlink()
    assert len(root.read_rec()) == 4
    assert root.fingerprint() != before


def test_a_list_of_missing_sources_without_its_columns(part_root):
    (part_root / 'missing_sources.csv').write_text('source,domain\nV011,street\n')
    with pytest.raises(ValueError, match=r'missing_sources.csv:1: the columns are'):
        DataRoot(part_root).read_rec()
    (part_root / 'missing_sources.csv').write_text('domain,source_video\nstreet,\n')
    with pytest.raises(ValueError, match=r"csv:2: \['street', ''\]: name source and"):
        DataRoot(part_root).read_rec()
    (part_root / 'missing_sources.csv').write_text('source,domain\nV011,street\n')
    found = check_root(part_root).checks['missing_sources.csv']
    assert 'it needs source_video, domain' in found[0].text


def test_paths_as_windows_writes_them_and_suffixes_in_capitals(root):
    data = DataRoot(root)
    file = root / 'videos' / 'p 1' / 'nod (1).MP4'
    file.parent.mkdir(parents=True)
    file.touch()
    for path in ('videos\\p 1\\nod (1).MP4', 'videos/p 1/nod (1).mp4'):
        assert data.video_path(path).samefile(file), path
    for path in ('..\\nod.mp4', 'videos\\..\\..\\nod.mp4', 'C:\\nod.mp4'):
        with pytest.raises(ValueError, match='leaves the data root'):
            data.video_path(path)


def test_arrays_are_told_by_hash_or_by_size_and_time(
    root, write_skeletons, monkeypatch
):
    assert DataRoot(root).arrays() == {}
    write_skeletons(root, 'rec', {'a': 10})
    (root / 'features' / 'own' / '.det.part').mkdir(parents=True)
    (root / 'features' / 'own' / 'det.npy').write_bytes(b'x')
    opened = DataRoot(root)
    before, tables = opened.arrays(), opened.fingerprint()
    names = ['layout.json', 'rec.npy', 'rec_index.csv']
    assert [*before] == ['features/own/det.npy', *(f'skeletons/{n}' for n in names)]
    file = root / 'skeletons' / 'rec.npy'
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert before['skeletons/rec.npy'] == f'sha256 {digest}'
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, (1.5, 1.5))
    after = opened.arrays()
    assert [n for n in before if before[n] != after[n]] == ['skeletons/rec.npy']
    assert opened.fingerprint() == tables  # that of older results
    monkeypatch.setattr('mmma.data.root.HASHED_BYTES', 100)
    os.utime(file, (2.5, 2.5))
    told = opened.arrays()['skeletons/rec.npy']
    assert told == f'not hashed: {len(content)} bytes, changed at 2.500 s'
