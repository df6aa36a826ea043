"""All weights of an LM on the training users' rows, by Ray Train and DeepSpeed."""
