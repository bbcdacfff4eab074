from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from mmma.evaluation.agreement import (
    NONE,
    agreement,
    cohen_kappa,
    krippendorff_alpha,
    match_events,
    pair_by_overlap,
    unit_cells,
    unit_codes,
    unit_counts,
)
from mmma.structures.segments import Segments

LABELS = ('nod', 'shake', 'shrug', 'wave')


def segments(rows):
    """Of rows (start, end, label, video)."""
    table = np.array(rows, dtype=float).reshape(-1, 4)
    labels, videos = table[:, 2:].astype(int).T
    return Segments(table[:, :2], None, labels, videos)


def measured(a, b, durations, subjects=None, spans=(1.0, 10.0, 0.5), **more):
    subjects = subjects or [''] * len(durations)
    sides = (own if isinstance(own, Segments) else segments(own) for own in (a, b))
    return agreement(tuple(sides), LABELS, durations, subjects, spans, **more)


def tracks(seed, agree=0.8, videos=12):
    """Two coders of a single track: a code per second, of which some differ.

    Returns:
        Their segments, durations, and (2, N) codes of the seconds, 0 for none.
    """
    rng, rows, codes = np.random.default_rng(seed), ([], []), ([], [])
    durations = rng.integers(20, 40, videos)
    for video, size in enumerate(durations):
        own = rng.integers(0, 5, size)
        other = np.where(rng.random(size) < agree, own, rng.integers(0, 5, size))
        for side, sequence in enumerate((own, other)):
            codes[side].extend(sequence.tolist())
            rows[side].extend(
                (at, at + 1, code - 1, video)
                for at, code in enumerate(sequence)
                if code
            )
    return segments(rows[0]), segments(rows[1]), durations, np.array(codes)


def test_kappa_by_hand():
    # 20 both yes, 15 both no, 5 and 10 one alone: 0.7 observed, 0.5 expected.
    assert cohen_kappa(35, np.array([25, 25]), np.array([30, 20])) == pytest.approx(0.4)
    # Of two labels the means count: (0.7 + 1) / 2 observed, (0.5 + 0.82) / 2 expected.
    both = np.array([[25, 25], [5, 45]]), np.array([[30, 20], [5, 45]])
    pooled = cohen_kappa(np.array([35, 50]), *both, pooled=True)
    assert pooled == pytest.approx((0.85 - 0.66) / 0.34)
    assert np.isnan(cohen_kappa(9, np.array([9, 0]), np.array([9, 0])))


def test_one_track_gives_the_kappa_and_alpha_of_others():
    krippendorff = pytest.importorskip('krippendorff')
    for seed in range(3):
        a, b, durations, codes = tracks(seed)
        found = measured(a, b, durations, resamples=0)
        assert found['kappa'] == pytest.approx(cohen_kappa_score(*codes))
        alpha = krippendorff.alpha(codes.astype(float), level_of_measurement='nominal')
        assert found['alpha'] == pytest.approx(alpha)
        for label in range(4):
            own = cohen_kappa_score(*(codes == label + 1))
            assert found['per_class']['kappa'][label] == pytest.approx(own)
        # What one coder alone has coded is missing: nobody else says anything of it.
        more = np.hstack([codes, [[1, 2, 3], [np.nan] * 3]])
        again = krippendorff.alpha(more, level_of_measurement='nominal')
        assert again == pytest.approx(alpha)


def test_alpha_by_hand():
    # Codes 1 1 2 2 / 1 2 2 2: one of four differs; 1 is given 3 times, 2 five times.
    assert krippendorff_alpha(np.array(1.0), np.array([3.0, 5.0])) == pytest.approx(
        1 - 7 * 2 / (64 - 9 - 25)
    )


def test_units_whose_middle_is_covered():
    rows = [
        (0.5, 2.5, 0, 0),  # middles 0.5 and 1.5
        (0.6, 1.4, 1, 0),  # none: the unit of its own middle
        (2.0, 2.0, 2, 0),  # a point
        (9.0, 12.0, 3, 0),  # ends after the video: its last unit
        (0.0, 0.4, 0, 1),
    ]
    sizes = unit_counts([10.4, 0.2, 3.5], 1.0)
    assert sizes.tolist() == [10, 1, 3]
    cells = unit_cells(segments(rows), sizes, 1.0, 4, any_part=False)
    assert cells.tolist() == sorted([0, 4, 5, 2 * 4 + 2, 9 * 4 + 3, 10 * 4])
    touched = unit_cells(segments(rows), sizes, 1.0, 4, any_part=True)
    assert touched.tolist() == sorted([0, 4, 8, 1, 5, 10, 39, 40])
    thirds = unit_cells(segments([(0.3, 0.6, 0, 0)]), np.array([9]), 0.1, 1, True)
    assert thirds.tolist() == [3, 4, 5]  # 0.3 / 0.1 is below 3


