"""From files to user histories: readers (pure, streaming), the Ray Data ingest, and reading users back.

Parsing knows nothing of Ray: `sources` finds the files and reads them record by record (LaMP, OPPU, tables), `formats`
knows the files' forms, `merge` makes users of what they yield. `ingest` is the thin Ray shell, `reader` reads the
result.
"""
