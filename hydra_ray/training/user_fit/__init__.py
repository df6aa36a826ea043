"""Heads of new users on a frozen base: thousands fitted as one batched problem."""
