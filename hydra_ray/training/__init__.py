"""Training: plan (who owns what), execution (Ray Train, DeepSpeed), storage (artifacts), and heads for new users."""
