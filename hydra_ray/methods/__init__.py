"""The rows of the result table: what each asks the LLM, and how it comes to its answer."""
