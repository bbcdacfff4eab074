"""Which samples an epoch gives, and in which order."""

from mmma.datasets.samplers import balanced, epoch
from mmma.datasets.samplers.keys import SampleKey

__all__ = ['SampleKey', 'balanced', 'epoch']
