"""What labelled rows say of scores: figures, tests, and promises with a confidence. Pure mathematics."""
