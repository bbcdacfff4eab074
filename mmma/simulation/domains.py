"""Domains and people of the stand-in corpus."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from mmma.taxonomy import check_choice

Range = tuple[float, float]


@dataclass(frozen=True)
class CameraStyle:
    """Where the camera stands and how it moves.

    Attributes:
        look_at: What the picture is centred on: ``figure``, ``chest`` or ``head``.
        view_height: Height of the picture at the person, metres.
        distance: Camera to person, metres.
        yaw: Angle from the front, degrees; either side.
        pitch: Height angle, degrees; positive looks down.
        roll: Largest tilt of the picture, degrees.
        shake: Handheld shake, degrees.
        drift: Slow pan, degrees.
        cuts_per_sec: Rate of jumps to another view.
    """

    look_at: str
    view_height: Range
    distance: Range
    yaw: Range
    pitch: Range
    roll: float = 0.0
    shake: float = 0.0
    drift: float = 0.0
    cuts_per_sec: float = 0.0


@dataclass(frozen=True)
class PictureStyle:
    """How a frame looks.

    Attributes:
        background: ``wall``, ``room``, ``street`` or ``set``.
        light: Range of the brightness factor.
        warmth: Range of the colour shift, red against blue.
        noise: Standard deviation of the sensor noise, grey levels.
        blur: Radius of the optical blur, pixels; 0 for none.
    """

    background: str
    light: Range
    warmth: Range
    noise: float
    blur: int = 0


@dataclass(frozen=True)
class ExtractorStyle:
    """How well a pose extractor does on such video.

    Attributes:
        noise: White noise of a joint, metres at the person.
        drift: Slow error of a joint, metres.
        hand_miss: Share of the time that a hand is not found.
        toe_miss: Share of the time that small toes and heels are not found.
        glitch: Share of single joints that jump in a frame.
    """

    noise: float
    drift: float
    hand_miss: float
    toe_miss: float
    glitch: float


@dataclass(frozen=True)
class DomainStyle:
    """All that distinguishes a domain, but for priors, durations and subjects.

    Attributes:
        name: The domain.
        size: Width and height of the picture, pixels.
        fps: Frame rates that occur, most frequent first.
        postures: Postures of its subjects: ``seated``, ``armchair``, ``standing``.
        camera: Camera.
        picture: Background, light, noise.
        extractor: Errors of observed skeletons.
        tempo: Factor of the speed of motion.
        vigor: Factor of the size of motion.
        distraction: Unlabelled small motions per second.
    """

    name: str
    size: tuple[int, int]
    fps: tuple[float, ...]
    postures: tuple[str, ...]
    camera: CameraStyle
    picture: PictureStyle
    extractor: ExtractorStyle
    tempo: float = 1.0
    vigor: float = 1.0
    distraction: float = 0.1


_STYLES = (
    DomainStyle(
        name='lab',
        size=(320, 384),
        fps=(30.0,),
        postures=('seated',),
        camera=CameraStyle(
            look_at='figure',
            view_height=(1.6, 1.9),
            distance=(2.6, 3.6),
            yaw=(0.0, 18.0),
            pitch=(0.0, 10.0),
        ),
        picture=PictureStyle('wall', (0.95, 1.08), (-0.02, 0.03), 2.0),
        extractor=ExtractorStyle(0.007, 0.009, 0.06, 0.12, 0.002),
        distraction=0.35,
    ),
    DomainStyle(
        name='psychiatric',
        size=(256, 192),
        fps=(25.0,),
        postures=('armchair',),
        camera=CameraStyle(
            look_at='chest',
            view_height=(1.1, 1.4),
            distance=(2.2, 3.0),
            yaw=(16.0, 36.0),
            pitch=(8.0, 18.0),
            roll=1.0,
        ),
        picture=PictureStyle('room', (0.55, 0.75), (-0.08, 0.0), 6.0, 1),
        extractor=ExtractorStyle(0.008, 0.010, 0.12, 0.3, 0.004),
        tempo=0.82,
        vigor=0.85,
        distraction=0.3,
    ),
    DomainStyle(
        name='street',
        size=(384, 288),
        fps=(30.0, 29.0),
        postures=('standing',),
        camera=CameraStyle(
            look_at='chest',
            view_height=(1.45, 2.0),
            distance=(1.8, 3.0),
            yaw=(0.0, 32.0),
            pitch=(-6.0, 8.0),
            roll=3.0,
            shake=0.7,
            drift=3.0,
        ),
        picture=PictureStyle('street', (0.9, 1.25), (-0.04, 0.08), 3.0),
        extractor=ExtractorStyle(0.008, 0.010, 0.1, 0.25, 0.004),
        tempo=1.12,
        vigor=1.1,
        distraction=0.45,
    ),
    DomainStyle(
        name='emotion',
        size=(320, 240),
        fps=(25.0, 24.0),
        postures=('seated', 'standing'),
        camera=CameraStyle(
            look_at='head',
            view_height=(0.85, 1.25),
            distance=(1.3, 2.4),
            yaw=(0.0, 50.0),
            pitch=(-8.0, 10.0),
            roll=2.0,
            shake=0.15,
            drift=4.0,
            cuts_per_sec=0.2,
        ),
        picture=PictureStyle('set', (0.6, 1.05), (-0.1, 0.12), 3.0, 1),
        extractor=ExtractorStyle(0.008, 0.010, 0.12, 0.3, 0.005),
        tempo=1.15,
        vigor=0.95,
        distraction=0.5,
    ),
)

DOMAIN_STYLES: dict[str, DomainStyle] = {style.name: style for style in _STYLES}


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
