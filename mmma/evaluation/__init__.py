"""Metrics, score files and result rows.

``metrics`` holds MMEngine wrappers; the rest needs numpy alone.
"""
