"""Motions of a figure, and the skeletons that are observed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmma.data.joints import WHOLEBODY65
from mmma.simulation import programs
from mmma.simulation.domains import Array, DomainStyle, Rng, Subject, load_table
from mmma.simulation.figure import (
    HAND_START,
    JOINT,
    OUTWARD,
    Build,
    Figure,
    hand_frames,
    joint_pair,
    pose_arms,
    pose_hands,
    pose_legs,
    pose_trunk,
)
from mmma.simulation.geometry import (
    Camera,
    Draw,
    Ramp,
    euler_rotation,
    film,
    idle_noise,
    norm,
    ramp_weight,
    rotate,
)

_DOMINANT = 0.8  # chance that the leading hand acts
_HABITUAL = 0.7  # chance of the person's own resting posture
_VIGOR_SPREAD, _TEMPO_SPREAD = 0.22, 0.15  # of instances, in logarithms
_VIGOR = 0.6, 1.6  # limits, so that actions stay what they are
_ALWAYS: Ramp = (-1e6, 1.0, 1e6, 1.0)
_SEAT_SINK = 0.005
_FIGURES = load_table('figures')
_STEADY = 0.45  # share of the trunk's motion that the head takes back


@dataclass(frozen=True)
class Event:
    """An action in time."""

    action: str  # name in the label space
    start_sec: float  # when it begins; may lie before the first frame
    end_sec: float  # when it ends; may lie behind the last


# Object in a hand, or glasses on the nose: pen, phone, cup or glasses; side, 0 left and
# 1 right; (T,) how much it is there.
Held = tuple[str, int, Array]


@dataclass
class Motion:
    """A figure and a camera over T frames."""

    figure: Figure  # joints and orientations
    camera: Camera  # who films
    fps: float  # frames per second
    posture: str  # seated, armchair or standing
    seat: Array  # (3,) pelvis at rest, metres
    objects: list[Held]  # what is held

    @property
    def joints(self) -> Array:
        """(T, J, 3) joints, metres: 65 of the skeleton, then ``EXTRA_JOINTS``."""
        return self.figure.joints


def simulate_motion(
    subject: Subject,
    style: DomainStyle,
    events: Sequence[Event],
    duration_sec: float,
    fps: float,
    rng: Rng,
) -> Motion:
    """Move a person; the same dice give the same motion.

    Events of different limbs may overlap, and of two that claim one limb the later in
    the list wins. The style tells camera, tempo, size of motion, unlabelled habits.

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
    camera = film(style, _look_at(figure, style.look_at), time_sec, rng)
    held = []
    for layer in layers:
        if 'object' in layer.track:
            weight = np.zeros(frames)
            weight[layer.frames] = layer.weight
            held.append((layer.track['object'], layer.sides[0], weight))
    return Motion(figure, camera, fps, subject.posture, scene.seat, held)


