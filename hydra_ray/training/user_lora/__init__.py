"""LoRA of many users at once on one frozen decoder LM, and one LoRA for the task with the same code."""
