"""What training leaves: bases and users' heads, read back for scoring."""
