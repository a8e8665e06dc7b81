"""What `unsure score` does: a file of rows → a Parquet file of what the model says of each."""
