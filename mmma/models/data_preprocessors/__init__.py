"""From a batch of samples to what a network takes, on its device."""

from mmma.models.data_preprocessors.differences import FrameDifferencePreprocessor
from mmma.models.data_preprocessors.heatmap import HeatmapPreprocessor

__all__ = ['FrameDifferencePreprocessor', 'HeatmapPreprocessor']
