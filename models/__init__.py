"""The science: networks with dropout, and how to train them. The service never imports this package."""
