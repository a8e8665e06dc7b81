"""Files of rows, read in parts, and the rows of a model made of their columns."""
