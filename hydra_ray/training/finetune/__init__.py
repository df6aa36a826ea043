"""All weights of a decoder LM on the training users' rows, by Ray Train and DeepSpeed."""
