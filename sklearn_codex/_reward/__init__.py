"""Reward models of preferences: losses, estimators, uncertainty."""
