"""From what an LLM wrote to the answer that is scored."""
