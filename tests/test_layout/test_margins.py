from dataclasses import replace

import pytest

from mmma.layout.det import Instance, Video
from mmma.layout.margins import claims_real, det_differences, rec_differences
from mmma.layout.rec import Clip
from mmma.layout.root import DatasetInfo
from mmma.taxonomy import DOMAINS, SUBSETS, load_statistics


@pytest.fixture(scope='module')
def clips(space):
    """A table with the published clips per cell and per action."""
    published = load_statistics()['rec']
    actions = [a for a, n in enumerate(space.rec_instances) for _ in range(n)]
    cells = [
        (subset, domain)
        for domain in DOMAINS
        for subset in SUBSETS
        for _ in range(published[domain][subset])
    ]
    return [
        Clip(str(i), '', *cell, '', action, None)
        for i, (cell, action) in enumerate(zip(cells, actions, strict=True))
    ]


@pytest.fixture(scope='module')
def videos(space):
    """The published instances per action, dealt to the published number of videos."""
    labels = [a for a, n in enumerate(space.det_instances) for _ in range(n)]
    count = load_statistics()['det']['videos']
    return [
        Video(
            *(str(i), '', 'train', 'lab', '', 30.0, 300, 10.0),
            tuple(Instance(0.0, 1.0, label) for label in labels[i::count]),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ('info', 'claims'),
    [
        (DatasetInfo('mma82', 'mma82', False), True),
        (DatasetInfo('MMA-82', 'mma82', False), True),
        (DatasetInfo('mma82', 'mma82', True), False),
        (DatasetInfo('mma82-mine', 'mma82', False), False),
        (DatasetInfo('mma82', 'ma52', False), False),
    ],
)
def test_which_roots_claim_to_be_real(info, claims):
    assert claims_real(info) == claims


def test_the_published_margins_have_no_difference(clips, videos, space):
    assert list(rec_differences(clips, space)) == []
    assert list(det_differences(videos, space)) == []


def test_a_missing_clip_shows_in_its_cell_and_action(clips, space):
    assert list(rec_differences(clips[1:], space)) == [
        'lab train: 15,819 clips, published 15,820',
        f"'{space.actions[0]}': 339 clips, published 340",
    ]


def test_withheld_truth_excuses_fewer_clips_of_an_action_not_more(clips, space):
    hidden = [Clip('x', '', 'train', 'lab', '', None, None), *clips[1:]]
    assert list(rec_differences(hidden, space)) == []
    more = [hidden[0], replace(clips[1], action=81), *clips[2:]]
    assert list(rec_differences(more, space)) == [
        f"'{space.actions[81]}': {space.rec_instances[81] + 1:,} clips, published "
        f'{space.rec_instances[81]:,}'
    ]


def test_a_missing_video_shows_with_its_instances(videos, space):
    differences = list(det_differences(videos[1:], space))
    gone = len(videos[0].instances)
    assert differences[0] == '11,179 videos, published 11,180'
    assert differences[1] == f'{39_758 - gone:,} instances, published 39,758'
    assert len(differences) == 2 + len({i.label for i in videos[0].instances})


def test_withheld_videos_excuse_fewer_instances(videos, space):
    hidden = Video(*('x', '', 'test', 'lab', '', 30.0, 300, 10.0), withheld=True)
    assert list(det_differences([hidden, *videos[1:]], space)) == []
