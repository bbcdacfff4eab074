"""What data sets over a data root share."""

import pytest

from mmma.datasets.clip_dataset import ClipDataset
from mmma.datasets.root_dataset import RootDataset
from mmma.datasets.untrimmed_dataset import UntrimmedDataset


@pytest.fixture(params=[(ClipDataset, 'video_root'), (UntrimmedDataset, 'det_root')])
def dataset(request):
    kind, root = request.param
    return kind(request.getfixturevalue(root), 'train', [], lazy_init=True)


def test_samples_are_listed_once_the_table_is_read(dataset):
    columns = set(dataset.columns)
    assert not columns & set(dataset.metainfo)
    assert dataset.metainfo['bodies'][0] == 'body'
    assert {len(dataset.metainfo[c]) for c in columns & set(dataset.metainfo)} == set()
    dataset.full_init()
    assert {len(dataset.metainfo[column]) for column in columns} == {len(dataset)}


def test_metainfo_is_not_copied(dataset):
    dataset.full_init()
    assert dataset.metainfo['labels'] is dataset.metainfo['labels']


def test_it_needs_a_table(video_root):
    with pytest.raises(TypeError, match='abstract'):
        RootDataset(video_root, 'train', [])
