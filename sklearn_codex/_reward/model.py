"""The reward model: a Bradley-Terry classifier of preference pairs."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval

from sklearn_codex._data.vectorizers import token_names
from sklearn_codex._fits import whole_fit
from sklearn_codex._reward.author_terms import add_authors, without_last
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, initial_precision
from sklearn_codex._reward.leakage import TrainingPairs
from sklearn_codex._reward.linear_reward import RewardModelBase
from sklearn_codex._reward.partitioned_pairs import read_problem
from sklearn_codex._reward.presets import VECTORIZER_CONSTRAINTS
from sklearn_codex._reward.targets import check_stream_classes
from sklearn_codex._stage import Stage


class PreferenceRewardModel(RewardModelBase):
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
    vectorizer : transformer, "preference" or None, default=None
        Turns a text into its features phi; any scikit-learn transformer of texts. None means
        ``TokenCounter()``; "preference" is :func:`~sklearn_codex.features.preference_features`,
        words, character n-grams and the form of a response. A
        :class:`~sklearn_codex.NGramCounter` means the :class:`~sklearn_codex.NGramFeatures` of its
        n-grams, which take its counts too. It is fitted on the distinct responses; one wrapped in
        ``FrozenEstimator`` is used as it is, and names the columns of feature differences. One that
        has an attribute ``wants_prompt = True``, and any ``ColumnTransformer``, is given rows
        ``(prompt, response)``, an array of objects with 2 columns, the prompt being '' where there
        is none.
    position_bias : bool, default=False
        Whether the margin has an intercept, the log-odds that A is preferred for its place alone.
        A diagnostic: it seldom predicts better.
    control_length : bool, default=False
        Whether the length difference enters the margin beside the reward, so that the reward is the
        preference net of length. It needs text, or pairs in
        :class:`~sklearn_codex.PairsWithLength`.
    author_C : float, default=1.0
        Inverse strength of the L2 penalty of the terms of ``authors``, where ``fit`` gets them.
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
        The two labels; the second, greater one means that A is preferred. 0 and 1 where the labels
        are probabilities.
    position_bias_ : float
        The intercept, in nats of log-odds; 0 unless ``position_bias=True``.
    length_coef_ : ndarray of shape (2,)
        What d and tanh(d) of the Notes add to the margin; 0 unless ``control_length=True``.
    length_scale_ : float or None
        The root mean square of length differences in training, the unit of d; None unless
        ``control_length=True``.
    authors_ : ndarray of shape (n_authors,)
        Names of who wrote the responses, sorted; none where ``fit`` got no ``authors``.
    author_coef_ : ndarray of shape (n_authors,)
        What each adds to the log-odds of a response of theirs, beside its reward.
    loss_ : float
        Weighted mean of -log P(the preference seen) on the training pairs, in nats per pair; log 2
        is a coin.
    n_iter_ : int
        Newton steps taken, in the last batch of a stream.
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
    PreferenceRewardModelCV : Chooses ``C`` by cross-validation that keeps prompts together.
    RewardUncertainty : Standard errors and intervals of weights, margins and rewards.
    TiePreferenceModel : Ties as an outcome of their own, with P(tie).
    ResponseIds : Pairs of vectors, such as embeddings, each response held once.
    PlackettLuceModel : The same reward from rankings and best-of-k choices.
    AnnotatorRewardModel : Pairs labelled by annotators who are not equally reliable.
    author_share : How much of a reward is who wrote the response.
    check_preferences : A health report on the pairs, before any fit.
    balance_positions : Turns (chosen, rejected) pairs into pairs of both orders.
    PPOPolicyOptimizer : Optimises a policy against this reward.
    sklearn.linear_model.LogisticRegression : With ``fit_intercept=False``, the same model of
        feature differences.

    Notes
    -----
    The Bradley-Terry model [1]_ of a reward that is linear in the features, as used to learn
    rewards from human preferences [2]_ [3]_:

    .. math:: P(A \succ B) = \sigma(r(A) - r(B)), \quad r(y) = w \cdot \phi(y).

    With :math:`p_i` the label, 1 for A, 0 for B or a probability, sample weights s and the margin
    m, which is :math:`r(A) - r(B)`, the fit minimises

    .. math::
        C \sum_i s_i [-p_i \log \sigma(m_i) - (1 - p_i) \log \sigma(-m_i)] + \tfrac{1}{2} \|w\|^2

    by Newton's method with conjugate gradients. A pair weighs 1 whatever its label: soft labels
    enter the loss, no row is doubled. By default there is no intercept, so the model is
    antisymmetric: exchanging A and B turns the sign of the margin. Features of the prompt alone
    cancel in the difference; those of a response and its prompt do not. A response may be empty.
    Distinct responses are counted and multiplied once, however many pairs they stand in; features
    stay sparse.

    With position and length the margin is

    .. math:: m = r(A) - r(B) + b + c_1 d + c_2 \tanh d, \quad d = (|A| - |B|) / s,

    where b and c have no penalty, so they explain all they can, and s is ``length_scale_``. The
    term in tanh is that of length-controlled AlpacaEval [4]_; the linear one makes a utility that
    is proportional to length drop out of the reward completely. Length is what
    :class:`~sklearn_codex.PairsWithLength` says, else in characters for text, and in tokens for
    counts in the columns of a ``TokenCounter``; other numbers have none. Probabilities and
    ``predict`` have all terms, since they say what the annotators will prefer; ``reward`` and
    ``reward_margin`` have none but the reward.

    With ``authors``, such as the models that wrote A and B, the margin in ``fit`` has a term
    :math:`u_a - u_b` more, with the penalty :math:`\tfrac{C}{2 C_a} \|u\|^2`, :math:`C_a` being
    ``author_C``: what the labels owe to who wrote a response, whatever it says, is then no longer
    told by its words, and the reward is net of it. Of other pairs nobody knows the author, so
    rewards, margins and probabilities are without.

    References
    ----------
    .. [1] Bradley, R. A. and Terry, M. E. (1952). "Rank analysis of incomplete block designs: I.
       The method of paired comparisons." Biometrika 39(3/4), 324-345.
    .. [2] Christiano, P. F. et al. (2017). "Deep reinforcement learning from human preferences."
       Advances in Neural Information Processing Systems 30.
    .. [3] Ouyang, L. et al. (2022). "Training language models to follow instructions with human
       feedback." Advances in Neural Information Processing Systems 35.
    .. [4] Dubois, Y., Galambosi, B., Liang, P. and Hashimoto, T. B. (2024). "Length-controlled
       AlpacaEval: a simple way to debias automatic evaluators." arXiv:2404.04475.

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
        "vectorizer": VECTORIZER_CONSTRAINTS,
        "position_bias": ["boolean"],
        "control_length": ["boolean"],
        "author_C": [Interval(Real, 0, None, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
    }

    rlhf_stage = Stage(reads=("preference",), provides="reward", soft_labels=True)

    # A reward net of authors is another reward, so they are always asked for.
    __metadata_request__fit = {"authors": True}

    def __init__(
        self,
        C=1.0,
        *,
        vectorizer=None,
        position_bias=False,
        control_length=False,
        author_C=1.0,
        tol=1e-8,
        max_iter=100,
        warm_start=False,
    ):
        self.C = C
        self.vectorizer = vectorizer
        self.position_bias = position_bias
        self.control_length = control_length
        self.author_C = author_C
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, authors=None):
        """Learn the reward from preference pairs.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs: rows ``(response_a, response_b)`` or ``(prompt, response_a, response_b)``, a data
            frame with these columns, of texts or of vectors, an array of vectors phi(A), phi(B),
            their :class:`~sklearn_codex.ResponseIds`, or feature differences phi(A) - phi(B), dense
            or sparse; also in :class:`~sklearn_codex.PairsWithLength`. Floats of 16 and 32 bits,
            and arrays on disk, are never widened as a whole; a million numbers of 32 bits or more
            in memory are multiplied as such where that moves no weight by what ``tol`` tells. Also
            a dask bag of rows of text, or array of differences, which stay where they are:
            gradients and Hessian products are summed over partitions. ``score`` then knows no
            leakage.
        y : array-like of shape (n_pairs,)
            For a dask X also a dask bag or array with the same partitions, as ``sample_weight``.
            Two classes; the greater one means that A is preferred. Or numbers in [0, 1], some of
            them neither 0 nor 1: the probability that A is preferred, 0.5 for a tie. Labels that
            name the better response, "a" and "b", are for
            :func:`~sklearn_codex.labels.convert_labels`.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of pairs: a weight of 2 is the pair twice.
        authors : array-like of shape (n_pairs, 2), default=None
            Names of who, such as which model, wrote A and B, of which the reward is to be net; not
            for a dask X.

        Returns
        -------
        self : PreferenceRewardModel

        Raises
        ------
        TypeError
            If X holds text that is not in pairs, or a missing one.
        ValueError
            If y has neither two classes nor probabilities, or X is neither pairs of text nor finite
            numbers, or lengths are to be controlled that X does not have.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` steps were not enough.
        SeparationWarning
            If position and length, which have no penalty, tell all labels, so that there is no
            finite optimum.
        """
        is_warm = self.warm_start and hasattr(self, "coef_")
        previous = (self.n_features_in_, token_names(self)) if is_warm else None
        problem = read_problem(self, X, y, sample_weight)
        self._require_both_preferred(problem)
        self.classes_ = problem.labels.classes
        start = self._start(previous, len(problem.penalty)) if previous else None
        factor = self.C / self.author_C
        self.authors_, full = add_authors(problem, authors, factor, subject=type(self).__name__)
        n_authors = len(self.authors_)
        start = None if start is None else np.append(start, np.zeros(n_authors))
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        state = self._minimise(full.make_loss(self.C), start, context)
        self._warn_if_biases_separate(problem)
        self.author_coef_ = state.point.weights[len(problem.penalty) :]
        precision = state.curvature.add_to(initial_precision(full.penalty))
        self._precision = without_last(precision, n_authors)
        self._fitted_C = self.C
        self._training_pairs = TrainingPairs(problem.pairs)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    @whole_fit(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        r"""Learn from a batch of a stream of pairs, keeping a summary of the batches before.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``. The first batch fits the vectorizer, and later ones are counted in
            its columns: give one that is frozen, or has a fixed vocabulary, if the first is small.
        y : array-like of shape (n_pairs,)
            Labels, as in ``fit``; a batch may have one class.
        classes : array-like of shape (2,), default=None
            Both classes, needed in the first batch if it lacks one of them.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of pairs.

        Returns
        -------
        self : PreferenceRewardModel

        Raises
        ------
        ValueError
            As in ``fit``; or if the first batch has one class and ``classes`` is not given.

        Notes
        -----
        After a batch the past is a Gaussian with mean :math:`\mu`, the weights, and precision Q.
        The next batch, with loss l, moves the weights to the minimum of

        .. math:: C\, l(w) + \tfrac{1}{2} (w - \mu)' Q (w - \mu)

        found as exactly as by ``fit``, and its curvature there is added to Q, which begins as the
        penalty. Q is a matrix up to 128 weights, and its diagonal beyond.

        What this guarantees: one batch gives what ``fit`` gives, and a ``fit`` counts as the first
        batch; pairs may be forgotten, and memory does not grow with them (but for 8 bytes a pair
        and a prompt, by which ``score`` knows leakage); no step size is needed. What it does not: a
        stream gives not exactly what ``fit`` on all of it gives, and the order of batches matters,
        both because the curvature of a batch is not looked at again. With the matrix, the
        difference vanishes faster than the sampling error as batches grow. With the diagonal,
        weights of a stream from one source still go to those of that source, but more slowly where
        features are correlated. With ``position_bias=True`` the first batch needs both classes.
        """
        is_first = not hasattr(self, "coef_")
        problem = self._read(X, y, sample_weight, reset=is_first)
        known = None if is_first else self.classes_
        target, self.classes_ = check_stream_classes(
            problem.labels, classes, known, subject=type(self).__name__
        )
        if is_first:
            if self.position_bias:
                self._require_both_preferred(problem)
            self._training_pairs = TrainingPairs(None)
            self.authors_, self.author_coef_ = np.array([], dtype=object), np.zeros(0)
        loss = BradleyTerryLoss(
            problem.design,
            target,
            problem.weight,
            C=self.C,
            penalty=initial_precision(problem.penalty) if is_first else self._precision,
            mean=None if is_first else self._weights(),
        )
        state = self._minimise(loss, loss.mean)
        self._precision = state.curvature.add_to(loss.penalty)
        self._fitted_C = self.C
        self._training_pairs.add(problem.pairs)
        return self

    def __setstate__(self, state):
        if "author_C" not in state:  # as files of the first versions have it
            nobody = {"authors_": np.array([], dtype=object), "author_coef_": np.zeros(0)}
            state = {"author_C": 1.0} | (nobody if "coef_" in state else {}) | state
        super().__setstate__(state)

    def _start(self, previous, n_weights):
        """Return the weights to start from, those of a fit of the same columns; None is zero."""
        n_columns, names = previous
        current = token_names(self)
        same_names = names is None or current is None or np.array_equal(names, current)
        if n_columns != self.n_features_in_ or not same_names:
            return None
        start = self._weights()
        return start if len(start) == n_weights else None
