"""MMEngine wrappers of the metrics; importing them fills the registry."""

from mmma.evaluation.metrics.detection import DetectionMetric
from mmma.evaluation.metrics.recognition import RecognitionMetric

__all__ = ['DetectionMetric', 'RecognitionMetric']
