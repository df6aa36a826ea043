"""Embeddings of texts, kept once for all runs: Parquet fragments sharded by the hash of the text."""
