"""The spine: a request in, an answer out. See predictor.py."""
