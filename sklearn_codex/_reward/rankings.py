"""The reward model of rankings and of best-of-k choices."""

import warnings
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch, check_consistent_length
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_y, check_is_fitted

from sklearn_codex._checks.groups import encode_groups
from sklearn_codex._checks.matrices import check_frame
from sklearn_codex._checks.numbers import as_floats, check_weight
from sklearn_codex._checks.probabilities import as_array
from sklearn_codex._data.designs import DifferenceDesign
from sklearn_codex._data.pairs import ReadResponses, read_vectors, vectorize
from sklearn_codex._data.responses import check_prompted_responses, stack_prompts
from sklearn_codex._data.text_pairs import TextPairs
from sklearn_codex._data.vectorizers import wants_prompt
from sklearn_codex._data.vectors import holds_column_of_vectors, holds_vectors
from sklearn_codex._doc_links import link_estimators
from sklearn_codex._fits import whole_fit
from sklearn_codex._reward.leakage import TrainingPairs, warn_of_scored_rows
from sklearn_codex._reward.plackett_luce import PlackettLuceLoss, arrange_rankings
from sklearn_codex._reward.presets import VECTORIZER_CONSTRAINTS, choose_vectorizer
from sklearn_codex._reward.top_features import TopFeaturesMixin
from sklearn_codex._solve.newton import minimise, warn_unless_converged


def stack_rankings(rankings, *, prompts=None, top=None):
    """Turn rankings, each a list of responses with the best first, into rows for a ranking model.

    Parameters
    ----------
    rankings : sequence of sequences
        Responses of each ranking, the best first: texts, or rows of features.
    prompts : sequence of str of length n_rankings, default=None
        The prompt of each ranking of texts.
    top : int, default=None
        Only the first ``top`` responses of each ranking are known to be in order, and better than
        the others: 1 for choices of the best of k. None: all are in order.

    Returns
    -------
    rows : Bunch
        ``X`` (a list of all responses, or of ``(prompt, response)``), ``y`` (from 0, the greater
        the better) and ``groups`` (the number of the ranking), each of length n_responses.

    Raises
    ------
    ValueError
        If there is no ranking, one has no response, or there are not as many prompts as rankings.

    Examples
    --------
    >>> from sklearn_codex import stack_rankings
    >>> rows = stack_rankings([["good", "fair", "bad"], ["fine", "poor"]])
    >>> rows.X, rows.y.tolist(), rows.groups.tolist()
    (['good', 'fair', 'bad', 'fine', 'poor'], [2, 1, 0, 1, 0], [0, 0, 0, 1, 1])
    >>> stack_rankings([["good", "fair", "bad"]], top=1).y.tolist()
    [1, 0, 0]
    """
    is_list = isinstance(rankings, (Sequence, np.ndarray)) and getattr(rankings, "ndim", 1) > 0
    if not is_list or isinstance(rankings, str):
        raise TypeError(
            "stack_rankings needs a list of rankings, each a list of responses, got a "
            f"{type(rankings).__name__}: {rankings!r:.60}."
        )
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
    if top is not None and not (isinstance(top, Integral) and int(top) >= 1):
        raise ValueError(f"top should be a whole number of at least 1, or None, got {top!r}.")
    X = [response for ranking in rankings for response in ranking]
    groups = np.repeat(np.arange(len(sizes)), sizes)
    if prompts is not None:
        of_ranking = list(as_array(prompts, name="prompts").ravel())
        if len(of_ranking) != len(sizes):
            raise ValueError(
                f"stack_rankings needs one prompt a ranking: {len(of_ranking)} prompts were given "
                f"for {len(sizes)} rankings."
            )
        X = [(of_ranking[group], text) for group, text in zip(groups.tolist(), X, strict=True)]
    orders = [np.arange(size)[::-1] for size in sizes]
    if top is not None:
        orders = [np.maximum(order - max(len(order) - 1 - int(top), 0), 0) for order in orders]
    return Bunch(X=X, y=np.concatenate(orders), groups=groups)


