import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mmma.engine import probe_linear as module
from mmma.engine.probe_linear import Labelled, fit_path

K, D, N = 4, 6, 80


def problem(seed=0, views=1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, K, N)
    centres = rng.normal(size=(K, D))
    noise = rng.normal(size=(N, views, D))
    features = 3 + (centres[labels][:, None] + noise) * np.geomspace(0.1, 10, D)
    return Labelled(features.astype('float32'), labels)


@pytest.mark.parametrize('exact', [True, False])
def test_the_minimum_is_that_of_scikit_learn(exact, monkeypatch):
    if not exact:
        monkeypatch.setattr(module, '_EXACT', 0)
    data = problem()
    x = data.features[:, 0].astype(float)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    for l2, found in fit_path(data, K, (0.1, 0.001)):
        oracle = LogisticRegression(C=1 / (l2 * N), tol=1e-10, max_iter=10000)
        expected = oracle.fit(scaled, data.labels).predict_proba(scaled)
        np.testing.assert_allclose(
            found.predict(data.features), expected, atol=1e-4 if exact else 5e-3
        )


def test_views_count_as_clips_and_are_averaged():
    data = problem(views=2)
    apart = Labelled(data.features.reshape(2 * N, 1, D), data.labels.repeat(2))
    (_, found), (_, expected) = (next(fit_path(d, K, (0.01,))) for d in (data, apart))
    np.testing.assert_allclose(found.weight, expected.weight, atol=1e-5)
    scores = expected.predict(apart.features).reshape(N, 2, K).mean(axis=1)
    np.testing.assert_allclose(found.predict(data.features), scores, atol=1e-5)


def test_what_does_not_vary_gets_no_weight():
    data = problem()
    data.features[..., 2] = 7
    _, found = next(fit_path(data, K, (0.01,)))
    assert (found.weight[:, 2] == 0).all()
    assert np.isfinite(found.predict(data.features)).all()


def test_the_scale_of_features_changes_nothing():
    data = problem()
    scaled = Labelled(data.features * 1000, data.labels)
    (_, small), (_, large) = (next(fit_path(d, K, (0.01,))) for d in (data, scaled))
    np.testing.assert_allclose(
        small.predict(data.features), large.predict(scaled.features), atol=1e-4
    )
