"""Adding a version to a model repository: whole and tried, or not at all."""
