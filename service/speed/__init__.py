"""What `unsure bench` measures: what a model's answers cost on this machine, beside the usual loop."""
