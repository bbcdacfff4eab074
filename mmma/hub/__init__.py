"""The model zoo: what its models are, and what they cost."""
