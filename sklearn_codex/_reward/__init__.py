"""Reward models of preferences: losses, the solver, estimators, uncertainty."""
