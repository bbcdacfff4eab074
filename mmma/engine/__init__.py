"""Hooks, loops and optimizer constructors; importing this package registers them."""

from mmma.engine import checkpoint, layer_decay, seeding  # noqa: F401
