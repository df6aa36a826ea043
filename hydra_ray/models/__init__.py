"""The scorer: a shared base (encoder and pair interaction), a shared head and one small delta per user.

Tensor names carry their shapes: U users, Q queries, R rows of a query (its candidates, padded), D encoder width,
Z width of a pair embedding, K rank of a low-rank delta.
"""