class _Scene:
    """Dice and data that all layers of one motion share."""

    def __init__(
        self, subject: Subject, style: DomainStyle, time_sec: Array, rng: Rng
    ) -> None:
        self.subject, self.style = subject, style
        self.time_sec, self.rng = time_sec, rng
        self.build = build = Build(subject)
        self.stance = 'standing' if subject.posture == 'standing' else 'seated'
        height = build.shank + build.ankle + _SEAT_SINK
        if self.stance == 'standing':
            height = 0.985 * (build.thigh + build.shank) + build.ankle
        self.seat = np.array([0.0, height, 0.0])

    def rest_layers(self) -> list[programs.Layer]:
        """Layers of a person to whom nothing happens."""
        rest = programs.load_rest()[self.subject.posture]
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

    def habit_layers(self, duration_sec: float) -> list[programs.Layer]:
        """Small motions without a label."""
        layers = []
        habits = programs.load_habits()[self.stance]
        for _ in range(self.rng.poisson(self.style.distraction * duration_sec)):
            start_sec = self.rng.uniform(-0.5, duration_sec)
            span = (start_sec, start_sec + self.rng.uniform(0.7, 2.2))
            layers += self._variant_layers(habits, span, False)
        return layers

    def event_layers(self, event: Event) -> list[programs.Layer]:
        """Layers of one event, its instance drawn."""
        if not event.end_sec > event.start_sec:
            raise ValueError(
                f'event {event.action!r} ends at {event.end_sec} s, which is not after '
                f'its start at {event.start_sec} s'
            )
        variants = programs.find_program(event.action, self.subject.posture)
        manual = 'hands' in programs.action_effectors(event.action)
        return self._variant_layers(variants, (event.start_sec, event.end_sec), manual)

    def _variant_layers(
        self, variants: programs.Variants, span: tuple[float, float], manual: bool
    ) -> list[programs.Layer]:
        rng, subject, style = self.rng, self.subject, self.style
        tracks = variants[rng.integers(len(variants))]
        leads = rng.random() < (_DOMINANT if manual else 0.5)
        main = int(leads == subject.right_handed)
        vigor = subject.vigor * style.vigor * np.exp(rng.normal(0, _VIGOR_SPREAD))
        tempo = subject.tempo * style.tempo * np.exp(rng.normal(0, _TEMPO_SPREAD))
        draw = Draw(rng, vigor=float(np.clip(vigor, *_VIGOR)), tempo=float(tempo))
        layers = []
        for track in tracks:
            ramp = programs.make_ramp(track, span, draw)
            layers.append(self._layer(track, main, ramp, span[0], draw))
        return [x for x in layers if len(x.time_sec)]

    def _layer(
        self, track: programs.Track, main: int, ramp: Ramp, start_sec: float, draw: Draw
    ) -> programs.Layer:
        who = next((track[k] for k in programs.LIMBS if k in track), 'main')
        sides = {'main': (main,), 'other': (1 - main,), 'both': (main, 1 - main)}[who]
        first, last = np.searchsorted(self.time_sec, ramp[::2])
        time_sec = self.time_sec[first:last]
        return programs.Layer(
            track=track,
            sides=sides,
            frames=slice(int(first), int(last)),
            time_sec=time_sec - start_sec,
            weight=ramp_weight(ramp, time_sec),
            draw=draw,
            posture=self.subject.posture,
        )

    def idle(self, size: int, rate: float) -> Array:
        """(T, size) smooth noise in the person's own strength."""
        return idle_noise(self.rng, self.time_sec, size, rate) * self.subject.sway


def _pose(scene: _Scene, layers: list[programs.Layer]) -> Figure:
    frames = len(scene.time_sec)
    channels = np.zeros((frames, len(programs.CHANNELS)))
    noise = scene.idle(len(_FIGURES['idle']), 0.35)
    for i, (name, size) in enumerate(_FIGURES['idle'].items()):
        channels[:, programs.CHANNELS[name]] = size * noise[:, i]
    for layer in layers:
        if programs.ANGLES.keys() & layer.track.keys():
            programs.add_angles(channels, layer)
    figure = _pose_trunk(scene, channels)
    feet = np.zeros((3, frames, 2, 3))
    for layer in layers:
        if 'foot' in layer.track:
            programs.move_feet(feet, layer)
    _place_legs(scene, figure, feet, channels[:, programs.CHANNELS['torso.turn']])
    manual = [x for x in layers if {'hand', 'shift_hand'} & x.track.keys()]
    _place_arms(scene, figure, manual)
    return figure


def _pose_trunk(scene: _Scene, channels: Array) -> Figure:
    """Share the angles out over pelvis, chest and head."""
    c = {name: channels[:, i] for name, i in programs.CHANNELS.items()}
    lean, side, twist = c['torso.lean'], c['torso.side'], c['torso.twist']
    shift = [c[f'torso.{k}'] for k in ('shift', 'rise', 'slide')]
    carried = {'yaw': twist, 'pitch': lean, 'roll': side}
    head = [c[f'head.{k}'] - _STEADY * turn for k, turn in carried.items()]
    lifts = np.stack([c['shoulders.lift'], c['shoulders.forward']], axis=1)
    return pose_trunk(
        scene.build,
        base=scene.seat + scene.build.scale * np.stack(shift, axis=1),
        pelvis=np.stack([c['torso.turn'], 0.6 * lean, 0.4 * side], axis=1),
        chest=np.stack([twist, 0.4 * lean + c['torso.curl'], 0.6 * side], axis=1),
        head=np.stack(head, axis=1),
        thrust=c['head.thrust'],
        shoulders=np.repeat(lifts[:, None], 2, axis=1),
    )


