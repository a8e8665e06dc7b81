"""HTTP in and out: bytes to questions, answers to bytes. No tensors."""
