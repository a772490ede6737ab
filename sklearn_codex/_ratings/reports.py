"""What is asked of fitted ratings: tables, intervals, comparisons of two and of all."""

from numbers import Real
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import norm
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.frames import as_frame
from sklearn_codex._checks.options import check_option
from sklearn_codex._few_groups import critical_value
from sklearn_codex._plain import did_you_mean
from sklearn_codex._ratings.graph import list_names
from sklearn_codex._tables import Table

# What ratings are shown in: how many units a nat is, and what the mean of models is.
SCALES = {"nats": (1.0, 0.0), "elo": (400 / np.log(10), 1000.0)}
CORRECTIONS = ("max-t", "holm", None)


class RatingReports:
    """Answers of fitted ratings, from ``_find_uncertainty``. Nothing that fits."""

    models_: np.ndarray
    ratings_: FloatArray
    n_comparisons_: FloatArray
    confidence_level: float
    _find_uncertainty: Any

    @property
    def covariance_(self):
        """Covariance of ratings (n_models, n_models)."""
        return self._find_uncertainty().covariance

    @property
    def rating_std_(self):
        """Standard errors of ratings (n_models,)."""
        return np.sqrt(np.diag(self._find_uncertainty().covariance))

    @property
    def rank_sets_(self):
        """Best and worst rank (n_models, 2) of each model."""
        return self._find_uncertainty().rank_sets(1 - self.confidence_level)

    @property
    def n_groups_(self):
        """Groups of the standard errors, of two ways those of the way with fewer."""
        return self._find_uncertainty().n_groups

    def table(self, *, scale="nats", anchor=None):
        """Return the ratings, the best first.

        Parameters
        ----------
        scale : {"nats", "elo"}, default="nats"
            Elo has 400 / ln 10 units a nat, so that 400 are odds of 10 to 1, and the mean 1000.
        anchor : tuple of (model, float), default=None
            A model and what its rating is to be; ratings, and how sure they are, are then relative
            to it. None: relative to the mean of models.

        Returns
        -------
        table : Bunch
            Columns ``model``, ``rating``, ``std``, ``low``, ``high`` (an interval of that one
            rating at ``confidence_level``), ``rank_low``, ``rank_high`` (which hold for all models
            together), and ``n``, the weight of votes on the model. It prints aligned, and
            ``pandas.DataFrame(table)`` is a frame.

        Raises
        ------
        ValueError
            If the scale is neither, or the model of the anchor is not known, or has no finite
            rating.
        """
        check_is_fitted(self)
        check_option(scale, SCALES, "scale", subject=type(self).__name__)
        unit, middle = SCALES[scale]
        uncertainty = self._find_uncertainty()
        rating, std = self.ratings_, self.rating_std_
        half = uncertainty.half_width(self.confidence_level)
        if anchor is not None:
            at, middle = self._read_anchor(anchor)
            known = uncertainty.differences()
            with np.errstate(invalid="ignore"):
                rating, std = known.value[:, at], known.std[:, at]
            n_groups = uncertainty.n_groups
            half = critical_value(self.confidence_level, known.n_effective[:, at], n_groups) * std
        with np.errstate(invalid="ignore"):
            low, high = rating - half, rating + half
        low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
        ranks = self.rank_sets_
        order = np.lexsort([np.where(np.isnan(rating), 0.0, -rating), np.isnan(rating)])
        columns = {
            "model": np.array([str(name) for name in self.models_.tolist()], dtype=object),
            "rating": middle + unit * rating,
            "std": unit * std,
            "low": middle + unit * low,
            "high": middle + unit * high,
            "rank_low": ranks[:, 0],
            "rank_high": ranks[:, 1],
            "n": self.n_comparisons_,
        }
        return Table(**{name: values[order] for name, values in columns.items()})

    def to_frame(self, *, scale="nats", anchor=None):
        """Return the ratings as a data frame of pandas, the best first; without pandas as a dict.

        Parameters
        ----------
        scale, anchor : str and tuple
            As for ``table``.

        Returns
        -------
        frame : pandas.DataFrame or dict of list
            With the columns of ``table``.
        """
        return as_frame(self.table(scale=scale, anchor=anchor))

    def _read_anchor(self, anchor):
        """Return the position of the model of an anchor, and its rating."""
        is_pair = isinstance(anchor, (tuple, list)) and len(anchor) == 2
        if not is_pair or not isinstance(anchor[1], Real) or not np.isfinite(float(anchor[1])):
            raise ValueError(
                "anchor must be a model and its rating, a finite number, such as ('gpt-4', 1000), "
                f"got {anchor!r:.80}."
            )
        place = self._place_of(anchor[0])
        if not np.isfinite(self.ratings_[place]):
            finite = self.models_[np.isfinite(self.ratings_)].tolist()
            remedy = f"Name one like {finite[0]!r}, or fit" if finite else "Fit"
            raise ValueError(
                f"anchor must be a model whose rating is finite, but that of {anchor[0]!r} is "
                f"{self.ratings_[place]}, and no rating is relative to it. {remedy} with alpha "
                "above 0."
            )
        return place, float(anchor[1])

    def _place_of(self, model):
        """Return the position of a model."""
        names = self.models_.tolist()
        if model not in names:
            raise ValueError(
                f"{type(self).__name__} knows no model {model!r}."
                f"{did_you_mean(str(model), map(str, names))} It was fitted on "
                f"{list_names(names, 10)}."
            )
        return names.index(model)

    def compare(self, model_a, model_b):
        """Return how two models compare, by themselves.

        Parameters
        ----------
        model_a, model_b : str
            Two of ``models_``.

        Returns
        -------
        comparison : Bunch
            ``difference`` of their ratings in nats, its ``std``, ``low`` and ``high`` at
            ``confidence_level``, the two-sided ``p_value`` of no difference, ``p_adjusted``, which
            holds for all pairs of models together, and ``probability`` that the first is
            preferred, ties aside.
        """
        check_is_fitted(self)
        a, b = self._place_of(model_a), self._place_of(model_b)
        uncertainty = self._find_uncertainty()
        known = uncertainty.differences()
        difference, std = known.value[a, b], known.std[a, b]
        n_effective = known.n_effective[a, b]
        half = critical_value(self.confidence_level, n_effective, uncertainty.n_groups) * std
        return Bunch(
            difference=float(difference),
            std=float(std),
            low=float(difference - half) if np.isfinite(half) else -np.inf,
            high=float(difference + half) if np.isfinite(half) else np.inf,
            p_value=float(known.p_value[a, b]),
            p_adjusted=float(uncertainty.adjusted(known.p_value, "max-t")[a, b]),
            probability=float(expit(difference)),
        )

    def comparisons(self, correction="max-t"):
        """Return how all pairs of models compare, the surest difference first.

        Parameters
        ----------
        correction : {"max-t", "holm", None}, default="max-t"
            How p-values hold for all pairs together: by the distribution of the greatest ratio,
            which knows how ratings depend on each other, stepping down; by Holm's method; or not at
            all.

        Returns
        -------
        table : Bunch
            Columns ``model_a``, ``model_b`` (A is the better one), ``difference``, ``std``,
            ``low``, ``high``, ``p_value``, ``p_adjusted``. Intervals hold for all pairs together
            with "max-t", and singly otherwise; they do not step down, so a few may hold 0 where
            ``p_adjusted`` is below the level.
        """
        check_is_fitted(self)
        check_option(correction, CORRECTIONS, "correction", subject=type(self).__name__)
        uncertainty = self._find_uncertainty()
        known = uncertainty.differences()
        adjusted = known.p_value
        if correction is not None:
            adjusted = uncertainty.adjusted(known.p_value, correction)
        one, other = np.triu_indices(len(self.models_), 1)
        turned = known.value[one, other] < 0
        one, other = np.where(turned, other, one), np.where(turned, one, other)
        difference, std = known.value[one, other], known.std[one, other]
        half = self._quantile(known.n_effective[one, other], correction == "max-t") * std
        with np.errstate(invalid="ignore"):
            low, high = difference - half, difference + half
        p_value = known.p_value[one, other]
        order = np.lexsort([-difference, p_value])
        columns = {
            "model_a": self.models_[one],
            "model_b": self.models_[other],
            "difference": difference,
            "std": std,
            "low": np.where(np.isnan(low), -np.inf, low),
            "high": np.where(np.isnan(high), np.inf, high),
            "p_value": p_value,
            "p_adjusted": adjusted[one, other],
        }
        return Table(**{name: values[order] for name, values in columns.items()})

    def _quantile(self, n_effective, is_simultaneous):
        """Return by how many standard errors intervals of differences go to each side."""
        uncertainty = self._find_uncertainty()
        if not is_simultaneous:
            return critical_value(self.confidence_level, n_effective, uncertainty.n_groups)
        distance = np.quantile(uncertainty.greatest, self.confidence_level, method="higher")
        return critical_value(1 - 2 * norm.sf(distance), n_effective, uncertainty.n_groups)

    def rating_interval(self, confidence_level=None):
        """Return an interval of each rating, by itself.

        Parameters
        ----------
        confidence_level : float, default=None
            None means that of the model.

        Returns
        -------
        interval : ndarray of shape (n_models, 2)
            In nats.
        """
        check_is_fitted(self)
        level = self.confidence_level if confidence_level is None else confidence_level
        if not isinstance(level, Real) or not 0 < float(level) < 1:
            raise ValueError(
                f"confidence_level must be between 0 and 1, such as 0.95, got {level!r:.40}."
            )
        half = self._find_uncertainty().half_width(level)
        with np.errstate(invalid="ignore"):
            interval = np.column_stack([self.ratings_ - half, self.ratings_ + half])
        interval[~np.isfinite(half)] = [-np.inf, np.inf]
        return interval
