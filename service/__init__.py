"""The inference server that knows when its models don't know."""

__version__ = "0.1.0"