def test_codes_are_sets_of_labels():
    cells = [np.array([0, 1, 2, 6]), np.array([0, 1, 4, 5, 6])]  # of K = 2, N = 4
    codes = unit_codes(cells, 4, 2)
    assert codes[0, 0] == codes[1, 0] == codes[1, 2]  # both labels
    assert codes[0, 1] == codes[0, 3] == codes[1, 3]
    assert codes[0, 2] == codes[1, 1]  # none
    assert len({*codes.ravel()}) == 3


def test_overlapping_labels_are_as_sampled_moment_by_moment():
    rng, length = np.random.default_rng(7), 120
    sides = []
    for _ in range(2):
        starts, sizes = rng.uniform(0, 110, 40), rng.uniform(1, 9, 40)
        ends = np.minimum(starts + sizes, length)
        sides.append(
            [*zip(starts, ends, rng.integers(0, 4, 40), [0] * 40, strict=True)]
        )
    found = measured(*sides, [length], resamples=0)

    def coded(rows, holds, times):  # (K, N) labels at times
        return np.array([
            [any(holds(s, e, at) for s, e, own, _ in rows if own == k) for at in times]
            for k in range(4)
        ])  # fmt: skip

    middles = np.arange(length) + 0.5
    a, b = (coded(rows, lambda s, e, at: s <= at < e, middles) for rows in sides)
    sets = [[''.join(map(str, own.astype(int))) for own in side.T] for side in (a, b)]
    assert found['kappa'] == pytest.approx(cohen_kappa_score(*sets))
    by_label = [cohen_kappa_score(*pair) for pair in zip(a, b, strict=True)]
    assert found['per_class']['kappa'] == pytest.approx(by_label)
    one, other = a.mean(axis=1), b.mean(axis=1)
    chance = (one * other + (1 - one) * (1 - other)).mean()
    pooled = ((a == b).mean() - chance) / (1 - chance)
    assert found['kappa_pooled'] == pytest.approx(pooled)
    windows = np.arange(0, length, 10)
    a, b = (
        coded(rows, lambda s, e, at: s < at + 10 and e > at, windows) for rows in sides
    )
    assert found['interval_agreement'] == pytest.approx((a == b).mean())
    assert found['interval_occurrence'] == pytest.approx((a & b).sum() / (a | b).sum())


def most_pairs(a, b, tolerance):
    """The largest number of pairs, by trying all."""
    best = 0
    short, long = (a, b) if len(a) < len(b) else (b, a)
    for order in permutations(range(len(long)), len(short)):
        pairs = zip(short, (long[i] for i in order), strict=True)
        near = (
            max(abs(p[0] - q[0]), abs(p[1] - q[1])) <= tolerance and p[2] == q[2]
            for p, q in pairs
        )
        best = max(best, sum(near))
    return best


def test_matching_is_optimal():
    # Taking the nearest first, 1.0 with 1.1, would leave 0.8 and 1.4 alone.
    a, b = [(0.8, 2, 0, 0), (1.0, 2, 0, 0)], [(1.1, 2, 0, 0), (1.4, 2, 0, 0)]
    assert len(match_events(segments(a), segments(b), 0.4)) == 2
    rng = np.random.default_rng(3)
    for _ in range(40):
        a, b = (
            [
                (start, start + length, label, 0)
                for start, length in rng.uniform(0, (2, 1), (size, 2))
                for label in rng.integers(0, 2, 1)
            ]
            for size in rng.integers(1, 6, 2)
        )
        pairs = match_events(segments(a), segments(b), 0.4)
        assert len(pairs) == most_pairs(a, b, 0.4)
        assert len({*pairs[:, 0]}) == len({*pairs[:, 1]}) == len(pairs)
    assert len(match_events(segments([]), segments(b), 0.4)) == 0


def test_events_by_hand():
    a = [(0, 2, 0, 0), (5, 6, 1, 0), (8, 9, 1, 0), (1, 1, 2, 1)]
    b = [(0.5, 2.5, 0, 0), (5, 6.6, 1, 0), (8, 9, 3, 0), (1.2, 1.2, 2, 1), (4, 5, 2, 1)]
    found = measured(a, b, [10, 10])
    assert found['event_f1'] == pytest.approx(2 * 2 / 9)
    assert (found['event_precision'], found['event_recall']) == (2 / 5, 2 / 4)
    assert found['onset_f1'] == pytest.approx(2 * 3 / 9)
    assert found['per_class']['events'][2] == [1, 0, 1, 0]
    assert found['per_class']['event_f1'] == [1, 0, pytest.approx(2 / 3), 0]
    table = np.array(found['confusion']['counts'])
    assert found['confusion']['labels'] == [*LABELS, NONE]
    expected = np.zeros((5, 5), dtype=int)
    for row, column in [(0, 0), (1, 1), (1, 3), (2, 2), (4, 2)]:
        expected[row, column] = 1
    assert (table == expected).all()
    # Windows of 10 s: of 2 x 4, nod and shake and shrug fit, wave is of one alone.
    assert found['interval_agreement'] == 7 / 8
    assert found['interval_occurrence'] == 3 / 4


