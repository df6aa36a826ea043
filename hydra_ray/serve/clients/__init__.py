"""Ways to the LLM and to the other deployments, with what protects them."""
