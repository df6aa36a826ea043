import os

# Before anything imports Ray: a token file would otherwise be demanded from every later `ray` command.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
