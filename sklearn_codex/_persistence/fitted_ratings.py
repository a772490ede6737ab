"""Whether the ratings of a file, their models and their votes fit together."""

import numpy as np

from sklearn_codex._persistence.values import is_array, is_finite, is_number

# What a fitted ModelRatings has.
RATING_STATE = (
    *("models_", "ratings_", "separated_", "n_comparisons_", "style_names_", "style_coef_"),
    *("topic_coef_", "topic_mean_", "topic_vectorizer_", "position_bias_", "tie_parameter_"),
    *("both_bad_odds_",),
    *("_weights", "_votes", "_meaning", "_seed", "_log_tie", "_log_bad", "_infinite", "_has_names"),
    *("_is_of_names", "_group_names", "_uncertainty", "classes_", "n_features_in_"),
)


def check_ratings(model) -> None:
    """Check that ratings, and the votes they are from, are of the models."""
    if not hasattr(model, "ratings_"):
        return
    n_models = len(model.models_) if isinstance(model.models_, np.ndarray) else -1
    kinds = {"ratings_": "f", "separated_": "b", "n_comparisons_": "f", "_infinite": "f"}
    is_right = n_models > 0 and all(
        is_array(getattr(model, name), kind) and getattr(model, name).shape == (n_models,)
        for name, kind in kinds.items()
    )
    is_right = is_right and is_array(model.style_names_, "O") and model._uncertainty is None
    if is_right:
        n_topics, n_style = len(model.topic_mean_), len(model.style_names_)
        n_weights = n_models * (1 + n_topics) + n_style + bool(model.position_bias)
        is_right = (
            model.topic_coef_.shape == (n_models, n_topics)
            and model.style_coef_.shape == (n_style,)
            and model._weights.shape == (n_weights,)
            and (model._log_tie is None or is_number(model._log_tie))
            and (model._log_tie is None) == (model.ties == "half")
            and (model._log_bad is None or is_number(model._log_bad))
            and (model._log_bad is None) == (model.ties != "both-bad")
            and _are_votes(model._votes, n_models, n_topics, n_style)
        )
    if not is_right:
        raise ValueError("the ratings, models and votes of its ModelRatings do not fit together")


def _are_votes(votes, n_models, n_topics, n_style) -> bool:
    """Return whether votes are those of a fit, whose codes numpy may trust."""
    names = {
        "a",
        "b",
        "differences",
        "style",
        "topics",
        "target",
        "bad",
        "weight",
        "count",
        "group",
    }
    if set(votes) != names or not is_finite(votes["target"]) or votes["target"].ndim != 1:
        return False
    n = len(votes["target"])
    if not is_array(votes["bad"], "b") or votes["bad"].shape != (n,):
        return False
    shapes = {"style": (n, n_style), "topics": (n, n_topics), "weight": (n,), "count": (n,)}
    if not all(is_finite(votes[key]) and votes[key].shape == shapes[key] for key in shapes):
        return False
    codes = [votes["group"]] if votes["differences"] is not None else [votes["a"], votes["b"]]
    if votes["differences"] is None:
        ends = np.concatenate(codes) if all(is_array(code, "iu") for code in codes) else None
        if ends is None or not ((ends >= 0) & (ends < n_models)).all():
            return False
    elif getattr(votes["differences"], "_shape", None) != (n, n_models):
        return False
    group = votes["group"]
    return all(
        code is None or (is_array(code, "iu") and code.shape == (n,))
        for code in [*codes, group if group is None or group.ndim == 1 else group[:, 0]]
    ) and (group is None or group.shape in ((n,), (n, 2)))
