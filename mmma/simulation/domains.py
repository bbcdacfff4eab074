"""Domains and people of the stand-in corpus."""

import functools
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmma.taxonomy import check_choice

Array = np.ndarray
Rng = np.random.Generator
Range = tuple[float, float]
FOLDER = Path(__file__).parent / 'programs'


@functools.cache
def load_table(name: str) -> dict[str, Any]:
    """One file of the folder, as it is."""
    return json.loads((FOLDER / f'{name}.json').read_text(encoding='utf-8'))


@dataclass(frozen=True)
class DomainStyle:
    """All that distinguishes a domain, but for priors, durations and subjects."""

    size: tuple[int, int]  # width and height of the picture, pixels
    fps: tuple[float, ...]  # frame rates that occur, most frequent first
    postures: tuple[str, ...]  # of its subjects: seated, armchair, standing
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
    roll: float  # largest tilt of the picture, degrees
    shake: float  # handheld shake, degrees
    pan: float  # slow turn of the camera, degrees
    cuts_per_sec: float  # rate of jumps to another view
    blur: int  # radius of the optical blur, pixels; 0 for none
    tempo: float  # factor of the speed of motion
    vigor: float  # factor of the size of motion
    distraction: float  # unlabelled small motions per second


_COLUMNS = {k: v for k, v in load_table('styles').items() if k != 'notes'}
_NAMES = _COLUMNS.pop('name')
DOMAIN_STYLES = {
    name: DomainStyle(**{key: column[i] for key, column in _COLUMNS.items()})
    for i, name in enumerate(_NAMES)
}


Colour = tuple[int, int, int]

SKINS = (246, 214, 190), (228, 184, 150), (198, 146, 110), (150, 102, 72), (96, 64, 46)
HAIRS = ((28, 24, 22), (58, 40, 28), (104, 72, 44), (168, 132, 84), (150, 150, 152))
HAIRCUTS = ('short', 'short', 'bob', 'long')
SLEEVES = (0.35, 1.0)
_SPREADS = dict(legs=0.03, arms=0.03, shoulders=0.07, hips=0.07, head=0.04, girth=0.1)
_CLOTHS = dict(top=(60, 235), bottom=(30, 140), shoes=(20, 210), chair=(60, 190))


@dataclass(frozen=True)
class Subject:
    """One person, the same in every clip and video."""

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
    """Make a person; the same seed, not negative, and domain give the same one.

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
        height=1.69 * factor(0.05),
        **{part: factor(spread) for part, spread in _SPREADS.items()},
        skin=_pick(rng, SKINS[tone : tone + 1]),
        hair=_pick(rng, HAIRS if tone < 2 else HAIRS[:2]),
        **{part: _cloth(rng, *span) for part, span in _CLOTHS.items()},
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


def _pick(rng: Rng, colours: tuple[Colour, ...]) -> Colour:
    """One of some colours, a little changed."""
    return rgb(colours[rng.integers(len(colours))] + rng.integers(-8, 9, 3))


def _cloth(rng: Rng, low: int, high: int) -> Colour:
    """A colour that is seldom vivid."""
    grey = rng.uniform(low, high)
    return rgb(grey + (rng.uniform(low, high, 3) - grey) * rng.uniform(0.1, 0.9))


def rgb(values: Array) -> Colour:
    """A colour of numbers that may lie outside of 0 to 255."""
    r, g, b = (int(v) for v in np.clip(values, 0, 255))
    return r, g, b
