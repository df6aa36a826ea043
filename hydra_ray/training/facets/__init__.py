"""Training of the reranker whose heads are mixed by what a router reads in a user's history (mixture of facets)."""
