"""Domains and people of the stand-in corpus."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from mmma.taxonomy import check_choice

Range = tuple[float, float]


@dataclass(frozen=True)
class DomainStyle:
    """All that distinguishes a domain, but for priors, durations and subjects."""

    size: tuple[int, int]  # width and height of the picture, pixels
    fps: tuple[float, ...]  # frame rates that occur, most frequent first
    # postures of its subjects: seated, armchair, standing
    postures: tuple[str, ...]
    look_at: str  # what the picture is centred on: figure, chest or head
    view_height: Range  # height of the picture at the person, metres
    distance: Range  # camera to person, metres
    yaw: Range  # angle of the camera from the front, degrees; either side
    pitch: Range  # height angle, degrees; positive looks down
    background: str  # wall, room, street or set
    light: Range  # range of the brightness factor
    warmth: Range  # range of the colour shift, red against blue
    sensor_noise: float  # standard deviation, grey levels
    joint_noise: float  # white noise of an observed joint, metres at the person
    joint_drift: float  # slow error of an observed joint, metres
    hand_miss: float  # share of the time that an extractor finds no hand
    toe_miss: float  # share of the time that it finds no small toes and heels
    glitch: float  # share of single joints that jump in a frame
    roll: float = 0.0  # largest tilt of the picture, degrees
    shake: float = 0.0  # handheld shake, degrees
    pan: float = 0.0  # slow turn of the camera, degrees
    cuts_per_sec: float = 0.0  # rate of jumps to another view
    blur: int = 0  # radius of the optical blur, pixels; 0 for none
    tempo: float = 1.0  # factor of the speed of motion
    vigor: float = 1.0  # factor of the size of motion
    distraction: float = 0.1  # unlabelled small motions per second


DOMAIN_STYLES: dict[str, DomainStyle] = {
    'lab': DomainStyle(
        size=(320, 384),
        fps=(30.0,),
        postures=('seated',),
        look_at='figure',
        view_height=(1.6, 1.9),
        distance=(2.6, 3.6),
        yaw=(0.0, 18.0),
        pitch=(0.0, 10.0),
        background='wall',
        light=(0.95, 1.08),
        warmth=(-0.02, 0.03),
        sensor_noise=2.0,
        joint_noise=0.007,
        joint_drift=0.009,
        hand_miss=0.06,
        toe_miss=0.12,
        glitch=0.002,
        distraction=0.35,
    ),
    'psychiatric': DomainStyle(
        size=(256, 192),
        fps=(25.0,),
        postures=('armchair',),
        look_at='chest',
        view_height=(1.1, 1.4),
        distance=(2.2, 3.0),
        yaw=(16.0, 36.0),
        pitch=(8.0, 18.0),
        background='room',
        light=(0.55, 0.75),
        warmth=(-0.08, 0.0),
        sensor_noise=6.0,
        joint_noise=0.008,
        joint_drift=0.01,
        hand_miss=0.12,
        toe_miss=0.3,
        glitch=0.004,
        roll=1.0,
        blur=1,
        tempo=0.82,
        vigor=0.85,
        distraction=0.3,
    ),
    'street': DomainStyle(
        size=(384, 288),
        fps=(30.0, 29.0),
        postures=('standing',),
        look_at='chest',
        view_height=(1.45, 2.0),
        distance=(1.8, 3.0),
        yaw=(0.0, 32.0),
        pitch=(-6.0, 8.0),
        background='street',
        light=(0.9, 1.25),
        warmth=(-0.04, 0.08),
        sensor_noise=3.0,
        joint_noise=0.008,
        joint_drift=0.01,
        hand_miss=0.1,
        toe_miss=0.25,
        glitch=0.004,
        roll=3.0,
        shake=0.7,
        pan=3.0,
        tempo=1.12,
        vigor=1.1,
        distraction=0.45,
    ),
    'emotion': DomainStyle(
        size=(320, 240),
        fps=(25.0, 24.0),
        postures=('seated', 'standing'),
        look_at='head',
        view_height=(0.85, 1.25),
        distance=(1.3, 2.4),
        yaw=(0.0, 50.0),
        pitch=(-8.0, 10.0),
        background='set',
        light=(0.6, 1.05),
        warmth=(-0.1, 0.12),
        sensor_noise=3.0,
        joint_noise=0.008,
        joint_drift=0.01,
        hand_miss=0.12,
        toe_miss=0.3,
        glitch=0.005,
        roll=2.0,
        shake=0.15,
        pan=4.0,
        cuts_per_sec=0.2,
        blur=1,
        tempo=1.15,
        vigor=0.95,
        distraction=0.5,
    ),
}


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
    """One person, the same in every clip and video."""

    seed: int  # what the person was made from
    domain: str  # where the person appears
    height: float  # standing height, metres
    legs: float  # factor of the length of the legs
    arms: float  # factor of the length of the arms
    shoulders: float  # factor of the width of the shoulders
    hips: float  # factor of the width of the hips
    head: float  # factor of the size of the head
    girth: float  # factor of the thickness of trunk and limbs
    skin: Colour  # RGB
    hair: Colour  # RGB
    top: Colour  # RGB of the upper garment
    bottom: Colour  # RGB of the trousers
    shoes: Colour  # RGB
    chair: Colour  # RGB of the seat
    haircut: str  # short, bob or long
    sleeve: float  # covered share of the arms
    glasses: bool  # whether the person wears glasses
    posture: str  # seated, armchair or standing
    hand_rest: float  # number in [0, 1) that picks the resting place of the hands
    leg_rest: float  # number in [0, 1) that picks that of the legs
    tempo: float  # factor of speed
    vigor: float  # factor of the size of motion
    sway: float  # factor of idle motion
    right_handed: bool  # whether the right hand leads


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
    return rgb(colours[rng.integers(len(colours))] + rng.integers(-8, 9, 3))


def _cloth(rng: np.random.Generator, low: int, high: int) -> Colour:
    """A colour that is seldom vivid."""
    grey = rng.uniform(low, high)
    return rgb(grey + (rng.uniform(low, high, 3) - grey) * rng.uniform(0.1, 0.9))


def rgb(values: np.ndarray) -> Colour:
    """A colour of numbers that may lie outside of 0 to 255."""
    r, g, b = (int(v) for v in np.clip(values, 0, 255))
    return r, g, b
