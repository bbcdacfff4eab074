"""Priors name what exists."""

import numpy as np
import pytest

from mmma.simulation.priors import (
    DOMAIN_WEIGHTS,
    EMOTION_CLIPS,
    EMOTION_WEIGHTS,
    domain_prior,
    emotion_given_action,
)
from mmma.taxonomy import DOMAINS, load_label_space

SPACE = load_label_space('mma82')


@pytest.mark.parametrize('domain', DOMAINS)
def test_domain_weights_name_actions_or_bodies(domain):
    assert set(DOMAIN_WEIGHTS[domain]) <= {*SPACE.actions, *SPACE.bodies}


@pytest.mark.parametrize('emotion', EMOTION_CLIPS)
def test_emotion_weights_name_actions(emotion):
    assert set(EMOTION_WEIGHTS[emotion]) <= set(SPACE.actions)


def test_action_overrides_body():
    street = domain_prior(SPACE)[DOMAINS.index('street')]
    assert street[SPACE.action_id('pointing')] == 3.5
    assert street[SPACE.action_id('tiptoe')] == 0.25
    assert street[SPACE.action_id('nodding')] == 1.0


def test_emotions_by_hand():
    table = emotion_given_action(SPACE)
    assert table.sum(axis=1) == pytest.approx(np.ones(82))
    shares = np.array(list(EMOTION_CLIPS.values()), float)
    shares[list(EMOTION_CLIPS).index('sad')] *= 8
    bowing = table[SPACE.action_id('bowing head')]
    assert bowing == pytest.approx(shares / shares.sum())
