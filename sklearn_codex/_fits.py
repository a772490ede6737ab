"""A fit happens whole or not at all, and warns at the line that asked for it."""

import os
import sys
from functools import wraps
from pathlib import Path

from joblib import memory
from sklearn import base
from sklearn.base import _fit_context

# Where code stands that calls a method on behalf of somebody else: this package, the context in
# which scikit-learn runs a fit, and the memory in which a pipeline keeps its stages.
_BETWEEN = (str(Path(__file__).parent) + os.sep, base.__file__, memory.__file__)


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


def caller_level() -> int:
    """Return the ``stacklevel`` of a warning that names the line from which the package was called.

    It is to be passed by the function that warns. A method may then be inherited, decorated or
    called by others of the package, and its warnings still name a line of the user.
    """
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        frame, level = frame.f_back, level + 1
    return level
