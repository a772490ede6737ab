"""The reward model: a Bradley-Terry classifier of preference pairs."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.special import expit, log_expit
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch, check_consistent_length
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, _check_y, check_is_fitted

from sklearn_codex._bradley_terry import BradleyTerryLoss, fit_weights
from sklearn_codex._categorical import FloatArray
from sklearn_codex._pairs import PairsMixin
from sklearn_codex._stages import Stage


def _check_labels(y, *, subject):
    """Return the two classes of y and, for each pair (n_pairs,), whether it is the greater one."""
    if y is None:
        raise ValueError(f"{subject} requires y to be passed, but the target y is None.")
    y = _check_y(y, estimator=subject)
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) > 2:
        raise ValueError(
            "Only binary classification is supported. The type of the target is "
            f"{type_of_target(y)}: {subject} got {len(classes)} classes. The greater of two "
            "classes means that response A is preferred; leave ties out, or give each as two "
            "pairs, one of each class, with half the sample_weight."
        )
    return classes, codes


def _check_both_preferred(preferred, weight, classes, *, subject):
    """Raise where all pairs of positive weight are of one class."""
    observed = np.unique(preferred[weight > 0])
    if len(observed) < 2:
        raise ValueError(
            f"{subject} needs pairs of two classes in y, response A preferred and response B "
            f"preferred, got one class: {classes[observed[0]]!r}. If the pairs are (chosen, "
            "rejected), so that all labels are the same, swap half of them with X, y = "
            "balance_positions(X); that does not change what is learned."
        )


def _describe(state, target, weight, mean_loss):
    """Return the record of one iteration for ``history_``."""
    margins = state.margins
    agreement = 0.5 + (target - 0.5) * np.sign(margins)
    return {
        "iteration": state.iteration,
        "objective": state.objective,
        "gradient_norm": state.gradient_norm,
        "loss": mean_loss,
        "accuracy": float(np.average(agreement, weights=weight)),
        "margin": float(np.average((2 * target - 1) * margins, weights=weight)),
    }


class _IterationTasks:
    """Tells callbacks of solver iterations: one task each, begun before it and ended after it."""

    def __init__(self, estimator, root, max_iter):
        self._estimator = estimator
        self._root = root
        self._max_iter = max_iter
        self._task = None
        self.stopped = False

    def __call__(self, state):
        """End the task of the iteration that led here, begin the next; return whether to stop."""
        if self._task is not None:
            self.stopped = bool(
                self._task.call_on_fit_task_end(
                    estimator=self._estimator,
                    reconstruction_attributes={"coef_": state.weights[np.newaxis]},
                )
            )
        if not (self.stopped or state.converged or state.iteration >= self._max_iter):
            self._task = self._root.subcontext(task_name="iteration")
            self._task.call_on_fit_task_begin(estimator=self._estimator)
        return self.stopped


class PreferenceRewardModel(CallbackSupportMixin, PairsMixin, ClassifierMixin, BaseEstimator):
    r"""Bradley-Terry reward model, a linear classifier of preference pairs.

    The reward model of the RLHF loop. It learns a reward r(y) = w . phi(y) of single responses from
    pairs of which one was preferred, and predicts the probability that response A of a pair is
    preferred to response B. A binary classifier: scorers, calibration and splitters of scikit-learn
    work on it. Split by prompt (``groups=`` and ``GroupKFold``): with the same prompt on both sides
    accuracy measures memory.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the L2 penalty, as in ``LogisticRegression``. On raw token counts of
        human preferences much smaller values predict better, 1e-3 to 1e-2: choose it by a search
        that splits by prompt.
    vectorizer : transformer, default=None
        Turns a text into its features phi; any scikit-learn transformer of texts. None means
        ``TokenCounter()``. It is fitted on the distinct responses; one wrapped in
        ``FrozenEstimator`` is used as it is, and names the columns of feature differences.
    tol : float, default=1e-8
        The fit stops when the norm of the gradient, each part scaled by the root of the Hessian's
        diagonal, is at most ``tol`` times that at zero weights.
    max_iter : int, default=100
        At most this many Newton steps.
    warm_start : bool, default=False
        Start from the weights of the previous fit where its columns are the same, else from zero.

    Attributes
    ----------
    coef_ : ndarray of shape (1, V)
        Weights w of the reward.
    classes_ : ndarray of shape (2,)
        The two labels; the second, greater one means that A is preferred.
    loss_ : float
        Weighted mean of -log P(the preference seen) on the training pairs, in nats per pair; log 2
        is a coin.
    n_iter_ : int
        Newton steps taken.
    history_ : list of dict
        One record per iteration, the first before any step:

        - ``iteration``: Newton steps so far;
        - ``objective``: the penalised objective of the Notes;
        - ``gradient_norm``: the norm of the stop criterion, relative to zero weights;
        - ``loss``: as ``loss_``;
        - ``accuracy``: weighted part of pairs whose margin has the sign of the preference, a margin
          of 0 counting half;
        - ``margin``: weighted mean of r(preferred) - r(other).

    vectorizer_ : transformer or None
        The fitted vectorizer, None where the model was fitted on unnamed differences.
    n_features_in_ : int
        V, the number of features of a response.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where differences came as a data frame with string column names.

    See Also
    --------
    balance_positions : Turns (chosen, rejected) pairs into pairs of both orders.
    PPOPolicyOptimizer : Optimises a policy against this reward.
    sklearn.linear_model.LogisticRegression : With ``fit_intercept=False``, the same model of
        feature differences.

    Notes
    -----
    The Bradley-Terry model [1]_ of a reward that is linear in the features, as used to learn
    rewards from human preferences [2]_ [3]_:

    .. math:: P(A \succ B) = \sigma(r(A) - r(B)), \quad r(y) = w \cdot \phi(y).

    With :math:`t_i = \pm 1` for A or B preferred and sample weights s, the fit minimises

    .. math:: C \sum_i s_i \log(1 + e^{-t_i (r(A_i) - r(B_i))}) + \tfrac{1}{2} \|w\|^2

    by Newton's method with conjugate gradients. There is no intercept, so the model is
    antisymmetric: exchanging A and B turns the sign of the margin. The prompt of a pair is accepted
    and has no features, since those of the prompt alone cancel in the difference. A response may be
    empty. Distinct responses are counted and multiplied once, however many pairs they stand in;
    features stay sparse.

    References
    ----------
    .. [1] Bradley, R. A. and Terry, M. E. (1952). "Rank analysis of incomplete block designs: I.
       The method of paired comparisons." Biometrika 39(3/4), 324-345.
    .. [2] Christiano, P. F. et al. (2017). "Deep reinforcement learning from human preferences."
       Advances in Neural Information Processing Systems 30.
    .. [3] Ouyang, L. et al. (2022). "Training language models to follow instructions with human
       feedback." Advances in Neural Information Processing Systems 35.

    Examples
    --------
    >>> from sklearn_codex import PreferenceRewardModel
    >>> pairs = [
    ...     ("return x", "pass"),
    ...     ("pass", "return y"),
    ...     ("return x + y", "pass # x + y"),
    ...     ("pass # later", "return z"),
    ... ]
    >>> model = PreferenceRewardModel().fit(pairs, [1, 0, 1, 0])
    >>> model.predict([("pass", "return 1")])
    array([0])
    >>> model.reward(["return x", "pass"]).round(2)
    array([ 0.84, -0.66])
    >>> model.top_features(1).against
    [('pass', -0.66...)]
    """

    _parameter_constraints: dict = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "vectorizer": [HasMethods(["fit", "transform"]), None],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
    }

    rlhf_stage = Stage(reads=("preference",), provides="reward")

    coef_: FloatArray

    def __init__(self, C=1.0, *, vectorizer=None, tol=1e-8, max_iter=100, warm_start=False):
        self.C = C
        self.vectorizer = vectorizer
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Learn the reward from preference pairs.

        Parameters
        ----------
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
            Pairs: rows ``(response_a, response_b)`` or ``(prompt, response_a, response_b)``, a data
            frame with these columns, or feature differences phi(A) - phi(B), dense or sparse.
        y : array-like of shape (n_pairs,)
            Two classes; the greater one means that A is preferred.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of pairs: a weight of 2 is the pair twice.

        Returns
        -------
        self : PreferenceRewardModel

        Raises
        ------
        TypeError
            If X holds text that is not in pairs, or a missing one.
        ValueError
            If y has not two classes, or X is neither pairs of text nor a matrix of finite numbers.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` steps were not enough.
        """
        subject = type(self).__name__
        previous = self._fitted_columns() if self.warm_start else None
        design = self._check_pairs(X, reset=True, vectorizer=self.vectorizer)
        self.classes_, preferred = _check_labels(y, subject=subject)
        check_consistent_length(design, preferred)
        weight = _check_sample_weight(
            sample_weight,
            preferred,
            dtype=np.float64,
            ensure_non_negative=True,
            allow_all_zero_weights=False,
        )
        _check_both_preferred(preferred, weight, self.classes_, subject=subject)
        loss = BradleyTerryLoss(design, preferred, weight, C=self.C)
        start = self.coef_[0] if previous is not None and self._has_columns(previous) else None
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._solve(loss, weight, start, context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _solve(self, loss, weight, start, context):
        """Minimise the loss, keep its history and report its iterations."""
        self.history_ = []
        tasks = _IterationTasks(self, context, self.max_iter)

        def report(state):
            mean_loss = float(np.average(loss.pair_losses(state.margins), weights=weight))
            self.history_.append(_describe(state, loss.target, weight, mean_loss))
            return tasks(state)

        state = fit_weights(loss, start, tol=self.tol, max_iter=self.max_iter, callback=report)
        self.coef_ = state.weights[np.newaxis]
        self.loss_ = self.history_[-1]["loss"]
        self.n_iter_ = state.iteration
        if not (state.converged or tasks.stopped):
            warnings.warn(
                f"{type(self).__name__} did not converge in max_iter={self.max_iter} steps: the "
                f"norm of the gradient is {state.gradient_norm:.1e} of that at zero weights, not "
                f"tol={self.tol:g}. Increase max_iter, decrease C, or scale the features.",
                ConvergenceWarning,
                stacklevel=2,
            )

    def _fitted_columns(self):
        """Return the number and the names of the columns of the last fit, None before any."""
        if not hasattr(self, "coef_"):
            return None
        return self.n_features_in_, self._token_names()

    def _has_columns(self, columns):
        """Return whether the columns are these: as many, and named the same or not named."""
        n_columns, names = columns
        current = self._token_names()
        if n_columns != self.n_features_in_:
            return False
        return names is None or current is None or np.array_equal(names, current)

    def decision_function(self, X):
        """Return the reward margin r(A) - r(B) of each pair.

        Parameters
        ----------
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        margin : ndarray of shape (n_pairs,)
            Log-odds that A is preferred, in nats.
        """
        check_is_fitted(self)
        return self._check_pairs(X, reset=False).matvec(self.coef_[0])

    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        proba : ndarray of shape (n_pairs, 2)
            P(B preferred) and P(A preferred), in the order of ``classes_``.
        """
        margin = self.decision_function(X)
        return np.column_stack([expit(-margin), expit(margin)])

    def predict_log_proba(self, X):
        """Return the log-probability of each class, exact where ``predict_proba`` rounds to 0.

        Parameters
        ----------
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        log_proba : ndarray of shape (n_pairs, 2)
            Natural logarithms, in the order of ``classes_``.
        """
        margin = self.decision_function(X)
        return np.column_stack([log_expit(-margin), log_expit(margin)])

    def predict(self, X):
        """Return the more probable class of each pair.

        Parameters
        ----------
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        y : ndarray of shape (n_pairs,)
            ``classes_[1]`` where A has the greater reward, else ``classes_[0]``.
        """
        margin = self.decision_function(X)
        return self.classes_[(margin > 0).astype(np.intp)]

    def reward(self, X):
        """Return the reward of single responses.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Responses, as text or as features phi (token counts by default).

        Returns
        -------
        reward : ndarray of shape (n_documents,)
            w . phi(y), in nats of log-odds. Only differences have a meaning: the model knows
            nothing of a constant.
        """
        check_is_fitted(self)
        return self._check_responses(X) @ self.coef_[0]

    def top_features(self, n=10):
        """Return the features that speak most for and most against a response.

        Parameters
        ----------
        n : int, default=10
            At most this many of each.

        Returns
        -------
        features : Bunch
            ``in_favor`` and ``against``: lists of (name, weight), the strongest first; features of
            weight 0 are left out. Columns without names are called x0, x1, and so on.
        """
        check_is_fitted(self)
        if n < 1:
            raise ValueError(f"n should be at least 1, got {n}.")
        weights, names = self.coef_[0], self._token_names()
        order = np.argsort(weights, kind="stable")

        def describe(columns):
            return [
                (f"x{j}" if names is None else str(names[j]), float(weights[j])) for j in columns
            ]

        return Bunch(
            in_favor=describe(j for j in order[::-1][:n] if weights[j] > 0),
            against=describe(j for j in order[:n] if weights[j] < 0),
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.sparse = True
        return tags
