"""The engine: a model as its author wrote it in, samples of its thinned networks out. See README.md."""
