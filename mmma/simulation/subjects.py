"""The people: proportions, colours, resting posture, tempo, habits."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from mmma.simulation.domains import DOMAIN_STYLES
from mmma.taxonomy import check_choice

Colour = tuple[int, int, int]

SKINS = (
    (246, 214, 190),
    (228, 184, 150),
    (198, 146, 110),
    (150, 102, 72),
    (96, 64, 46),
)
HAIRS = ((28, 24, 22), (58, 40, 28), (104, 72, 44), (168, 132, 84), (150, 150, 152))
HAIRCUTS = ('short', 'short', 'bob', 'long')
SLEEVES = (0.35, 1.0)


@dataclass(frozen=True)
class Subject:
    """One person, the same in every clip and video.

    Attributes:
        seed: What the person was made from.
        domain: Where the person appears.
        height: Standing height, metres.
        legs: Factor of the length of the legs.
        arms: Factor of the length of the arms.
        shoulders: Factor of the width of the shoulders.
        hips: Factor of the width of the hips.
        head: Factor of the size of the head.
        girth: Factor of the thickness of trunk and limbs.
        skin: RGB.
        hair: RGB.
        top: RGB of the upper garment.
        bottom: RGB of the trousers.
        shoes: RGB.
        chair: RGB of the seat.
        haircut: ``short``, ``bob`` or ``long``.
        sleeve: Covered share of the arms.
        glasses: Whether the person wears glasses.
        posture: ``seated``, ``armchair`` or ``standing``.
        hand_rest: Number in [0, 1) that picks the resting place of the hands.
        leg_rest: Number in [0, 1) that picks that of the legs.
        tempo: Factor of speed.
        vigor: Factor of the size of motion.
        sway: Factor of idle motion.
        right_handed: Whether the right hand leads.
    """

    seed: int
    domain: str
    height: float
    legs: float
    arms: float
    shoulders: float
    hips: float
    head: float
    girth: float
    skin: Colour
    hair: Colour
    top: Colour
    bottom: Colour
    shoes: Colour
    chair: Colour
    haircut: str
    sleeve: float
    glasses: bool
    posture: str
    hand_rest: float
    leg_rest: float
    tempo: float
    vigor: float
    sway: float
    right_handed: bool


def make_subject(seed: int, domain: str) -> Subject:
    """Make a person.

    Args:
        seed: Not negative; the same seed and domain give the same person.
        domain: Where the person is filmed; decides the posture.

    Raises:
        ValueError: An unknown domain.
    """
    check_choice('domain', domain, tuple(DOMAIN_STYLES))
    rng = np.random.default_rng([seed, zlib.crc32(domain.encode())])
    postures = DOMAIN_STYLES[domain].postures
    tone = int(rng.integers(len(SKINS)))

    def factor(spread: float) -> float:
        return float(np.clip(rng.normal(1.0, spread), 1 - 2 * spread, 1 + 2 * spread))

    return Subject(
        seed=seed,
        domain=domain,
        height=1.69 * factor(0.05),
        legs=factor(0.03),
        arms=factor(0.03),
        shoulders=factor(0.07),
        hips=factor(0.07),
        head=factor(0.04),
        girth=factor(0.1),
        skin=_pick(rng, SKINS[tone : tone + 1]),
        hair=_pick(rng, HAIRS if tone < 2 else HAIRS[:2]),
        top=_cloth(rng, 60, 235),
        bottom=_cloth(rng, 30, 140),
        shoes=_cloth(rng, 20, 210),
        chair=_cloth(rng, 60, 190),
        haircut=HAIRCUTS[rng.integers(len(HAIRCUTS))],
        sleeve=float(SLEEVES[rng.integers(len(SLEEVES))]),
        glasses=bool(rng.random() < 0.3),
        posture=str(postures[rng.integers(len(postures))]),
        hand_rest=float(rng.random()),
        leg_rest=float(rng.random()),
        tempo=factor(0.12),
        vigor=factor(0.15),
        sway=float(rng.uniform(0.5, 1.6)),
        right_handed=bool(rng.random() < 0.88),
    )


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    """One of some colours, a little changed."""
    colour = np.array(colours[rng.integers(len(colours))]) + rng.integers(-8, 9, 3)
    return _rgb(colour)


def _cloth(rng: np.random.Generator, low: int, high: int) -> Colour:
    """A colour that is seldom vivid."""
    grey = rng.uniform(low, high)
    return _rgb(grey + (rng.uniform(low, high, 3) - grey) * rng.uniform(0.1, 0.9))


def _rgb(values: np.ndarray) -> Colour:
    r, g, b = (int(v) for v in np.clip(values, 0, 255))
    return r, g, b
