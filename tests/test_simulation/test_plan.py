"""Plans: who is filmed, options, tables, summaries."""

import numpy as np
import pytest

from mmma.simulation.margins import PLANTED
from mmma.simulation.plan import (
    NEVER_A_BENCHMARK,
    Plan,
    SimulationOptions,
    cast,
    make_pools,
    summarize,
)
from mmma.simulation.planner import make_plan
from mmma.taxonomy import load_label_space


def test_small_rows_have_few_persons():
    pools = make_pools(np.full(12, 8), np.full(12, 1), seed=0)
    assert max(map(len, pools[0])) == 4
    assert {len(row) for row in pools[1]} == {1}


def test_cast_uses_everybody():
    persons = tuple((f'lab_p{i:03d}', i) for i in range(20))
    people = cast(persons, 50, np.random.default_rng(0))
    assert len(people) == 50
    assert set(people) == set(persons)


SPACE = load_label_space('mma82')


@pytest.fixture(scope='module')
def tiny() -> Plan:
    return make_plan(SimulationOptions(scale='tiny'))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'scale': 'smal'}, "unknown scale 'smal'.*Did you mean 'small'"),
        ({'modality': 'rgb'}, "unknown modality 'rgb': use one of skeleton, video"),
        ({'tasks': ('rec', 'dte')}, "unknown task 'dte'.*Did you mean 'det'"),
        ({'tasks': ()}, 'no task: choose rec, det or both'),
        ({'seed': -1}, 'seed -1: use 0 or more'),
        ({'videos': 0, 'modality': 'both'}, 'videos 0: use 1 or more'),
        ({'videos': 5}, 'videos 5: .* with modality video or both'),
        (
            {'videos': 5, 'modality': 'both', 'tables_only': True},
            'videos 5: .* not with tables only',
        ),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        SimulationOptions(**options)


def test_options_in_words():
    options = SimulationOptions('tiny', 'both', ('det', 'rec'), balanced=True, videos=3)
    assert options.describe() == (
        'scale tiny, modality both, tasks rec det, balanced, videos 3, seed 0'
    )


def test_head_takes_from_every_domain_and_subset(tiny):
    head = tiny.head(14)
    rows = [(item.domain, item.subset) for item in head.rec]
    assert len(rows) == 14
    assert len(set(rows)) == 12
    assert [item.index for item in head.rec] == sorted(i.index for i in head.rec)
    assert {item.name for item in head.rec} <= {item.name for item in tiny.rec}


def test_clips_are_rows_of_the_table(tiny):
    item, clip = tiny.rec[-1], tiny.clips(SPACE)[-1]
    assert (clip.clip, clip.domain, clip.subset) == (item.name, 'emotion', 'test')
    assert clip.subject == item.subject
    assert SPACE.actions[clip.action] == item.events[0].action
    assert clip.body == SPACE.body_of[clip.action]
    assert clip.emotion


def test_videos_are_entries_of_the_table(tiny):
    item, video = tiny.det[0], tiny.videos(SPACE)[0]
    assert (video.video, video.frames, video.fps) == (item.name, item.frames, 30.0)
    assert video.duration == pytest.approx(item.seconds, abs=1e-4)
    assert [SPACE.actions[i.label] for i in video.instances] == [
        event.action for event in item.events
    ]
    assert video.instances[0].start_sec == item.events[0].start_sec
    emotions = {v.domain: v.emotion for v in tiny.videos(SPACE)}
    assert [d for d in emotions if emotions[d]] == ['emotion']


MORE = 'melancholy', 'sad', 'surprise'


def test_info_says_simulated(tiny):
    info = tiny.info()
    assert info.simulated is True
    assert info.name == 'mma82-simulated'
    assert info.emotions == ('anger', 'disgust', 'fear', 'happy', *MORE)
    assert info.planted == PLANTED
    assert info.source == 'mmma.simulation: ' + tiny.options.describe()


def test_fingerprint_follows_content(tiny):
    same = make_plan(SimulationOptions(scale='tiny'))
    other = make_plan(SimulationOptions(scale='tiny', seed=1))
    assert tiny.fingerprint() == same.fingerprint()
    assert len({p.fingerprint() for p in (tiny, other, tiny.head(5))}) == 3


def test_numbers_are_plain(tiny):
    item = tiny.det[0]
    values = [item.fps, item.frames, item.events[0].start_sec, tiny.rec[0].fps]
    assert not any(isinstance(value, np.generic) for value in values)


def test_summary_of_small():
    lines = summarize(make_plan(SimulationOptions('small'))).splitlines()
    rows = [line.split() for line in lines]
    assert lines[0] == '4,977 trimmed clips'
    assert rows[2] == ['lab', '1,978', '704', '757', '3,439', '2.68', '229', '82', '0']
    assert rows[6][:6] == ['all', '2,897', '1,009', '1,071', '4,977', '2.62']
    assert lines[7].startswith('699 untrimmed videos with 2,486 instances, 3.56 each')
    assert lines[-1] == NEVER_A_BENCHMARK
