"""The inference server that knows when its models don't know."""

from importlib.metadata import version

__version__ = version("unsure")
