"""What papers have reported, done again with this server's engine."""
