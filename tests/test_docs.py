"""The examples of docs/data_format.md are files that are read."""

import re
from pathlib import Path

import numpy as np
import pytest

from mmma.data.arrays import SkeletonStore
from mmma.data.clips import OPTIONAL, REQUIRED
from mmma.data.root import DatasetInfo, read_root
from mmma.data.videos import read_detections
from mmma.evaluation.scores import read_scores

PAGE = Path(__file__).parents[1] / 'docs' / 'data_format.md'


@pytest.fixture(scope='module')
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp('examples')
    blocks = re.findall(
        r'^```\w+ (\S+)\n(.*?)^```$', PAGE.read_text('utf-8'), re.M | re.S
    )
    for name, text in blocks:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding='utf-8')
    assert len(blocks) == 10
    return folder


def test_a_root_as_the_page_shows(examples, capsys):
    root = read_root(examples)
    space = root.label_space()
    assert (root.domains, space.bodies) == (
        (('clinic', 'home'), 'clinic'),
        ('hands', 'head'),
    )
    clips = {clip.clip: clip for clip in root.read_rec()}
    assert list(clips) == ['a1', 'a2', 'b1', 'c1', 'c2']
    assert clips['a2'].span == pytest.approx((63.2, 64.1))
    assert (clips['b1'].body, clips['c1'].action, clips['c2'].action) == (0, 2, None)
    visit, evening = root.read_det()
    assert visit.instances[0].text == 'left over right'
    assert [one.point for one in visit.instances] == [False, True]
    assert evening.withheld
    assert not capsys.readouterr().err


def test_a_root_without_groups_as_the_page_shows(examples):
    root = read_root(examples / 'plain')
    assert root.domains == (('ward',), 'ward')
    assert [clip.body for clip in root.read_rec()] == [None, None]


def test_arrays_and_predictions_as_the_page_shows(examples):
    np.save(examples / 'skeletons' / 'rec.npy', np.zeros((63, 1, 3, 3), np.int16))
    assert [*SkeletonStore(examples, 'rec').index] == ['a1', 'a2']
    space = read_root(examples).label_space()
    assert read_scores(examples / 'scores.csv', space).scores.argmax() == 2
    assert read_detections(examples / 'detections.json', space).names == ('evening',)


def test_the_page_names_every_key_and_column():
    page = PAGE.read_text('utf-8')
    columns = {*REQUIRED, *OPTIONAL, *DatasetInfo.__dataclass_fields__}
    assert not [name for name in columns if f'`{name}`' not in page]
