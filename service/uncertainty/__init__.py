"""Outputs of samples in, means, variances and measures out: pure mathematics."""
