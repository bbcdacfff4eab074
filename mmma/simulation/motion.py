"""What a person does in a clip or a video: events laid over rest and idle motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmma.simulation.body import (
    JOINT,
    OUTWARD,
    Build,
    Figure,
    TrunkAngles,
    hand_frames,
    make_build,
    pose_arms,
    pose_hands,
    pose_legs,
    pose_trunk,
)
from mmma.simulation.camera import Camera, film
from mmma.simulation.domains import DomainStyle
from mmma.simulation.generators import Draw, Ramp, idle_noise
from mmma.simulation.kinematics import euler_rotation, rotate
from mmma.simulation.layers import (
    CHANNELS,
    Feet,
    Layer,
    add_angles,
    make_ramp,
    move_feet,
)
from mmma.simulation.programs import (
    ANGLES,
    LIMBS,
    Track,
    Variants,
    action_effectors,
    find_program,
    load_habits,
    load_rest,
)
from mmma.simulation.reaching import Hands, move_hands, needs_arms
from mmma.simulation.subjects import Subject

__all__ = ['Event', 'Held', 'Motion', 'action_effectors', 'simulate_motion']

_DOMINANT = 0.8  # chance that the leading hand acts
_HABITUAL = 0.7  # chance of the person's own resting posture
_VIGOR_SPREAD, _TEMPO_SPREAD = 0.22, 0.15  # of instances, in logarithms
_VIGOR = 0.6, 1.6  # limits, so that actions stay what they are
_ALWAYS = Ramp(-1e6, 1.0, 1e6, 1.0)
_SEAT_SINK = 0.005
# Idle motion: radians or metres by channel; what is not here rests.
_IDLE = {
    'torso.lean': 0.012,
    'torso.side': 0.009,
    'torso.twist': 0.010,
    'head.yaw': 0.030,
    'head.pitch': 0.022,
    'head.roll': 0.016,
    'shoulders.lift': 0.012,
}
_STEADY = 0.45  # share of the trunk's motion that the head takes back


@dataclass(frozen=True)
class Event:
    """An action in time.

    Attributes:
        action: Name in the label space.
        start_sec: When it begins; may lie before the first frame.
        end_sec: When it ends; may lie behind the last.
    """

    action: str
    start_sec: float
    end_sec: float


@dataclass(frozen=True)
class Held:
    """An object in a hand, or glasses on the nose.

    Attributes:
        kind: ``pen``, ``phone``, ``cup`` or ``glasses``.
        side: 0 left, 1 right.
        weight: (T,) how much it is there.
    """

    kind: str
    side: int
    weight: np.ndarray


@dataclass
class Motion:
    """A figure and a camera over T frames.

    Attributes:
        figure: Joints and orientations.
        camera: Who films.
        fps: Frames per second.
        posture: ``seated``, ``armchair`` or ``standing``.
        seat: (3,) pelvis at rest, metres.
        objects: What is held.
    """

    figure: Figure
    camera: Camera
    fps: float
    posture: str
    seat: np.ndarray
    objects: list[Held]

    @property
    def joints(self) -> np.ndarray:
        """(T, J, 3) joints, metres: 65 of the skeleton, then ``EXTRA_JOINTS``."""
        return self.figure.joints


def simulate_motion(
    subject: Subject,
    style: DomainStyle,
    events: Sequence[Event],
    duration_sec: float,
    fps: float,
    rng: np.random.Generator,
) -> Motion:
    """Move a person.

    Args:
        subject: Who.
        style: Domain: camera, tempo, size of motion, unlabelled habits.
        events: Actions; those of different limbs may overlap, and of two that claim one
            limb the later in the list wins.
        duration_sec: Length.
        fps: Frames per second.
        rng: Dice; the same state gives the same motion.

    Raises:
        ValueError: No frame, an event that ends before it starts, an unknown action.
    """
    frames = round(duration_sec * fps)
    if frames < 1:
        raise ValueError(f'{duration_sec} s at {fps} fps has no frame: make it longer')
    time_sec = np.arange(frames) / fps
    scene = _Scene(subject, style, time_sec, rng)
    layers = scene.rest_layers() + scene.habit_layers(duration_sec)
    for event in events:
        layers += scene.event_layers(event)
    figure = _pose(scene, layers)
    centre = _look_at(figure, style.camera.look_at)
    camera = film(style.camera, style.size, centre, time_sec, rng)
    return Motion(
        figure, camera, fps, subject.posture, scene.seat, _held(layers, frames)
    )


class _Scene:
    """Dice and data that all layers of one motion share."""

    def __init__(
        self,
        subject: Subject,
        style: DomainStyle,
        time_sec: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        self.subject, self.style = subject, style
        self.time_sec, self.rng = time_sec, rng
        self.build: Build = make_build(subject)
        self.seat = np.array([0.0, self._seat_height(), 0.0])

    def _seat_height(self) -> float:
        build = self.build
        if self.subject.posture == 'standing':
            return 0.985 * (build.thigh + build.shank) + build.ankle
        return build.shank + build.ankle + _SEAT_SINK

    def rest_layers(self) -> list[Layer]:
        """Where everything is when nothing happens."""
        rest = load_rest()[self.subject.posture]
        wishes = {'hands': self.subject.hand_rest, 'legs': self.subject.leg_rest}
        layers = []
        for part, variants in rest.items():
            habitual = self.rng.random() < _HABITUAL
            pick = wishes.get(part, 0.0) if habitual else self.rng.random()
            draw = Draw(self.rng)
            main = int(self.subject.right_handed)
            for track in variants[int(pick * len(variants))]:
                layers.append(self._layer(track, main, _ALWAYS, 0.0, draw))
        return layers

    def habit_layers(self, duration_sec: float) -> list[Layer]:
        """Small motions without a label."""
        layers = []
        habits = load_habits()['standing' if self._stands else 'seated']
        for _ in range(self.rng.poisson(self.style.distraction * duration_sec)):
            start_sec = self.rng.uniform(-0.5, duration_sec)
            span = (start_sec, start_sec + self.rng.uniform(0.7, 2.2))
            layers += self._variant_layers(habits, span, False)
        return layers

    def event_layers(self, event: Event) -> list[Layer]:
        """Layers of one event, its instance drawn."""
        if not event.end_sec > event.start_sec:
            raise ValueError(
                f'event {event.action!r} ends at {event.end_sec} s, which is not after '
                f'its start at {event.start_sec} s'
            )
        variants = find_program(event.action, self.subject.posture)
        manual = 'hands' in action_effectors(event.action)
        return self._variant_layers(variants, (event.start_sec, event.end_sec), manual)

    @property
    def _stands(self) -> bool:
        return self.subject.posture == 'standing'

    def _variant_layers(
        self, variants: Variants, span: tuple[float, float], manual: bool
    ) -> list[Layer]:
        rng, subject, style = self.rng, self.subject, self.style
        tracks = variants[rng.integers(len(variants))]
        leads = rng.random() < (_DOMINANT if manual else 0.5)
        main = int(leads == subject.right_handed)
        vigor = subject.vigor * style.vigor * np.exp(rng.normal(0, _VIGOR_SPREAD))
        tempo = subject.tempo * style.tempo * np.exp(rng.normal(0, _TEMPO_SPREAD))
        draw = Draw(rng, vigor=float(np.clip(vigor, *_VIGOR)), tempo=float(tempo))
        layers = []
        for track in tracks:
            ramp = make_ramp(track, span, draw)
            layers.append(self._layer(track, main, ramp, span[0], draw))
        return [x for x in layers if len(x.time_sec)]

    def _layer(
        self, track: Track, main: int, ramp: Ramp, start_sec: float, draw: Draw
    ) -> Layer:
        who = next((track[k] for k in LIMBS if k in track), 'main')
        sides = {'main': (main,), 'other': (1 - main,), 'both': (main, 1 - main)}
        first, last = np.searchsorted(self.time_sec, [ramp.start_sec, ramp.end_sec])
        time_sec = self.time_sec[first:last]
        return Layer(
            track=track,
            sides=sides[who],
            frames=slice(int(first), int(last)),
            time_sec=time_sec - start_sec,
            weight=ramp.values(time_sec),
            draw=draw,
            posture=self.subject.posture,
        )

    def idle(self, size: int, rate: float) -> np.ndarray:
        """(T, size) smooth noise in the person's own strength."""
        return idle_noise(self.rng, self.time_sec, size, rate) * self.subject.sway


