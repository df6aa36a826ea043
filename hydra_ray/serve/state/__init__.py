"""What the service keeps on disk: histories, deletions, usage."""
