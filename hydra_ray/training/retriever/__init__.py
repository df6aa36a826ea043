"""Training of the dense retriever on the LLM's feedback (ROPG)."""
