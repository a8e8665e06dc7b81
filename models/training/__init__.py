"""From data to an entry of a model repository."""
