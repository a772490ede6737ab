"""The reward model of rankings and of best-of-k choices."""

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils import Bunch, check_consistent_length
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import _check_y, check_is_fitted

from sklearn_codex._designs import DifferenceDesign
from sklearn_codex._newton import minimise, warn_unless_converged
from sklearn_codex._pairs import PairsMixin
from sklearn_codex._plackett_luce import PlackettLuceLoss, arrange_rankings
from sklearn_codex._responses import check_prompted_responses, stack_prompts, wants_prompt
from sklearn_codex.text import TokenCounter, check_texts


def stack_rankings(rankings):
    """Turn rankings, each a list of responses with the best first, into rows for a ranking model.

    Parameters
    ----------
    rankings : sequence of sequences
        Responses of each ranking, the best first: texts, or rows of features.

    Returns
    -------
    rows : Bunch
        ``X`` (a list of all responses), ``y`` (from 0, the greater the better) and ``groups`` (the
        number of the ranking), each of length n_responses.

    Raises
    ------
    ValueError
        If there is no ranking, or one has no response.

    Examples
    --------
    >>> from sklearn_codex import stack_rankings
    >>> rows = stack_rankings([["good", "fair", "bad"], ["fine", "poor"]])
    >>> rows.X, rows.y.tolist(), rows.groups.tolist()
    (['good', 'fair', 'bad', 'fine', 'poor'], [2, 1, 0, 1, 0], [0, 0, 0, 1, 1])
    """
    for position, ranking in enumerate(rankings):
        if isinstance(ranking, str) or not isinstance(ranking, (Sequence, np.ndarray)):
            raise TypeError(
                f"stack_rankings expected each ranking to be a list of responses, but the one at "
                f"position {position} is {ranking!r:.60}."
            )
    sizes = np.array([len(ranking) for ranking in rankings], dtype=np.intp)
    if len(sizes) == 0 or sizes.min() == 0:
        raise ValueError(
            f"stack_rankings needs rankings of at least one response, got sizes {sizes.tolist()}."
        )
    return Bunch(
        X=[response for ranking in rankings for response in ranking],
        y=np.concatenate([np.arange(size)[::-1] for size in sizes]),
        groups=np.repeat(np.arange(len(sizes)), sizes),
    )


