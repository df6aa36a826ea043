"""What replicas keep in memory: users' heads and texts' embeddings."""