def _pose(scene: _Scene, layers: list[Layer]) -> Figure:
    frames = len(scene.time_sec)
    channels = np.zeros((frames, len(CHANNELS)))
    noise = scene.idle(len(_IDLE), 0.35)
    for i, (name, size) in enumerate(_IDLE.items()):
        channels[:, CHANNELS[name]] = size * noise[:, i]
    for layer in layers:
        if ANGLES.keys() & layer.track.keys():
            add_angles(channels, layer)
    figure = pose_trunk(scene.build, _trunk_angles(scene, channels))
    feet = Feet.empty(frames)
    for layer in layers:
        if 'foot' in layer.track:
            move_feet(feet, layer)
    _place_legs(scene, figure, feet, channels[:, CHANNELS['torso.turn']])
    _place_arms(
        scene, figure, [x for x in layers if {'hand', 'shift_hand'} & x.track.keys()]
    )
    return figure


def _trunk_angles(scene: _Scene, channels: np.ndarray) -> TrunkAngles:
    """Share the angles out over pelvis, chest and head."""
    c = {name: channels[:, i] for name, i in CHANNELS.items()}
    lean, side, twist = c['torso.lean'], c['torso.side'], c['torso.twist']
    shift = [c[f'torso.{k}'] for k in ('shift', 'rise', 'slide')]
    lifts = np.stack([c['shoulders.lift'], c['shoulders.forward']], axis=1)
    return TrunkAngles(
        base=scene.seat + scene.build.scale * np.stack(shift, axis=1),
        pelvis=np.stack([c['torso.turn'], 0.6 * lean, 0.4 * side], axis=1),
        chest=np.stack([twist, 0.4 * lean + c['torso.curl'], 0.6 * side], axis=1),
        head=np.stack(
            [
                c['head.yaw'] - _STEADY * twist,
                c['head.pitch'] - _STEADY * lean,
                c['head.roll'] - _STEADY * side,
            ],
            axis=1,
        ),
        thrust=c['head.thrust'],
        shoulders=np.repeat(lifts[:, None], 2, axis=1),
    )


