"""A figure in front of a camera, and what drawn parts look like, for tests."""

from __future__ import annotations

import dataclasses

import numpy as np

from mmma.simulation.domains import DOMAIN_STYLES, make_subject
from mmma.simulation.drawing import View
from mmma.simulation.motion import Event, simulate_motion
from mmma.simulation.render import render_frames


def scene(domain='lab', action='nodding', seed=0, **changes):
    subject = dataclasses.replace(make_subject(seed, domain), **changes)
    rng = np.random.default_rng(seed)
    style, event = DOMAIN_STYLES[domain], Event(action, 0.0, 0.5)
    motion = simulate_motion(subject, style, [event], 0.5, 30, rng)
    return subject, View(motion)


def painted(parts, view, frame=0):
    width, height = view.motion.camera.size
    canvas = np.zeros((height, width, 3), np.uint8)
    for _, paint in parts:
        paint(canvas, frame)
    return canvas


def pictures(domain, action, seconds):
    """Frames of a whole clip."""
    subject, style = make_subject(0, domain), DOMAIN_STYLES[domain]
    rng, events = np.random.default_rng(0), [Event(action, 0.0, seconds)]
    motion = simulate_motion(subject, style, events, seconds, style.fps[0], rng)
    return list(render_frames(motion, subject, style, rng))
