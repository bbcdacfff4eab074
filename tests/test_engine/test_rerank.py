from types import SimpleNamespace

import numpy as np
import pytest

from mmma.data.clips import Clip
from mmma.engine.features import Features
from mmma.engine.rerank import fit_reranker, score_reranked
from mmma.engine.run import TestOptions
from mmma.engine.test import score_checkpoint
from mmma.protocols import make_protocol

BODIES = [0, 0, 1, 1]


def confused(count, seed, told=True, names='c'):
    """Scores that cannot tell actions of a group apart; features that do, if told."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    scores = np.full((count, 4), 0.05)
    scores[np.arange(count), labels // 2 * 2] = 0.5
    scores[np.arange(count), labels // 2 * 2 + 1] = 0.4
    features = rng.normal(size=(count, 2, 8))
    if told:
        features[..., 0] += 4 * (labels % 2)[:, None] - 2
    own = [f'{names}{i}' for i in range(count)]
    found = Features(own, features.astype('float32'), scores.astype('float32'))
    return found, labels


def top1(found, labels):
    return 100 * (found.scores.argmax(axis=1) == labels).mean()


def test_it_learns_what_the_features_tell_and_keeps_what_it_does_not_see():
    train, val, (test, labels) = confused(400, 0), confused(100, 1), confused(200, 2)
    model, record = fit_reranker(train, val, BODIES, k=2)
    scores = model.rerank(test)
    hits = 100 * (scores.argmax(axis=1) == labels).mean()
    assert hits > 95 > 60 > top1(test, labels)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)
    other = np.argsort(-test.scores, axis=1, kind='stable')[:, 2:]
    kept = np.take_along_axis(scores, other, 1)
    np.testing.assert_array_equal(kept, np.take_along_axis(test.scores, other, 1))
    assert record['weight'] > 0
    again, _ = fit_reranker(train, val, BODIES, k=2)
    np.testing.assert_array_equal(again.rerank(test), scores)


def test_where_val_gains_nothing_the_scores_stay():
    train = confused(200, 0)
    val = confused(100, 1, told=False)
    val[1][:] = val[0].scores.argmax(axis=1)  # the model is right on all of them
    model, record = fit_reranker(train, val, BODIES, k=3)
    assert (record['weight'], record['k'], len(record['tried'])) == (0, 3, 4)
    assert record['tried'][0] == {'weight': 0, 'val_top1': 100}
    assert model.rerank(val[0]) is val[0].scores


@pytest.mark.parametrize('k', [1, 5])
def test_numbers_of_actions_that_do_not_fit(k):
    with pytest.raises(
        ValueError, match=f'--rerank {k}: use a number of actions, 2 to'
    ):
        fit_reranker(confused(8, 0), confused(8, 1), BODIES, k)


def test_no_action_among_the_first():
    found, labels = confused(8, 0)
    with pytest.raises(ValueError, match='no train clip has its action among the fir'):
        fit_reranker((found, (labels + 2) % 4), confused(8, 1), BODIES, 2)


@pytest.mark.parametrize('name', ['indomain', 'zeroshot'])
def test_groups_of_a_protocol(name):
    domains = ('lab', 'street')
    parts = {
        (subset, domain): confused(n, seed, names=f'{subset}-{domain}-')
        for seed, (subset, n) in enumerate([('train', 200), ('val', 60), ('test', 50)])
        for domain in domains
    }
    clips = [
        Clip(clip, '', subset, domain, 's', int(action), None)
        for (subset, domain), (found, labels) in parts.items()
        for clip, action in zip(found.names, labels, strict=True)
    ]
    clips.append(Clip('hidden', '', 'train', 'lab', 's', None, None))
    run = SimpleNamespace(
        protocol=make_protocol({'name': name}, domains=domains),
        space=SimpleNamespace(body_of=BODIES, bodies=['a', 'b'], num_actions=4),
        clips=lambda: clips,
    )

    def stream(subset, domain, names):
        found = parts[subset, domain][0].take(sorted(names))
        rows = zip(found.names, found.features, found.scores, strict=True)
        return ((name, row) for name, *row in rows)

    source = SimpleNamespace(
        features=lambda subset, domain: parts[subset, domain][0], stream=stream
    )
    groups, record = score_reranked(run, source, 2, 'test')
    labels = [group.labels for group in groups]
    assert labels == (
        [{'domain': 'all'}] if name == 'indomain' else [{'target': 'street'}]
    )
    assert len(groups[0].table.names) == (100 if name == 'indomain' else 50)
    assert record['weight'] > 0
    del clips[200:]
    with pytest.raises(
        ValueError, match='--rerank needs val clips with actions of lab'
    ):
        score_reranked(run, source, 2, 'test')


@pytest.mark.parametrize(
    ('task', 'name', 'told'),
    [('det', 'indomain', 'detection'), ('rec', 'fewshot', 'few')],
)
def test_where_it_is_not(task, name, told):
    run = SimpleNamespace(task=task, protocol=SimpleNamespace(name=name))
    with pytest.raises(ValueError, match=f'indomain or zeroshot, not in {told}'):
        score_checkpoint(run, 'none.pth', TestOptions(rerank=5))
