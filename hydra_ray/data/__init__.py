"""From files to user histories: readers (pure, streaming), the Ray Data ingest, and reading users back.

Parsing knows nothing of Ray: `sources` finds the files, `lamp`, `oppu` and `own` read them record by record, `merge`
makes users of what they yield. `ingest` is the thin Ray shell, `users` reads the result.
"""
