"""Metrics, score files and result rows; all but ``metrics`` need numpy alone."""