def _encode_groups(groups, n_responses):
    """Return the group of each response (n_responses,), from 0; the same for all where None."""
    if groups is None:
        return np.zeros(n_responses, dtype=np.intp)
    return encode_groups(groups, n_responses, unit="response")


def _tells_prompts(texts):
    """Return whether prompts say which responses were compared."""
    return texts is not None and any(prompt.strip() for prompt in texts[0])


def _warn_of_one_ranking(n_rows, *, subject):
    """Say what responses are taken for of which nobody says which were compared."""
    warnings.warn(
        f"{subject} got {n_rows} rows without groups: it takes them as one ranking, each response "
        "compared with all others, as if y were on one scale. Pass groups=, which responses were "
        "compared, equal ones for a single ranking; or rows (prompt, response) of text; in a "
        'cross-validation, params={"groups": groups} with '
        "sklearn.set_config(enable_metadata_routing=True).",
        UserWarning,
        stacklevel=5,
    )


def _as_pairs(texts, codes):
    """Return prompts and responses as the pairs by which leakage is told, None where it cannot be.

    Under a prompt a response is a row of its own, told by "a pair" with itself. Without prompts a
    ranking is known again by its responses, so each stands with its neighbour in it.
    """
    if texts is None:
        return None
    prompts, responses = texts
    if _tells_prompts(texts):
        return TextPairs(prompts, responses, responses)
    if codes is None:
        return None
    order = sorted(range(len(codes)), key=lambda row: (codes[row], responses[row]))
    first = {codes[row]: row for row in reversed(order)}
    neighbour = {
        row: after if codes[after] == codes[row] else first[codes[row]]
        for row, after in zip(order, [*order[1:], order[0]], strict=True)
    }
    return TextPairs(None, responses, [responses[neighbour[row]] for row in range(len(codes))])