def test_equal_labels_are_paired_before_better_overlaps():
    a = segments([(0, 4, 0, 0), (0, 4.2, 1, 0), (6, 7, 2, 0)])
    b = segments([(0, 4.2, 0, 0), (0, 4, 1, 0), (7, 8, 2, 0)])
    assert sorted(pair_by_overlap(a, b, 0.5).tolist()) == [[0, 0], [1, 1]]


def test_equal_is_one_and_places_may_change():
    for seed in range(3):
        a, b, durations, _ = tracks(seed)
        same = measured(a, a, durations, resamples=0)
        ones = (
            *('kappa', 'kappa_pooled', 'alpha', 'event_f1', 'onset_f1'),
            *('interval_kappa', 'interval_agreement', 'interval_occurrence'),
            'unit_agreement',
        )
        assert [same[key] for key in ones] == pytest.approx([1.0] * 9)
        there, back = (measured(*pair, durations) for pair in ((a, b), (b, a)))
        for key in ones:
            assert there[key] == back[key]
            assert there['intervals'][key] == back['intervals'][key]
        assert there['event_precision'] == back['event_recall']
        one, other = (np.array(x['confusion']['counts']) for x in (there, back))
        assert one.sum() == other.sum()
        assert (one.diagonal() == other.diagonal()).all()


def test_shifts_up_to_the_tolerance_change_no_event():
    a, _, durations, _ = tracks(0)
    rng = np.random.default_rng(0)
    for shift in (0.5, -0.5, rng.uniform(-0.5, 0.5, (len(a), 2))):
        times = np.sort(a.segments_sec + shift, axis=1)
        moved = Segments(times, None, a.labels, a.videos)
        assert measured(a, moved, durations, resamples=0)['event_f1'] == 1
    late = Segments(a.segments_sec + 0.51, None, a.labels, a.videos)
    assert measured(a, late, durations, resamples=0)['event_f1'] < 1


def test_random_coders_agree_by_chance_alone():
    rng = np.random.default_rng(5)

    def coder():  # labels of very different frequency, that overlap
        rows = [
            (at, at + 2, label, video)
            for video in range(200)
            for label, often in enumerate((0.3, 0.1, 0.02, 0.01))
            for at in np.flatnonzero(rng.random(50) < often)
        ]
        return segments(rows)

    found = measured(coder(), coder(), [50] * 200, resamples=0)
    for key in ('kappa', 'kappa_pooled', 'alpha', 'interval_kappa'):
        assert abs(found[key]) < 0.03
    assert np.abs(found['per_class']['kappa']).max() < 0.05


def test_planted_disagreement_lies_in_its_interval():
    # A code is kept by 0.8, else drawn anew of five: 0.84 agree, 0.2 by chance.
    planted, inside = (0.84 - 0.2) / 0.8, []
    for seed in range(20):
        a, b, durations, _ = tracks(seed, videos=30)
        found = measured(a, b, durations, resamples=200)
        low, high = found['intervals']['kappa']
        inside.append(low <= planted <= high)
    assert sum(inside) >= 17


def test_units_of_resampling_and_too_few_of_them():
    a, b, durations, _ = tracks(1)
    subjects = [f's{i % 6}' for i in range(12)]
    found = measured(a, b, durations, subjects, resamples=50)
    facts = found['bootstrap']
    assert (facts['unit'], facts['units'], facts['resamples']) == ('subject', 6, 50)
    assert {*found['intervals']} < {*found}
    assert np.shape(found['per_class']['kappa_interval']) == (4, 2)
    assert measured(a, b, durations)['bootstrap']['unit'] == 'video'
    for few in (
        measured(segments([(0, 1, 0, 0)]), segments([(0, 1, 1, 0)]), [5.0]),
        measured(a, b, durations, resamples=0),
    ):
        assert few['bootstrap'] == {}
        assert few['intervals'] == {}


def test_nothing_at_all_is_undefined_not_perfect():
    found = measured([], [], [5.0, 5.0])
    assert found['kappa'] is found['alpha'] is found['event_f1'] is None
    assert found['unit_agreement'] == 1
    one = measured([(0, 1, 0, 0)], [], [5.0, 5.0])
    assert one['event_f1'] == 0
    assert one['event_precision'] is None
