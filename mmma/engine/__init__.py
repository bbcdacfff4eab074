"""Hooks, loops and optimizer constructors; importing this package registers them."""

from mmma.engine import broken_clips, checkpoint, layer_decay, seeding  # noqa: F401