def _place_legs(scene: _Scene, figure: Figure, feet: Array, turn: Array) -> None:
    """Feet stand on the floor below the resting pelvis and turn with the body."""
    zero = np.zeros_like(turn)
    floor = euler_rotation(turn, zero, zero)[:, None]
    mirror = np.stack([OUTWARD, np.ones(2), np.ones(2)], axis=1)
    ankles = rotate(floor, feet[0] * mirror * scene.build.scale)
    ankles += scene.seat * (1.0, 0.0, 1.0)
    poles = rotate(floor, feet[1] * mirror)
    angles = feet[2] * np.stack([OUTWARD, np.ones(2), OUTWARD], axis=1)
    angles[..., 0] += turn[:, None]
    pose_legs(figure, ankles, poles, angles)


def _place_arms(scene: _Scene, figure: Figure, layers: list[programs.Layer]) -> None:
    """First the hands that go to trunk, head and legs, then those that go to arms."""
    frames = len(scene.time_sec)
    hands = programs.resting_hands(frames)
    late = [layer for layer in layers if programs.needs_arms(layer)]
    for layer in layers:
        if not programs.needs_arms(layer):
            programs.move_hands(hands, figure, layer)
    hands['wrists'] += 0.004 * scene.idle(6, 0.5).reshape(frames, 2, 3)
    if late:
        pose_arms(figure, hands['wrists'], hands['poles'])
        figure.hands = hand_frames(hands['fingers'], hands['palms'], OUTWARD)
        for layer in late:
            programs.move_hands(hands, figure, layer)
    pose_arms(figure, hands['wrists'], hands['poles'])
    hands['shapes'][..., 2:7] += 0.03 * scene.idle(10, 0.5).reshape(frames, 2, 5)
    axes = hand_frames(hands['fingers'], hands['palms'], OUTWARD)
    pose_hands(figure, axes, hands['shapes'])


def _look_at(figure: Figure, target: str) -> Array:
    """(3,) centre of the picture."""
    joints = figure.joints.mean(axis=0)
    head, neck = joints[JOINT['head']], joints[JOINT['neck']]
    if target == 'figure':
        return np.array([joints[JOINT['pelvis'], 0], 0.5 * head[1], 0.1])
    return neck - (0.0, 0.2 if target == 'chest' else 0.1, 0.0)


NUM_JOINTS = len(WHOLEBODY65.names)
_HANDS = [list(range(start, start + 21)) for start in HAND_START]
_SMALL = joint_pair('small_toe') + joint_pair('heel')
_OCCLUSION_STEP = 3  # frames; occlusion changes slowly
_KNOT_SEC = 0.4  # pace of the slow error
_MISS_SEC = 0.3  # length of a dropout
_LOST = 0.03  # metres by which the joints of a missed hand scatter
_JUMP = 0.08  # metres by which a glitch jumps
_FAST = 2.5  # metres per second at which a joint is fully blurred
_CLOSE = 0.13  # metres between hands that an extractor confuses


def _per_joint(table: str, usual: float) -> Array:
    """(65,) the value of the first key in each joint's name."""
    values = _FIGURES[table].items()
    names = WHOLEBODY65.names
    return np.array([next((v for k, v in values if k in n), usual) for n in names])


_ERROR = _per_joint('pose_errors', 1.0)
_SCORE = _per_joint('pose_scores', 0.93)


def observe_skeleton(
    motion: Motion, style: DomainStyle, rng: Rng
) -> tuple[Array, Array]:
    """Observe the skeleton that a pose extractor would find; the same dice, the same.

    Keypoints (T, 65, 2) float32 in pixels and scores (T, 65) float32 in [0, 1], in the
    order of ``WHOLEBODY65``. Joints outside the picture have score 0, on its edge.
    """
    joints = motion.joints[:, :NUM_JOINTS]
    points, depth = motion.camera.project(joints)
    scale = motion.camera.focal / depth.mean(axis=1)  # (T,) pixels per metre
    doubt = _occlusion(motion, points, depth) + _blur(joints, motion.fps)
    # Hands that touch each other are less certain.
    middle = joints[:, [start + 9 for start in HAND_START]]
    gap = norm(middle[:, 0] - middle[:, 1])
    doubt[:, HAND_START[0] :] += 0.35 * np.clip(2 - gap / _CLOSE, 0, 1)[:, None]
    score = _SCORE * (1.0 - 0.55 * np.minimum(doubt, 1.0))
    error = _errors(doubt, style, motion.fps, rng)
    count = rng.binomial(score.size, style.glitch)  # joints that jump for one frame
    where = rng.integers(score.size, size=count)
    error.reshape(-1, 2)[where] += rng.normal(0.0, _JUMP, (count, 2))
    score.reshape(-1)[where] *= 0.5
    for part in _HANDS:
        _lose(error, score, part, style.hand_miss, motion.fps, rng)
    _lose(error, score, _SMALL, style.toe_miss, motion.fps, rng)
    points = points + error * scale[:, None, None]
    score -= 0.06 * np.abs(rng.standard_normal(score.shape, dtype=np.float32))
    kept = np.clip(points, 0.0, np.array(motion.camera.size, float) - 1.0)
    inside = (kept == points).all(axis=2)
    score = np.where(inside, np.clip(score, 0.02, 1.0), 0.0)
    return kept.astype(np.float32), score.astype(np.float32)


