"""HTTP to servers of our own, on this machine or in the cluster: past any proxy that the environment names."""

import urllib.request

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs as `urllib.request.urlopen` does."""
