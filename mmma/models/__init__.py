"""Networks; importing this package registers them."""

from mmma import registry  # repairs MMAction2 before a module below imports it
from mmma.models import backbones, heads

__all__ = ['backbones', 'heads', 'registry']
