"""LoRA of many users on one frozen decoder LM: weights, batched forward, PEFT's files, merging."""
