"""Texts to vectors by a model that is not trained here, each text once."""
