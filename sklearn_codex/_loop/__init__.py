"""The loop as one estimator: stages, their composition and the fit of a pipeline."""
