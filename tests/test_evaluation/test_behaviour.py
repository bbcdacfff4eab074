import math
import time

import numpy as np
import pytest

from mmma.convert.events import Event, Recording
from mmma.evaluation.behaviour import (
    KEYS,
    TABLES,
    behaviour_tables,
    merged,
    read_annotation,
)
from mmma.taxonomy import LabelSpace, load_label_space

SPACE = LabelSpace('own', ('nod', 'shake', 'wave'), ('head', 'hand'), (0, 0, 1))


def video(name, *events, length=60.0, subject='P1', domain='clinic'):
    found = tuple(Event(*event) for event in events)
    return Recording(name, '', 25.0, length, found, '', subject, domain)


def tables(*recordings, space=SPACE, per='subject'):
    """Name of a table -> its rows as dicts."""
    found = behaviour_tables(recordings, space, per)
    columns = {name: (*KEYS, *own.split()) for name, own in TABLES.items()}
    return {
        name: [dict(zip(columns[name], row, strict=True)) for row in rows]
        for name, rows in found.items()
    }


def one(rows, **wanted):
    (row,) = (r for r in rows if {k: r[k] for k in wanted} == wanted)
    return row


DAY = (
    video('v1', (2, 4, 'nod'), (3, 7, 'nod'), (5, 5, 'wave'), (10, 13, 'shake')),
    video('v2', (6, 7, 'nod'), (6.5, 8, 'shake'), length=30.0),
    video('v3', length=30.0),
)


def test_counts_times_and_latency_by_hand():
    rows = tables(*DAY)['behaviour']
    nod = one(rows, level='action', label='nod')
    assert nod == {
        **dict(condition='clinic', subject='P1', video='', level='action', label='nod'),
        **dict(videos=3, observed_sec=120.0, videos_with=2, events=2, points=0),
        **dict(rate_per_min=1.0, total_sec=6.0, time_share=0.05, mean_sec=3.0),
        **dict(sd_sec=pytest.approx(8**0.5), median_sec=3.0, latency_sec=4.0),
    }  # 2 to 7 is one nod; the video without events is two minutes' quarter
    wave = one(rows, level='action', label='wave')
    assert (wave['events'], wave['points'], wave['total_sec']) == (1, 1, 0)
    assert wave['mean_sec'] == 0
    assert math.isnan(wave['sd_sec'])
    again = tables(video('a', (5, 6, 'nod'), (9, 10, 'nod')))['behaviour']
    assert one(again, level='action', label='nod')['latency_sec'] == 5
    head = one(rows, label='head')  # nod and shake of v2 overlap: 6 to 8
    assert (head['level'], head['events'], head['total_sec']) == ('body', 3, 10.0)
    assert one(rows, label='any')['events'] == 3


def test_what_never_happens_has_a_row_of_zeros():
    rows = tables(video('a'))['behaviour']
    assert len(rows) == 3 + 2 + 1
    for row in rows:
        assert (row['events'], row['rate_per_min'], row['time_share']) == (0, 0, 0)
        assert math.isnan(row['mean_sec'])
        assert math.isnan(row['latency_sec'])


def test_time_together_by_hand():
    rows = tables(*DAY)['cooccurrence']
    pair = one(rows, level='action', label_a='nod', label_b='shake')
    # Together 0.5 s of v2; by chance 5 * 3 / 60 of v1 and 1 * 1.5 / 30 of v2.
    assert pair['together_sec'] == 0.5
    assert pair['either_sec'] == 6 + 4.5 - 0.5
    assert pair['jaccard'] == 0.05
    assert pair['expected_sec'] == pytest.approx(0.25 + 0.05)
    assert pair['observed_over_expected'] == pytest.approx(0.5 / 0.3)
    never = one(rows, level='action', label_a='shake', label_b='wave')
    assert (never['together_sec'], never['expected_sec']) == (0, 0)


def test_time_together_is_that_of_frames():
    rng = np.random.default_rng(0)
    starts, lengths = rng.integers(0, 900, 60), rng.integers(1, 90, 60)
    labels = rng.choice(SPACE.actions, 60).tolist()
    shown = np.zeros((3, 1000), dtype=bool)
    for start, length, label in zip(starts, lengths, labels, strict=True):
        shown[SPACE.actions.index(label), start : start + length] = True
    events = zip(starts / 10, (starts + lengths) / 10, labels, strict=True)
    found = tables(video('a', *events, length=100.0))
    for row in found['cooccurrence']:
        if row['level'] == 'action':
            a, b = (shown[SPACE.actions.index(row[k])] for k in ('label_a', 'label_b'))
            assert row['together_sec'] == pytest.approx((a & b).sum() / 10)
            assert row['either_sec'] == pytest.approx((a | b).sum() / 10)
    for label, own in zip(SPACE.actions, shown, strict=True):
        row = one(found['behaviour'], level='action', label=label)
        assert row['total_sec'] == pytest.approx(own.sum() / 10)
    assert one(found['behaviour'], label='any')['total_sec'] == pytest.approx(
        shown.any(axis=0).sum() / 10
    )