class PlackettLuceModel(PairsMixin, BaseEstimator):
    r"""Reward model of rankings of several responses, and of choices of the best.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the L2 penalty, for choices as ``PreferenceRewardModel`` has it for
        pairs.
    vectorizer : transformer, default=None
        Turns a text into its features phi; any scikit-learn transformer of texts. None means
        ``TokenCounter()``.
    tol : float, default=1e-8
        The fit stops when the norm of the gradient, scaled, is at most ``tol`` times that at zero
        weights.
    max_iter : int, default=100
        At most this many Newton steps.

    Attributes
    ----------
    coef_ : ndarray of shape (1, V)
        Weights w of the reward.
    loss_ : float
        Mean of -log P of the choices of the training rankings, in nats per choice.
    n_choices_ : int
        Choices in the training rankings: of k responses in a full order, k - 1.
    n_iter_ : int
        Newton steps taken.
    vectorizer_ : transformer or None
        The fitted vectorizer, None where the model was fitted on unnamed features.
    n_features_in_ : int
        V, the number of features of a response.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where features came as a data frame with string column names.

    See Also
    --------
    PreferenceRewardModel : The same model of pairs.
    stack_rankings : Turns lists of responses into X, y and groups.

    Notes
    -----
    A ranking is a sequence of choices: of the best of all, of the best of the others, and so on
    [1]_ [2]_. With the reward :math:`r(y) = w \cdot \phi(y)`,

    .. math:: P(y_1 \succ \ldots \succ y_k) = \prod_{i=1}^{k} \frac{e^{r(y_i)}}
        {\sum_{j \ge i} e^{r(y_j)}},

    and the fit minimises :math:`-C \log P + \tfrac{1}{2} \|w\|^2` by Newton's method. Within a
    group responses of the lowest y are not ordered, they are only not chosen: with y = 1 for the
    chosen response and 0 for the others, a group is a single choice, of the best of k. Responses
    that are equal above the lowest level are each chosen from all that are not better, Breslow's
    approximation [3]_. A group of two is a pair of the Bradley-Terry model.

    Cross-validation has to hand ``groups`` to ``fit`` and ``score`` too, not to the splitter alone:
    ``sklearn.set_config(enable_metadata_routing=True)``,
    ``model.set_fit_request(groups=True).set_score_request(groups=True)`` and
    ``cross_val_score(model, X, y, params={"groups": groups}, cv=GroupKFold())``.

    References
    ----------
    .. [1] Plackett, R. L. (1975). "The analysis of permutations." Journal of the Royal Statistical
       Society C 24(2), 193-202.
    .. [2] Luce, R. D. (1959). "Individual choice behavior: a theoretical analysis." Wiley.
    .. [3] Breslow, N. (1974). "Covariance analysis of censored survival data." Biometrics 30(1),
       89-99.

    Examples
    --------
    >>> from sklearn_codex import PlackettLuceModel, stack_rankings
    >>> rows = stack_rankings([["good", "fair", "bad"], ["good day", "bad day"]])
    >>> model = PlackettLuceModel().fit(rows.X, rows.y, groups=rows.groups)
    >>> model.reward(["good", "fair", "bad"]).argsort().tolist()
    [2, 1, 0]
    """

    _parameter_constraints: dict = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "vectorizer": [HasMethods(["fit", "transform"]), None],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, C=1.0, *, vectorizer=None, tol=1e-8, max_iter=100):
        self.C = C
        self.vectorizer = vectorizer
        self.tol = tol
        self.max_iter = max_iter

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, groups=None):
        """Learn the reward from rankings.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_responses, V)
            Responses, as text or as features phi, which may be negative. For a vectorizer that
            reads prompts, also rows ``(prompt, response)``.
        y : array-like of shape (n_responses,)
            How good each is among its group: the greater, the better. Of ranks with 1 for the best
            give the negative.
        groups : array-like of shape (n_responses,), default=None
            Which responses were compared. None: all of them.

        Returns
        -------
        self : PlackettLuceModel

        Raises
        ------
        ValueError
            If no group has two different y.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` steps were not enough.
        """
        subject = type(self).__name__
        loss = self._make_loss(self._read(X), y, groups)
        self.n_choices_ = loss.rankings.n_choices
        minimum = minimise(
            loss, np.zeros(self.n_features_in_), tol=self.tol, max_iter=self.max_iter
        )
        self.coef_ = minimum.params[np.newaxis]
        self.n_iter_ = minimum.n_iter
        self.loss_ = loss.log_loss(minimum.params) / self.n_choices_
        warn_unless_converged(minimum, subject=subject)
        return self

    def _read(self, X):
        """Return the features (n, V) of responses, which define the columns."""
        subject = type(self).__name__
        vectorizer = clone(TokenCounter() if self.vectorizer is None else self.vectorizer)
        if wants_prompt(vectorizer):
            columns = check_prompted_responses(X, subject=subject)
            texts = None if columns is None else stack_prompts(*columns)
        else:
            texts = check_texts(X, subject=subject)
        if texts is None:
            features = self._check_features(X, reset=True)
            self._name_columns_of_counts(self.vectorizer)
            return features
        self.vectorizer_ = vectorizer
        return self._vectorize(texts, reset=True)

    def _make_loss(self, features, y, groups):
        """Return the loss of responses, their y and their groups, once these are validated."""
        subject = type(self).__name__
        if y is None:
            raise ValueError(f"{subject} requires y to be passed, but the target y is None.")
        y = _check_y(y, y_numeric=True, estimator=subject).astype(np.float64)
        check_consistent_length(features, y, groups)
        codes = np.zeros(len(y), dtype=np.intp)
        if groups is not None:
            codes = np.unique(np.asarray(groups), return_inverse=True)[1]
        rankings = arrange_rankings(y, codes)
        if rankings.n_choices == 0:
            raise ValueError(
                f"{subject} found no choice in n_samples={len(y)} responses: no group has two "
                "different y. Pass groups= that hold the responses that were compared."
            )
        return PlackettLuceLoss(DifferenceDesign(features), rankings, C=self.C)

    def reward(self, X):
        """Return the reward of single responses.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_responses, V)
            Responses, as in ``fit``.

        Returns
        -------
        reward : ndarray of shape (n_responses,)
            w . phi(y), in nats of log-odds. Only differences have a meaning.
        """
        check_is_fitted(self)
        return self._check_responses(X) @ self.coef_[0]

    def predict(self, X):
        """Return the reward of single responses, by which they are ranked.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_responses, V)
            Responses, as in ``fit``.

        Returns
        -------
        reward : ndarray of shape (n_responses,)
            As ``reward``.
        """
        return self.reward(X)

    def predict_choice(self, X, groups=None):
        """Return the probability that each response is chosen as the best of its group.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_responses, V)
            Responses, as in ``fit``.
        groups : array-like of shape (n_responses,), default=None
            Which responses are compared. None: all of them.

        Returns
        -------
        probability : ndarray of shape (n_responses,)
            Adds up to 1 in each group.
        """
        reward = self.reward(X)
        check_consistent_length(reward, groups)
        codes = np.zeros(len(reward), dtype=np.intp)
        if groups is not None:
            codes = np.unique(np.asarray(groups), return_inverse=True)[1]
        greatest = np.full(codes.max() + 1, -np.inf)
        np.maximum.at(greatest, codes, reward)
        odds = np.exp(reward - greatest[codes])
        return odds / np.bincount(codes, odds)[codes]

    def score(self, X, y, groups=None):
        """Return the mean log-likelihood of choices, in nats a choice; greater is better.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_responses, V)
            Responses, as in ``fit``.
        y : array-like of shape (n_responses,)
            How good each is among its group, as in ``fit``.
        groups : array-like of shape (n_responses,), default=None
            Which responses were compared. None: all of them.

        Returns
        -------
        score : float
            With two responses a group, the negative log-loss of pairs.
        """
        check_is_fitted(self)
        loss = self._make_loss(self._check_responses(X), y, groups)
        return -loss.log_loss(self.coef_[0]) / loss.rankings.n_choices

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        return tags
