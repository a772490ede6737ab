"""What objectives over candidates and their methods are given: features, and policies."""

from functools import wraps
from typing import Any, cast

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import as_floats, check_values
from sklearn_codex.exact._settings import Method, takes_policy


def takes_choice(method: Method) -> Method:
    """Check what a method is given, also that prompts are as probable as the objective says."""

    @wraps(method)
    def checked(self, log_prob, *args, **kwargs):
        self._check_shares(log_prob)
        return method(self, log_prob, *args, **kwargs)

    return takes_policy(cast(Method, checked))


def check_features(features: Any, n_rows: int) -> FloatArray | None:
    """Return features of rows as an array of finite floats (n_rows, n_features)."""
    if features is None:
        return None
    dense = features.toarray() if hasattr(features, "toarray") else features
    array = as_floats(dense, "features", subject="CandidateObjective")
    if array.ndim != 2:
        raise ValueError(
            "CandidateObjective needs features of shape (n_rows, n_features), got shape "
            f"{array.shape}. A single feature is a column: values.reshape(-1, 1)."
        )
    if len(array) != n_rows:
        raise ValueError(
            f"CandidateObjective needs features of each of {n_rows} rows, got {len(array)}."
        )
    return check_values(array, "features", subject="CandidateObjective", shape=array.shape)
