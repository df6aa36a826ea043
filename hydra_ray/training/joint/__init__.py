"""Joint training of a base and the training users' heads: Ray Train, DeepSpeed, a shard of the heads per worker."""