@link_estimators
class PlackettLuceModel(TopFeaturesMixin, BaseEstimator):
    r"""Reward model of rankings of several responses, and of choices of the best.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the L2 penalty, for choices as ``PreferenceRewardModel`` has it for
        pairs.
    vectorizer : transformer, "preference" or None, default=None
        Turns a text into its features phi; any scikit-learn transformer of texts. None means
        ``TokenCounter()``, "preference" :func:`~sklearn_codex.features.preference_features`, as in
        :class:`PreferenceRewardModel`.
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
        Weighted mean of -log P of the choices of the training rankings, in nats per choice.
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

    A response of weight s chosen counts s times, and to be chosen it has s times the odds, as if it
    were there s times. Where all weights of a group are equal only the first matters: its ranking
    counts s times.

    Cross-validation knows the groups of rows ``(prompt, response)``, which are the prompts. Others
    it has to hand to ``fit`` and ``score`` too, not to the splitter alone:
    ``sklearn.set_config(enable_metadata_routing=True)`` and
    ``cross_val_score(model, X, y, params={"groups": groups}, cv=GroupKFold())``. Where a prompt has
    several rankings, split by prompt and learn by ranking:
    ``model.set_fit_request(groups="rankings").set_score_request(groups="rankings")`` and
    ``params={"groups": prompts, "rankings": groups}``.

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
        "vectorizer": VECTORIZER_CONSTRAINTS,
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    # Without groups a score of several rankings has no meaning, so they are always asked for.
    __metadata_request__fit = {"groups": True}
    __metadata_request__score = {"groups": True}

    _unit_of_rows = "rankings"

    def __init__(self, C=1.0, *, vectorizer=None, tol=1e-8, max_iter=100):
        self.C = C
        self.vectorizer = vectorizer
        self.tol = tol
        self.max_iter = max_iter

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Learn the reward from rankings.

        Parameters
        ----------
        X : sequence of str, rows (prompt, response) or array-like of shape (n_responses, V)
            Responses, as text, alone or with their prompts, as features phi, which may be negative,
            or as their :class:`~sklearn_codex.ResponseIds`.
        y : array-like of shape (n_responses,)
            How good each is among its group: the greater, the better. Of ranks with 1 for the best
            give the negative.
        sample_weight : array-like of shape (n_responses,), default=None
            Weights of responses; to weigh rankings, equal within a group.
        groups : array-like of shape (n_responses,), default=None
            Which responses were compared. None: those of the same prompt where X has prompts, else
            all of them.

        Returns
        -------
        self : PlackettLuceModel

        Raises
        ------
        ValueError
            If no group has two different y.

        Warns
        -----
        UserWarning
            If there are three responses or more, and neither groups nor prompts.
        ConvergenceWarning
            If ``max_iter`` steps were not enough.
        """
        subject = type(self).__name__
        design, texts = self._read_rows(X, reset=True)
        codes = self._encode_rows(design, texts, groups)
        self._has_groups = groups is not None or _tells_prompts(texts)
        loss = self._make_loss(design, codes, y, sample_weight)
        if not self._has_groups and len(codes) > 2:
            _warn_of_one_ranking(len(codes), subject=subject)
        self._training_pairs = TrainingPairs(_as_pairs(texts, codes))
        self.n_choices_ = loss.rankings.n_choices
        start = np.zeros(self.n_features_in_)
        state = minimise(loss, start, tol=self.tol, max_iter=self.max_iter)
        self.coef_ = state.point.weights[np.newaxis]
        self.n_iter_ = state.iteration
        self.loss_ = loss.log_loss(state.point.margins) / loss.rankings.total_weight
        warn_unless_converged(state, subject=subject)
        return self

    def _read(self, X, *, reset):
        """Return responses as they are read, and prompts and texts, None for numbers."""
        is_vectors = holds_vectors(X) or holds_column_of_vectors(X)
        subject = type(self).__name__
        columns = None if is_vectors else check_prompted_responses(X, subject=subject)
        vectorizer = choose_vectorizer(self.vectorizer) if reset else self.vectorizer_
        if columns is None:
            return read_vectors(self, X, reset=reset, vectorizer=vectorizer), None
        texts = stack_prompts(*columns) if wants_prompt(vectorizer) else columns[1]
        features = vectorize(self, texts, reset=reset, vectorizer=vectorizer)
        return ReadResponses(DifferenceDesign(features), features.shape[:1]), columns

    def _read_rows(self, X, *, reset):
        """Return the design (n, V) of responses, one a row, and prompts and texts."""
        read, texts = self._read(X, reset=reset)
        if len(read.shape) != 1:
            raise ValueError(
                f"{type(self).__name__} expected X to be responses, one a row, got {read.shape[1]} "
                "a row. Pass a row a response and say by groups= which were compared; candidates "
                "are for reward."
            )
        return read.design, texts

    def _encode_rows(self, design, texts, groups):
        """Return the group of each response (n_responses,), from 0: given, or its prompt."""
        check_consistent_length(design, groups)
        if groups is None and texts is not None:
            groups = texts[0]
        return _encode_groups(groups, design.shape[0])

    def _warn_if_scored(self, X):
        """Warn where a score of responses, by their prompts, measures memory, for scorers."""
        texts = check_prompted_responses(X, subject=type(self).__name__)
        warn_of_scored_rows(self, lambda: _as_pairs(texts, None), stacklevel=2)

    def _make_loss(self, design, codes, y, sample_weight):
        """Return the loss of responses of these groups and their y, once it is validated."""
        subject = type(self).__name__
        if y is None:
            raise ValueError(f"{subject} requires y to be passed, but the target y is None.")
        y = as_floats(check_frame(y, subject), "y, the places of responses", subject=subject)
        y = _check_y(y, y_numeric=True, estimator=subject)
        check_consistent_length(design, y)
        weight = check_weight(sample_weight, y)
        if not weight.all():
            # A response that does not count does not make the others better than it either.
            kept = np.flatnonzero(weight)
            design, y, weight = design.take(kept), y[kept], weight[kept]
            codes = np.unique(codes[kept], return_inverse=True)[1]
        rankings = arrange_rankings(y, codes, weight)
        if rankings.n_choices == 0:
            raise ValueError(
                f"{subject} found no choice in n_samples={len(y)} responses: no group has two "
                "different y. Pass groups= that hold the responses that were compared."
            )
        return PlackettLuceLoss(design, rankings, C=self.C)

    def reward(self, X):
        """Return the reward of single responses.

        Parameters
        ----------
        X : sequence of str, array-like of shape (n_responses, V) or (n, k, V), or ResponseIds
            Responses, as in ``fit``, or k candidates a row.

        Returns
        -------
        reward : ndarray of shape (n_responses,) or (n, k)
            w . phi(y), in nats of log-odds. Only differences have a meaning.
        """
        check_is_fitted(self)
        return self._read(X, reset=False)[0].reward(self.coef_[0])

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
        X : sequence of str, rows (prompt, response) or array-like of shape (n_responses, V)
            Responses, as in ``fit``.
        groups : array-like of shape (n_responses,), default=None
            Which responses are compared. None: those of the same prompt where X has prompts, else
            all of them.

        Returns
        -------
        probability : ndarray of shape (n_responses,)
            Adds up to 1 in each group.
        """
        check_is_fitted(self)
        design, texts = self._read_rows(X, reset=False)
        reward = design.matvec(self.coef_[0])
        codes = self._encode_rows(design, texts, groups)
        greatest = np.full(codes.max() + 1, -np.inf)
        np.maximum.at(greatest, codes, reward)
        odds = np.exp(reward - greatest[codes])
        return odds / np.bincount(codes, odds)[codes]

    def score(self, X, y, sample_weight=None, groups=None):
        """Return the mean log-likelihood of choices, in nats a choice; greater is better.

        Parameters
        ----------
        X : sequence of str, rows (prompt, response) or array-like of shape (n_responses, V)
            Responses, as in ``fit``.
        y : array-like of shape (n_responses,)
            How good each is among its group, as in ``fit``.
        sample_weight : array-like of shape (n_responses,), default=None
            Weights of responses, as in ``fit``.
        groups : array-like of shape (n_responses,), default=None
            Which responses were compared, as in ``fit``.

        Returns
        -------
        score : float
            With two responses a group, the negative log-loss of pairs.

        Raises
        ------
        ValueError
            If no group has two different y, or ``fit`` had groups or prompts and this call neither.

        Warns
        -----
        LeakageWarning
            As ``PreferenceRewardModel.score``: if there are responses that were not in the fit, but
            whose prompts were; for rankings of text without prompts, if more than a quarter of the
            responses, of those of at least 40 characters in new rankings, were. Numbers, and
            groups, which a caller may count anew in each call, tell nothing. The scorer
            "best_of_n_accuracy" of :mod:`sklearn_codex.metrics` warns by prompts; those of
            scikit-learn never do.
        """
        check_is_fitted(self)
        design, texts = self._read_rows(X, reset=False)
        if groups is None and self._has_groups and not _tells_prompts(texts):
            raise ValueError(
                f"{type(self).__name__} was fitted with groups and is scored without. Pass groups= "
                "here too, equal ones for a single ranking; in a cross-validation, "
                'params={"groups": groups} with sklearn.set_config(enable_metadata_routing=True).'
            )
        codes = self._encode_rows(design, texts, groups)
        loss = self._make_loss(design, codes, y, sample_weight)
        warn_of_scored_rows(self, lambda: _as_pairs(texts, codes), stacklevel=2)
        return -loss.log_loss(loss.design.matvec(self.coef_[0])) / loss.rankings.total_weight

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        return tags
