"""Ratings of models from comparisons of their responses."""
