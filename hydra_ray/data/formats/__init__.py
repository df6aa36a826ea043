"""Forms of files, columns and dates, read without Ray."""
