"""The scorer: a shared base (encoder and pair interaction), a shared head and one small delta per user.

Tensor names carry their shapes: U users, G groups (one query each), R rows of a group (padded), D encoder width,
Z width of a pair embedding, K rank of a low-rank delta.
"""
