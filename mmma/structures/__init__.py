"""What data sets, models and metrics have in common."""
