"""The state in a PostgreSQL database, for services on more than one node."""
