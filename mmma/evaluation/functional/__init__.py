"""Metrics as pure functions: numpy in, fractions out; no torch, no MMEngine."""
