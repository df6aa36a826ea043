"""hydra_ray: personalise an LLM that can only be reached as text in, text out, for very many users, on Ray."""

__version__ = "0.1.0"
