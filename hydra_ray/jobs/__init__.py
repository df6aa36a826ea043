"""Runs submitted to a cluster through Ray Jobs."""
