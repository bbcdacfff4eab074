"""Networks; importing this package registers them."""

from mmma import registry  # repairs MMAction2 before a module below imports it
from mmma.models import (
    backbones,
    data_preprocessors,
    detectors,
    heads,
    losses,
    necks,
    projections,
)

__all__ = [
    'backbones',
    'data_preprocessors',
    'detectors',
    'heads',
    'losses',
    'necks',
    'projections',
    'registry',
]
