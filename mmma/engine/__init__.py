"""Runs: training, testing, few-shot, probes, features and inference."""
