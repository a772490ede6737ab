"""Newton steps, conjugate gradients and precisions, for whatever loss there is."""
