"""Networks; importing this package registers them."""

from mmma import registry  # repairs MMAction2 before a module below imports it
from mmma.models import backbones, detector, heads, losses, preprocessors, pyramid

__all__ = ['backbones', 'detector', 'heads', 'losses', 'preprocessors', 'pyramid']
__all__ += ['registry']
