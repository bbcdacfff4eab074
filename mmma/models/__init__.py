"""Networks; importing this package registers them."""

from mmma import registry  # repairs MMAction2 before a module below imports it
from mmma.models import (
    augment,
    backbones,
    detector,
    heads,
    losses,
    preprocessors,
    pyramid,
)

__all__ = ['augment', 'backbones', 'detector', 'heads', 'losses', 'preprocessors']
__all__ += ['pyramid', 'registry']