def _occlusion(motion: Motion, points: Array, depth: Array) -> Array:
    """(T, 65) how far trunk and head hide a joint, 0 to 1."""
    frames = np.arange(0, len(points), _OCCLUSION_STEP)
    figure, camera = motion.figure, motion.camera
    girth = figure.build.girth
    ends = [JOINT['neck'], JOINT['pelvis'], JOINT['head']]
    seen, far = camera.project(figure.joints[:, ends])
    seen, far, focal = seen[frames], far[frames], camera.focal[frames]
    pixels = (focal / far[:, 0])[:, None]  # (t, 1) per metre
    spots, behind = points[frames], depth[frames]
    neck, pelvis, head = seen[:, None, 0], seen[:, None, 1], seen[:, None, 2]
    axis = pelvis - neck
    along = ((spots - neck) * axis).sum(2) / np.maximum((axis * axis).sum(2), 1e-6)
    along = np.clip(along, 0.0, 1.0)
    away = norm(spots - neck - along[..., None] * axis) / pixels
    surface = far[:, :1] + along * (far[:, 1:2] - far[:, :1])
    hidden = (away < 0.13 * girth) & (behind > surface + 0.06)
    away = norm(spots - head) / pixels
    hidden |= (away < 0.085 * girth) & (behind > far[:, 2:] + 0.03)
    every = np.repeat(hidden, _OCCLUSION_STEP, axis=0)[: len(points)]
    return every.astype(float)


def _blur(joints: Array, fps: float) -> Array:
    """(T, 65) blur of fast joints, 0 to 1."""
    out = np.zeros(joints.shape[:2])
    if len(joints) > 1:
        out[1:] = norm(np.diff(joints, axis=0)) * fps / _FAST
        out[0] = out[1]
    return np.minimum(out, 1.0) ** 2


def _errors(doubt: Array, style: DomainStyle, fps: float, rng: Rng) -> Array:
    """(T, 65, 2) metres in the picture: white noise and a slow error."""
    frames = len(doubt)
    size = (_ERROR * (1.0 + 2.5 * doubt)).astype(np.float32)
    white = rng.standard_normal((frames, NUM_JOINTS, 2), dtype=np.float32)
    place = np.arange(frames) / (_KNOT_SEC * fps)
    first = place.astype(int)
    share = (place - first)[:, None, None].astype(np.float32)
    knots = rng.standard_normal((first[-1] + 2, NUM_JOINTS, 2), dtype=np.float32)
    slow = knots[first] + share * (knots[first + 1] - knots[first])
    return size[..., None] * (
        np.float32(style.joint_noise) * white + np.float32(style.joint_drift) * slow
    )


def _lose(
    error: Array, score: Array, joints: list[int], share: float, fps: float, rng: Rng
) -> None:
    """Miss joints in runs of frames: scatter them and take their scores away."""
    place = np.arange(len(score)) / (_MISS_SEC * fps) + rng.random()
    runs = rng.random(int(place[-1]) + 1) < share
    frames = np.flatnonzero(runs[place.astype(int)])
    where = np.ix_(frames, joints)
    shape = (len(frames), len(joints))
    # The guess is wrong as a whole, then joint by joint.
    error[where] += rng.normal(0.0, _LOST, (len(frames), 1, 2))
    error[where] += rng.normal(0.0, 0.6 * _LOST, (*shape, 2))
    score[where] = rng.uniform(0.03, 0.3, shape)
