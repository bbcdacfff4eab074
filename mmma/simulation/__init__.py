"""A stand-in corpus with MMA-82's shape, drawn from moving figures; never a benchmark.

What there is follows from ``planner`` (``margins``, ``plan``), how it moves and looks
from ``motion``, ``drawing`` and ``render``, what is on disk from ``corpus``.
"""
