"""What is counted of a root, and what the sentences say."""

import shutil

import numpy as np
import pytest
from own_roots import PLAIN, make_own_root

from mmma.data.clips import Clip, write_rec
from mmma.data.root import DataRoot, DatasetInfo, write_info
from mmma.reporting.plots import draw_statistics
from mmma.reporting.statistics import clip_seconds, statistics
from mmma.taxonomy import load_label_space


def told(root, task):
    return {name: (table, told) for name, table, told in statistics(root, task, 0)}


def rows_of(table):
    return [dict(zip(table.titles, row, strict=True)) for row in table.rows]


def test_instances_of_videos(det_root):
    found = told(DataRoot(det_root), 'det')
    assert list(found) == ['actions', 'groups', 'together', 'domains', 'subjects']
    table, lines = found['actions']
    first, second, *rest = rows_of(table)
    assert [first[k] for k in ('train', 'val', 'test', 'all')] == [2, 1, 1, 4]
    assert first['published'] > 0
    assert (first['min_sec'], first['max_sec']) == (pytest.approx(0.9), 3)
    assert (first['shortest'], first['longest']) == ('lab_train_0', 'lab_test_0')
    assert first['median_sec'] == pytest.approx(np.median([1.5, 0.9, 1, 3]))
    assert (second['all'], second['people'], len(rest)) == (2, 2, 80)
    assert lines[0].startswith('1 of 82 actions have half of all 8: ')
    assert '(50%); 78 have none' in lines[0]
    assert '0 actions are head, 0 medium, 82 tail' in lines[3]
    # One overlap of 1 s and another of 0.5 s, of two groups.
    table, lines = found['together']
    assert [row[2] for row in table.rows if row[-1] == 'body'] == [1.5]
    assert lines[0].startswith('1 pairs of groups go on at once, the longest ')
    _, lines = found['domains']
    assert 'of 8 videos 0 have no domain, 2 no truth' in lines[3]
    assert lines[4].startswith('published of all: videos 11,180, instances 39,758')


def test_a_label_space_and_domains_of_ones_own(tmp_path):
    root = DataRoot(make_own_root(tmp_path / 'a'))
    found = told(root, 'rec')
    assert {row['domain'] for row in rows_of(found['domains'][0])} == {'clinic', 'home'}
    assert {row['published'] for row in rows_of(found['actions'][0])} == {''}
    assert not any('published' in line for _, lines in found.values() for line in lines)
    draw_statistics(found['domains'][0], tmp_path / 'd.svg', '$1 <b>')
    assert (tmp_path / 'd.svg').read_text(encoding='utf-8').startswith('<?xml')
    plain = DataRoot(make_own_root(tmp_path / 'b', space=PLAIN))
    found = told(plain, 'det')
    assert 'groups' not in found
    assert {row[-1] for row in found['together'][0].rows} <= {'action'}


def test_clips_are_as_long_as_their_files(video_root, tmp_path, capsys):
    root = tmp_path / 'root'
    shutil.copytree(video_root, root)
    clips = DataRoot(root).read_rec()
    (root / clips[0].path).write_bytes(b'broken')
    lengths = clip_seconds(DataRoot(root), clips, 0)
    assert np.isnan(lengths[0])
    assert lengths[1] == pytest.approx(12 / 30)
    note = f"their length is unknown: '{clips[0].clip}'"
    assert note in capsys.readouterr().err


def test_a_root_without_truth_is_drawn(tmp_path, capsys):
    write_info(tmp_path, DatasetInfo('hidden', 'ma52', simulated=False))
    hidden = Clip('a', '', 'test', 'lab', '', None, None)
    write_rec(tmp_path / 'rec.csv', [hidden], load_label_space('ma52'))
    found = told(DataRoot(tmp_path), 'rec')
    assert found['actions'][1][0] == 'there is no action'
    assert 'of 1 clips 0 have no domain, 1 no truth' in found['domains'][1][1]
    draw_statistics(found['domains'][0], tmp_path / 'd.png', '')
    draw_statistics(found['groups'][0], tmp_path / 'g.png', '')
    assert 'their length is unknown' in capsys.readouterr().err
