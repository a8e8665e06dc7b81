"""When, and with whom, a request runs."""
