"""Planted faults: each is one change of a formula or of a decision that a test has to notice."""
