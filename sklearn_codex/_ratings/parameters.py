"""What fitted ratings have a parameter of, and how sure these are."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._ratings.labels import BOTH_BAD
from sklearn_codex._ratings.uncertainty import RatingUncertainty
from sklearn_codex._ratings.vote_models import OutcomeParameters, find_moments
from sklearn_codex._ratings.votes import Votes, make_design


class VoteParameters:
    """Models, their topics, style and position, in the columns of designs and covariances."""

    models_: np.ndarray
    ratings_: np.ndarray
    separated_: np.ndarray
    topic_mean_: np.ndarray
    ties: Any
    alpha: float
    topic_alpha: float
    position_bias: bool
    _votes: Any
    _weights: np.ndarray
    _log_tie: Any
    _log_bad: Any
    _is_of_names: bool
    _uncertainty: Any
    _seed: int

    def _design(self, rows):
        """Return the matrix (n, n_params) of rows: models, their topics, style, position."""
        return make_design(
            rows,
            len(self.models_),
            rows.topics - self.topic_mean_,
            position=self.position_bias,
        )

    def _level(self, rows):
        """Return what makes the mean rating of both (n, n_params); None where it has no part."""
        if self.ties != BOTH_BAD:
            return None
        if rows.a is None:
            raise ValueError(
                f"{type(self).__name__} with ties='both-bad' needs names of models in X, got a "
                "matrix of differences, which says nothing of their level. Pass rows (model_a, "
                "model_b)."
            )
        topics = rows.topics - self.topic_mean_
        n_models = len(self.models_)
        return make_design(rows, n_models, topics, position=self.position_bias, of_level=True)

    def _penalty(self, n_columns, alpha):
        n_models = len(self.models_)
        n_topics = n_models * len(self.topic_mean_)
        penalty = np.zeros(n_columns)
        penalty[:n_models] = alpha
        penalty[n_models : n_models + n_topics] = self.topic_alpha
        return penalty

    def _find_uncertainty(self) -> RatingUncertainty:
        """Return how sure ratings are, found when it is first asked for."""
        check_is_fitted(self)
        if self._uncertainty is None:
            self._uncertainty = self._make_uncertainty()
        return self._uncertainty

    def _make_uncertainty(self):
        votes = Votes.of_state(self._votes).expanded()
        code = np.arange(len(votes.target)) if votes.group is None else votes.group
        design = self._design(votes.rows)
        outcomes = OutcomeParameters(self._log_tie, self._log_bad)
        level = self._level(votes.rows)
        moments = find_moments(self.ties, votes, design, level, self._weights, outcomes, code)
        penalty = np.zeros(moments.rows.shape[1])
        penalty[: design.shape[1]] = self._penalty(design.shape[1], self.alpha)
        core = ~self.separated_
        contrasts = np.eye(len(self.models_), len(penalty))
        if self._is_of_names:
            middle = core if core.any() else ~core
            contrasts[:, : len(core)] -= middle / middle.sum()
        return RatingUncertainty(moments, penalty, contrasts, self.ratings_, core, self._seed)