def _place_legs(scene: _Scene, figure: Figure, feet: Feet, turn: np.ndarray) -> None:
    """Feet stand on the floor below the resting pelvis and turn with the body."""
    zero = np.zeros_like(turn)
    floor = euler_rotation(turn, zero, zero)[:, None]
    mirror = np.stack([OUTWARD, np.ones(2), np.ones(2)], axis=1)
    ankles = rotate(floor, feet.at * mirror * scene.build.scale)
    ankles += scene.seat * (1.0, 0.0, 1.0)
    poles = rotate(floor, feet.poles * mirror)
    angles = feet.angles * np.stack([OUTWARD, np.ones(2), OUTWARD], axis=1)
    angles[..., 0] += turn[:, None]
    pose_legs(figure, ankles, poles, angles)


def _place_arms(scene: _Scene, figure: Figure, layers: list[Layer]) -> None:
    """First the hands that go to trunk, head and legs, then those that go to arms."""
    frames = len(scene.time_sec)
    hands = Hands.empty(frames)
    late = [needs_arms(layer) for layer in layers]
    for layer, waits in zip(layers, late, strict=True):
        if not waits:
            move_hands(hands, figure, layer)
    hands.wrists += 0.004 * scene.idle(6, 0.5).reshape(frames, 2, 3)
    if any(late):
        pose_arms(figure, hands.wrists, hands.poles)
        figure.hands = hand_frames(hands.fingers, hands.palms, OUTWARD)
        for layer, waits in zip(layers, late, strict=True):
            if waits:
                move_hands(hands, figure, layer)
    pose_arms(figure, hands.wrists, hands.poles)
    hands.shapes[..., 2:7] += 0.03 * scene.idle(10, 0.5).reshape(frames, 2, 5)
    pose_hands(figure, hand_frames(hands.fingers, hands.palms, OUTWARD), hands.shapes)


def _look_at(figure: Figure, target: str) -> np.ndarray:
    """(3,) centre of the picture."""
    joints = figure.joints.mean(axis=0)
    head, neck = joints[JOINT['head']], joints[JOINT['neck']]
    if target == 'figure':
        return np.array([joints[JOINT['pelvis'], 0], 0.5 * head[1], 0.1])
    if target == 'chest':
        return neck - (0.0, 0.2, 0.0)
    return neck - (0.0, 0.1, 0.0)


def _held(layers: list[Layer], frames: int) -> list[Held]:
    held = []
    for layer in layers:
        if 'object' in layer.track:
            weight = np.zeros(frames)
            weight[layer.frames] = layer.weight
            held.append(Held(layer.track['object'], layer.sides[0], weight))
    return held
