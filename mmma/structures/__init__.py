"""Segments and samples, which data sets, models and metrics share."""
