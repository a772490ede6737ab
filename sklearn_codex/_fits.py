"""A fit happens whole or not at all."""

from functools import wraps

from sklearn.base import _fit_context


def whole_fit(*, prefer_skip_nested_validation):
    """Decorate a method that fits, so that one that fails leaves the estimator as it was.

    That is unfitted, or with the fit before. The method replaces attributes and changes none in
    place. It runs in scikit-learn's context of a fit, which validates parameters and ends
    callbacks.

    Parameters
    ----------
    prefer_skip_nested_validation : bool
        Whether what is called inside may leave its parameters unvalidated.
    """

    def decorate(method):
        fit = _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)(method)

        @wraps(method)
        def fit_or_restore(estimator, *args, **kwargs):
            before = dict(vars(estimator))
            try:
                return fit(estimator, *args, **kwargs)
            except BaseException:  # an interrupt, too
                estimator.__dict__ = before
                raise

        return fit_or_restore

    return decorate
