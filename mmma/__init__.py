"""mmma: data, protocols, baselines and metrics of the MMA-82 micro-action benchmark."""

__version__ = '0.1.0'
