"""What `unsure calibrate` does: labelled rows in, calibration.json and a report out."""
