"""Architectures, one family a file; each has a factory for the model repository."""
