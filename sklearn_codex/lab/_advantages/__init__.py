"""Advantages, one family a file."""
