"""Hooks, loops and optimizer constructors; importing this package registers them."""

from mmma.engine import layer_decay  # noqa: F401