def test_transitions_by_hand():
    rows = tables(*DAY)['transitions']
    rows = [row for row in rows if row['level'] == 'action']
    counts = {(r['from_label'], r['to_label']): r['count'] for r in rows if r['count']}
    assert counts == {('nod', 'wave'): 1, ('wave', 'shake'): 1, ('nod', 'shake'): 1}
    assert len(rows) == 3
    row = one(rows, from_label='nod', to_label='shake')
    assert row['probability'] == 0.5


def test_rows_per_subject_condition_and_video():
    two = video('v4', (1, 2, 'nod', 'P2'), (1, 3, 'nod', 'P3'), domain='home')
    four = (*DAY, two)

    def keys(per):
        found = tables(*four, per=per)['behaviour']
        return {tuple(row[k] for k in KEYS[:3]) for row in found}

    assert keys('subject') == {
        ('clinic', 'P1', ''), ('home', 'P2', ''), ('home', 'P3', ''),
    }  # fmt: skip
    assert ('clinic', 'P1', 'v3') in keys('video')
    assert keys('condition') == {('clinic', '', ''), ('home', '', '')}
    home = one(tables(two, per='condition')['behaviour'], label='nod', level='action')
    assert (home['observed_sec'], home['events']) == (120, 2)  # of two persons
    alone = tables(video('x', (1, 2, 'nod'), length=math.nan))['behaviour']
    assert one(alone, label='nod')['observed_sec'] == 2


def test_equal_labels_that_overlap_are_one():
    events = [(0, 2), (1, 3), (3, 4), (4, 4), (4, 4), (5, 6), (5.5, 5.5)]
    own = {x: x for x in SPACE.actions}
    found = merged([Event(*times, 'nod') for times in events], own)
    assert [(e.start_sec, e.end_sec) for e in found] == [(0, 3), (3, 4), (4, 4), (5, 6)]


def test_threshold_and_table(tmp_path, capsys):
    det, table = tmp_path / 'd.json', tmp_path / 't.csv'
    det.write_text(
        '{"results": {"a": [{"segment": [0, 1], "label": "nod", "score": 0.3},'
        ' {"segment": [2, 3], "label": "nod", "score": 0.6}], "b": []}}'
    )
    assert len(read_annotation(det, None, None, None)[0][0].events) == 2
    assert '2 of 2 scored events, from 0.3 on (--threshold' in capsys.readouterr().err
    table.write_text('video;subject;condition\na;P7;stress\n')
    a, b = read_annotation(det, None, 0.5, table)[0]
    assert [event.score for event in a.events] == [0.6]
    assert (a.subject, a.domain, b.subject) == ('P7', 'stress', '')
    told = capsys.readouterr().err
    assert '1 of 2 scored events, from 0.5 on' in told
    assert "not in it are 1 videos: 'b'" in told
    for text, wrong in (
        ('video,age\na,3\n', 't.csv:1: the columns are .* it needs video, and subject'),
        ('video,subject\na,1\na,2\n', "t.csv:3: 'a' is there twice"),
    ):
        table.write_text(text)
        with pytest.raises(ValueError, match=wrong):
            read_annotation(det, None, None, table)


def test_a_tenth_of_the_corpus_is_quick():
    rng, space = np.random.default_rng(0), load_label_space('mma82')
    names = rng.choice(space.actions, 3976).tolist()  # a tenth of MMA-82
    owner = np.sort(rng.integers(0, 1118, 3976))
    events = [[] for _ in range(1118)]
    for at, label, start in zip(owner, names, rng.uniform(0, 8, 3976), strict=True):
        events[at].append((start, start + 2, label))
    root = [
        video(f'v{i}', *own, length=12.0, subject=f's{i % 30}')
        for i, own in enumerate(events)
    ]
    start = time.process_time()
    found = behaviour_tables(root, space)
    assert time.process_time() - start < 5
    assert sum(row[8] for row in found['behaviour'] if row[3] == 'action') > 3500
