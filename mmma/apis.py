"""What tools and notebooks call."""

from __future__ import annotations

from mmma.config import load_config
from mmma.engine.infer import detect, look_at, open_model, recognize

__all__ = ['detect', 'load_config', 'look_at', 'open_model', 'recognize']
