"""The state in SQLite files of the state folder: the embedded default."""
