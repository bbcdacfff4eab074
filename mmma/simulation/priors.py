"""Which actions a domain and an emotion favour; illustrative, not measured.

No published table says how the classes are spread over the domains. The weights
below follow what people do and what a camera sees in each setting; the margins then
fix all totals.
"""

from __future__ import annotations

import numpy as np

from mmma.taxonomy import DOMAINS, LabelSpace

# Weight of a class in a domain against its share in the whole corpus: by body group,
# overridden by action. A zero is an action the setting rules out.
DOMAIN_WEIGHTS: dict[str, dict[str, float]] = {
    'lab': {},
    # Armchair, framed to the knees: restless hands, rubbing, few feet in the picture.
    'psychiatric': {
        'lower limb': 0.35,
        'leg-hand': 1.8,
        'body-hand': 1.5,
        'tiptoe': 0.05,
        'ankle movements': 0.05,
        'scratching feet': 0.1,
        'swing body': 2.5,
        'shaking body': 2.0,
        'bowing head': 2.5,
        'illustrative gestures': 0.7,
        'pointing': 0.5,
        'rubbing hands': 4.0,
        'rubbing hands with clenched': 4.0,
        'rolling thumbs': 3.0,
        'other finger interaction movements': 2.5,
        'holding fingers': 2.5,
        'scratching arms': 2.5,
        'folding arms rubbing': 3.0,
        'rubbing knee': 4.0,
        'touching legs': 3.0,
        'shaking legs': 1.5,
    },
    # Standing talk to a microphone: gestures; nothing that needs a seat.
    'street': {
        'lower limb': 0.25,
        'leg-hand': 0.05,
        'illustrative gestures': 3.0,
        'pointing': 3.5,
        'spreading hands': 2.5,
        'waving': 3.0,
        'thumbs up': 3.0,
        'v gestures': 3.0,
        'ok gestures': 3.0,
        'other symbolic gestures': 3.0,
        'change body direction': 3.0,
        'hands behind back': 3.0,
        'arms akimbo': 2.0,
        'sitting straightly': 0.0,
        'curling legs': 0.0,
        'scratching feet': 0.0,
        'placing hands on legs with elbows outward': 0.0,
        'flatting hands on legs': 0.0,
        'folding hands on legs': 0.0,
    },
    # Close shots of television drama: head and face; legs are rarely in the picture.
    'emotion': {
        'head': 1.8,
        'head-hand': 2.5,
        'lower limb': 0.03,
        'leg-hand': 0.05,
        'tiptoe': 0.0,
        'ankle movements': 0.0,
        'scratching feet': 0.0,
        'semantic head movements': 4.0,
        'shrugging': 3.0,
        'covering eyes': 4.0,
        'covering mouth': 5.0,
        'swing hair': 3.0,
        'clapping': 2.0,
    },
}

# CAER's seven emotions with the clips of each. The emotions of MMA-82 itself are not
# published (its page also names melancholy).
# Source: Lee et al., Context-Aware Emotion Recognition Networks, ICCV 2019.
EMOTION_CLIPS: dict[str, int] = {
    'anger': 1628,
    'disgust': 719,
    'fear': 514,
    'happy': 2726,
    'neutral': 4579,
    'sad': 1473,
    'surprise': 1562,
}

# How much likelier than usual an action is under an emotion. Bowing and turning the
# head go with sadness on the MMA-82 page; the rest is plausible invention.
EMOTION_WEIGHTS: dict[str, dict[str, float]] = {
    'anger': {
        'pointing': 6.0,
        'clenching fists': 8.0,
        'shaking head': 3.0,
        'arms akimbo': 6.0,
        'tilting forward/backward': 3.0,
    },
    'disgust': {
        'touching nose': 8.0,
        'scratching or touching philtrum': 8.0,
        'change body direction': 5.0,
        'shaking head': 4.0,
    },
    'fear': {
        'shaking body': 8.0,
        'retracting and stretching arms': 8.0,
        'holding hands': 6.0,
        'covering eyes': 8.0,
        'covering mouth': 5.0,
    },
    'happy': {
        'nodding': 2.5,
        'clapping': 8.0,
        'swing body': 5.0,
        'thumbs up': 6.0,
        'playing or tidying hair': 3.0,
    },
    'neutral': {'illustrative gestures': 1.5, 'tilting head': 1.5},
    'sad': {
        'bowing head': 8.0,
        'turning head': 3.0,
        'rubbing eyes': 8.0,
        'cradling chin': 4.0,
        'scratching or touching forehead': 4.0,
    },
    'surprise': {
        'raising head': 8.0,
        'spreading hands': 4.0,
        'shrugging': 4.0,
        'covering mouth': 6.0,
    },
}


def domain_prior(space: LabelSpace) -> np.ndarray:
    """Weight of every action in every domain.

    Returns:
        (4, K) float64, domains in the order of ``DOMAINS``.
    """
    return np.array(
        [
            [
                weights.get(action, weights.get(space.bodies[body], 1.0))
                for action, body in zip(space.actions, space.body_of, strict=True)
            ]
            for weights in (DOMAIN_WEIGHTS[domain] for domain in DOMAINS)
        ]
    )


def emotion_given_action(space: LabelSpace) -> np.ndarray:
    """Probability of every emotion for a clip of each action.

    Drawing the emotion of a clip from its action, rather than the reverse, leaves the
    number of clips per action as it is, while emotions differ in their actions.

    Returns:
        (K, 7) float64, rows sum to 1, emotions in the order of ``EMOTION_CLIPS``.
    """
    weights = np.array(
        [
            [share * EMOTION_WEIGHTS[name].get(action, 1.0)]
            for action in space.actions
            for name, share in EMOTION_CLIPS.items()
        ]
    ).reshape(space.num_actions, len(EMOTION_CLIPS))
    return weights / weights.sum(axis=1, keepdims=True)
