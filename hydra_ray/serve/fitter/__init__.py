"""Single users' heads, fitted in the background."""
