"""Training of the model that chooses a retriever per question (RSPG)."""
