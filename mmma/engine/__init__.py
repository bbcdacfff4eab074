"""Hooks, loops and optimizer constructors; importing this package registers them."""

from mmma.engine import (  # noqa: F401
    adapter_groups,
    broken_clips,
    checkpoint,
    classes,
    ema,
    layer_decay,
    seeding,
    trained_only,
    tsm_groups,
)
