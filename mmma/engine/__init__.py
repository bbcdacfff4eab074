"""Hooks, loops and optimizer constructors; importing this package registers them."""

from mmma.engine import (  # noqa: F401
    broken_clips,
    checkpoint,
    classes,
    layer_decay,
    seeding,
    tsm_groups,
)
