"""Projections: features of a window to a pyramid of levels."""

from mmma.models.projections.conv_transformer import Conv1DTransformerProj
from mmma.models.projections.sgp import TriDetProj

__all__ = ['Conv1DTransformerProj', 'TriDetProj']
