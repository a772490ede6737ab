"""Fitted models that come into other estimators: wrapped, unwrapped, told from unfitted ones."""

from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import NotFittedError, check_is_fitted


def unwrap(estimator: Any) -> Any:
    """Return the estimator inside any number of ``FrozenEstimator`` wrappers."""
    while isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    return estimator


def freeze(estimator: Any) -> FrozenEstimator:
    """Wrap a fitted estimator in ``FrozenEstimator``, once."""
    return estimator if isinstance(estimator, FrozenEstimator) else FrozenEstimator(estimator)


def check_fitted_model(model: Any, *, parameter: str, subject: str) -> Any:
    """Return the fitted model inside ``model`` or say that a fit was lost.

    Parameters
    ----------
    model : estimator
        A fitted estimator, wrapped in ``FrozenEstimator`` or not.
    parameter : str
        The constructor parameter that holds it, for the message.
    subject : str
        The estimator that was given it, for the message.

    Raises
    ------
    NotFittedError
        If the model is not fitted. ``clone`` (so also cross-validation) forgets the fit of a plain
        estimator, hence the remedy.
    """
    inner = unwrap(model)
    try:
        check_is_fitted(inner)
    except NotFittedError:
        raise NotFittedError(
            f"{subject} needs a fitted {parameter}, got an unfitted {type(inner).__name__}. Fit it "
            f"first and pass {parameter}=FrozenEstimator(fitted) (sklearn.frozen), so that clone, "
            "cross_val_score and GridSearchCV keep the fit."
        ) from None
    return inner
