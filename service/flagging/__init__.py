"""Scores to flags, with reasons."""
