"""What is on disk to a loaded model. The layout is described in docs/model-repository.md."""
