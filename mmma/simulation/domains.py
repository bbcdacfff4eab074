"""What makes the four domains differ: camera, posture, picture, pose extractor."""

from __future__ import annotations

from dataclasses import dataclass

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
