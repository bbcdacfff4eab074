"""Hooks and optimizer constructors; importing this package registers them."""

from mmma.engine import hooks, optim

__all__ = ['hooks', 'optim']
