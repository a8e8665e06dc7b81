"""The durable queue of rows that a person should look at."""
