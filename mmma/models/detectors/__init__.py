"""Detectors: windows of untrimmed videos to detections."""

from mmma.models.detectors.segment_detector import SegmentDetector

__all__ = ['SegmentDetector']
