"""Direct preference optimisation: a policy straight from preference pairs."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import ClassifierTags, check_consistent_length
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_sample_weight
from sklearn_codex._data.pairs import read_responses
from sklearn_codex._data.vectorizers import COUNTER
from sklearn_codex._fits import whole_fit
from sklearn_codex._policy.direct import DirectPolicyMixin, read_policy_pairs
from sklearn_codex._policy.dpo_gaps import bradley_terry_gap, fixed_point_gap
from sklearn_codex._policy.dpo_inputs import read_design
from sklearn_codex._policy.dpo_loss import sigmoid_loss
from sklearn_codex._policy.dpo_problem import LOSSES, DirectLoss, minimise, why_unbounded
from sklearn_codex._reward.pair_classifier import responses_after
from sklearn_codex._reward.targets import check_both_preferred, check_labels, warn_of_order
from sklearn_codex._solve.fit_monitor import FitMonitor
from sklearn_codex._stage import Stage


class DPOPolicyOptimizer(
    CallbackSupportMixin,
    DirectPolicyMixin,
    DensityMixin,
    BaseEstimator,
):
    r"""Direct preference optimisation of a unigram language model (DPO, robust DPO, IPO).

    Makes the optimised policy M2 of the RLHF loop from preference pairs, without a reward model in
    between: the policy is its own implicit reward, ``kl_coef`` times its log-ratio to the
    reference. ``fit``, ``score`` and ``margin`` take pairs, as ``PreferenceRewardModel`` does; all
    other methods are those of a language model and take documents.

    Parameters
    ----------
    policy : fitted language model, default=None
        The incoming policy, which is the reference; pass it as ``FrozenEstimator(model)``. None
        means the uniform distribution.
    kl_coef : float, default=1.0
        Weight b of KL(policy || reference), which is called beta in DPO: the smaller, the further
        the policy goes from the reference.
    loss : {"sigmoid", "robust", "ipo"}, default="sigmoid"
        "sigmoid" is DPO, the Bradley-Terry log-loss of the implicit reward; "robust" the same,
        corrected for labels of which a share ``label_smoothing`` is wrong, so that it expects to
        find what DPO finds on right ones; "ipo" the squared distance of the margin from 1/2, which
        stays finite where all annotators agree.
    label_smoothing : float, default=0.0
        Probability e below 0.5 that a label is the wrong way round. A label p becomes
        (1 - e) p + e (1 - p), as "conservative" DPO has it; for "robust" (p - e) / (1 - 2 e).
    C : float, default=1.0
        Inverse strength of the L2 penalty on the tilt w, as in ``PreferenceRewardModel``; ``inf``
        for none, as in the papers, where the optimum need not be finite.
    response_length : int, default=None
        Tokens of a document, where the vocabulary has no end-of-sequence token. None means that of
        the policy, else the mean length of responses given as text, else 1.
    vectorizer : transformer, default=None
        Turns text into counts; None means the policy's, or ``TokenCounter()`` without a policy.
        Wrapped in ``FrozenEstimator`` it also names the columns of count differences.
    tol : float, default=1e-8
        The fit stops when the norm of the gradient, each column on the scale of its curvature, is
        at most ``tol`` times that at the reference.
    max_iter : int, default=200
        At most this many Newton steps.

    Attributes
    ----------
    token_log_prob_ : ndarray of shape (V,)
        Natural logarithm of each token's probability under the optimised policy.
    reference_log_prob_ : ndarray of shape (V,)
        The same of the reference policy.
    token_reward_ : ndarray of shape (V,)
        Implicit reward of each token, kl_coef * log(policy / reference), in nats of log-odds.
    coef_ : ndarray of shape (1, V)
        The same in the form of a linear model's weights.
    kl_ : float
        KL(policy || reference) of a document, in nats, exact.
    expected_length_ : float
        Expected tokens of a document, exact.
    document_length_ : int
        The same, rounded.
    classes_ : ndarray of shape (2,)
        The two labels; the second, greater one means that A is preferred. 0 and 1 where the labels
        are probabilities.
    loss_ : float
        Weighted mean loss of the training pairs, without the penalty.
    n_iter_ : int
        Newton steps taken.
    history_ : list of dict
        One record per iteration, the first before any step:

        - ``iteration``: steps so far;
        - ``objective``: the penalised objective of the Notes;
        - ``gradient_norm``: the norm of the stop criterion, relative to the reference policy's;
        - ``loss``: as ``loss_``;
        - ``accuracy``: weighted part of pairs whose margin has the sign of the preference, a margin
          of 0 counting half; corrected as the loss is for "robust", so that a few pairs may give
          more than 1;
        - ``margin``: weighted mean of the implicit reward of the preferred response less that of
          the other.

    vectorizer_ : transformer or None
        The fitted vectorizer, None where the policy knows only columns.
    n_features_in_ : int
        V, the number of tokens in the vocabulary.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where differences came as a data frame with string column names.

    See Also
    --------
    PreferenceRewardModel : The reward model that this does without.
    ExactPolicyOptimizer : The optimal policy for a reward model.

    Notes
    -----
    The policy is the reference tilted by w, :math:`\pi_t = ref_t e^{w_t / b} / Z(w)`, and its
    implicit reward :math:`r(y) = b \log(\pi / ref)(y)`. A pair enters by its count difference
    :math:`d = n_A - n_B` only, since

    .. math::

        m = r(A) - r(B) = d \cdot b \log(\pi / ref)
          = d \cdot w - (|A| - |B|)\, b \log Z(w).

    With labels p (the probability that A is preferred) and sample weights s the fit minimises

    .. math:: \sum_i s_i\, \ell(m_i; p_i) + \tfrac{1}{2C} \|w\|^2

    by a trust-region Newton method with exact derivatives, with
    :math:`\ell = -p \log \sigma(m) - (1 - p) \log \sigma(-m)` for "sigmoid" [1]_ and
    :math:`\ell = p (m - 1/2)^2 + (1 - p) (m + 1/2)^2` for "ipo", which is :math:`b^2` times the
    loss of [2]_, so that the population optimum has log-ratio gaps :math:`m / b = (p - 1/2) / b`.
    With labels of which a share e is the wrong way round, the mean of (p - e) / (1 - 2 e) is the
    true p, and the losses are linear in p: so "robust" [4]_ is without bias. A single pair pulls
    without bound then, and only the penalty, or other pairs, hold it.

    Where both responses of each pair have the same length, Z cancels: the problem is convex, w is
    the reward that ``PreferenceRewardModel(C=C)`` learns, and the policy is exactly the optimum for
    that reward at the same ``kl_coef``. Where lengths differ, log Z is a price of length that the
    policy, being normalised, cannot choose freely, and the two differ; the loss then need not be
    convex, and the fit finds a stationary point from the reference. A vocabulary with an
    end-of-sequence token cancels it from all pairs, so nothing in the data holds its probability up
    when longer responses are preferred; only the penalty does.

    A token that the reference cannot produce stays at probability zero. ``C=inf`` on separable
    pairs has no finite optimum: the fit ends early and warns.

    References
    ----------
    .. [1] Rafailov, R. et al. (2023). "Direct preference optimization: your language model is
       secretly a reward model." NeurIPS 36. arXiv:2305.18290.
    .. [2] Azar, M. G. et al. (2024). "A general theoretical paradigm to understand learning from
       human preferences." AISTATS. arXiv:2310.12036.
    .. [3] Mitchell, E. (2023). "A note on DPO with noisy preferences and relationship to IPO."
    .. [4] Chowdhury, S. R., Kini, A. and Natarajan, N. (2024). "Provably robust DPO: aligning
       language models with noisy feedback." ICML. arXiv:2403.00409.

    Examples
    --------
    >>> from sklearn_codex import DPOPolicyOptimizer
    >>> pairs = [
    ...     ("good answer", "bad answer"),
    ...     ("bad", "good"),
    ...     ("good good", "bad answer"),
    ... ]
    >>> policy = DPOPolicyOptimizer(kl_coef=0.5).fit(pairs, [1, 0, 1])
    >>> policy.predict(["anything"])
    array(['good'], dtype=...)
    >>> policy.reward(["good", "bad"]).round(2)
    array([ 0.48, -0.77])
    >>> policy.margin([("good", "bad")]).round(2)
    array([1.24])
    """

    _parameter_constraints: dict = {
        "policy": [HasMethods(["predict_log_proba"]), None],
        "kl_coef": [Interval(Real, 0, None, closed="neither")],
        "loss": [StrOptions(set(LOSSES))],
        "label_smoothing": [Interval(Real, 0, 0.5, closed="left")],
        "simpo_gamma": [Interval(Real, 0, None, closed="left"), None],
        "cpo_alpha": [Interval(Real, 0, None, closed="left"), None],
        "C": [Interval(Real, 0, None, closed="right")],
        "response_length": [Interval(Integral, 1, None, closed="left"), None],
        "vectorizer": [COUNTER, None],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    rlhf_stage = Stage(
        reads=("preference",),
        provides="policy",
        fills={"policy": "policy"},
        soft_labels=True,
        starts_after_prompts=True,
    )

    token_log_prob_: FloatArray

    def __init__(
        self,
        policy=None,
        *,
        kl_coef=1.0,
        loss="sigmoid",
        label_smoothing=0.0,
        simpo_gamma=None,
        cpo_alpha=None,
        C=1.0,
        response_length=None,
        vectorizer=None,
        tol=1e-8,
        max_iter=200,
    ):
        self.policy = policy
        self.kl_coef = kl_coef
        self.loss = loss
        self.label_smoothing = label_smoothing
        self.simpo_gamma = simpo_gamma
        self.cpo_alpha = cpo_alpha
        self.C = C
        self.response_length = response_length
        self.vectorizer = vectorizer
        self.tol = tol
        self.max_iter = max_iter

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, prompts=None):
        """Learn the policy from preference pairs.

        Parameters
        ----------
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
            Pairs: rows ``(response_a, response_b)`` or ``(prompt, response_a, response_b)``, a data
            frame with these columns, or count differences n_A - n_B, dense or sparse.
        y : array-like of shape (n_pairs,)
            Two classes, the greater of which means that A is preferred; or probabilities in [0, 1]
            that it is.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of pairs: a weight of 2 is the pair twice.
        prompts : sequence of str (n_pairs,), default=None
            What both responses of each pair go on from, where the policy is of n-grams and X has
            no prompts; its documents then start after them. To count differences, which are to be
            of responses counted after their prompts, they only say where documents start. They
            make no difference to a policy of single tokens.

        Returns
        -------
        self : DPOPolicyOptimizer

        Raises
        ------
        NotFittedError
            If ``policy`` is not fitted.
        ValueError
            If labels are of one class, X does not fit the policy, or a pair uses a token that the
            reference cannot produce.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` steps were not enough, or C is infinite and there is no finite optimum.
        """
        subject = type(self).__name__
        direct = DirectLoss.of(self)
        design = read_design(self, X, prompts, each_response=not direct.knows_reference)
        labels = check_labels(y, subject=subject)
        check_consistent_length(design, labels.target)
        weight = check_sample_weight(
            sample_weight,
            labels.target,
            dtype=np.float64,
            ensure_non_negative=True,
            allow_all_zero_weights=False,
        )
        if not labels.soft:
            check_both_preferred(labels, weight, subject=subject)
        self.classes_ = labels.classes
        if self.vectorizer_ is not None:
            warn_of_order(labels.classes, subject=subject)
        loss = direct.on(
            design,
            direct.target(labels.target, self.label_smoothing),
            weight,
            self._family.tilt(self.reference_log_prob_, self.kl_coef),
            reference_log_prob=self.reference_log_prob_,
            is_token=self._family.is_token(len(self.reference_log_prob_)),
            C=self.C,
        )
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        loss, weights = self._solve(loss, direct, context)
        self._report_gaps(loss, design, weights)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _solve(self, loss, direct, context):
        """Minimise the loss, keep its history, report its iterations, set the policy."""
        monitor = FitMonitor(
            self, loss, context, lambda weights: self._family.fitted(loss.policy(weights))
        )
        self.history_ = monitor.history
        loss, state = minimise(loss, tol=self.tol, max_iter=self.max_iter, callback=monitor)
        self.loss_ = self.history_[-1]["loss"]
        self.n_iter_ = state.iteration
        self._set_policy(loss, state.point.weights)
        why = why_unbounded(direct, loss, state.point.margins)
        if why is not None or not (state.converged or monitor.stopped):
            trouble = why or (
                f"the norm of the gradient is {state.gradient_norm:.1e} of that at the "
                f"reference, not tol={self.tol:g}, after {state.iteration} steps"
            )
            warnings.warn(
                f"{type(self).__name__} did not converge: {trouble}. Decrease C, set "
                "label_smoothing or loss='ipo', or increase max_iter or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return loss, state.point.weights

    def _report_gaps(self, loss, design, weights):
        """Set the distance to the optimum of the loss, and to that of RLHF."""
        self.fixed_point_gap_ = fixed_point_gap(loss, weights)
        objective = self._family.objective(
            self.reference_log_prob_,
            length=self.document_length_,
            eos=self._eos_column(),
            max_length=None,
            initial=self._initial,
            kl_coef=self.kl_coef,
            reward_coef=1.0,
        )
        self.optimality_gap_ = bradley_terry_gap(
            design,
            loss,
            C=self.C,
            start=weights,
            features=self._family.reward_features,
            objective=objective,
            log_prob=loss.policy(weights),
        )

    def _set_policy(self, loss, weights):
        log_prob = loss.policy(weights)
        for name, value in self._family.fitted(log_prob).items():
            setattr(self, name, value)
        self.token_reward_ = loss.token_reward(weights)
        found = self._lengths_and_kl(log_prob)
        self.expected_length_, self.kl_ = found.expected_length, found.kl
        self.document_length_ = found.document_length

    @property
    def coef_(self):
        """Implicit reward of each column, as the weights (1, n_columns) of a linear model."""
        check_is_fitted(self)
        return self._family.of_documents(self.token_reward_)[np.newaxis]

    def reward(self, X, *, prompts=None):
        """Return the implicit reward of documents, kl_coef * log(policy / reference).

        The policy is the optimum for this reward at ``kl_coef``.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents, which may be empty, as text or as counts.
        prompts : sequence of str (n_documents,), default=None
            What each document goes on from, where they are text. They make no difference to a
            policy of single tokens.

        Returns
        -------
        reward : ndarray of shape (n_documents,)
            In nats of log-odds of being preferred.
        """
        check_is_fitted(self)
        return read_responses(self, responses_after(self, X, prompts)).reward(self.coef_[0])

    def margin(self, X):
        """Return the implicit reward of A less that of B: the log-odds that A is preferred.

        Parameters
        ----------
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        margin : ndarray of shape (n_pairs,)
            In nats.
        """
        check_is_fitted(self)
        design = self._in_columns_of_policy(read_policy_pairs(self, X, reset=False).design)
        log_prob = self.token_reward_ / self.kl_coef + self.reference_log_prob_
        return DirectLoss.of(self).margin(
            design, log_prob, self.token_reward_, self._family.is_token(len(log_prob))
        )

    # Not the score of a language model: of pairs, which have labels.
    def score(self, X, y, sample_weight=None):  # type: ignore[override]
        """Return the mean log-likelihood of preferences, in nats per pair; greater is better.

        That is the mean of log P(the preference seen) with P(A preferred) = sigmoid(margin),
        whatever the loss, so that losses and values of ``kl_coef`` compare; -log 2 is a coin.

        Parameters
        ----------
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
            Pairs, as in ``fit``. For the likelihood of documents see ``score_samples`` and
            ``perplexity``.
        y : array-like of shape (n_pairs,)
            Labels of these classes, or probabilities that A is preferred.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of pairs.

        Returns
        -------
        score : float
        """
        margin = self.margin(X)
        labels = check_labels(y, subject=f"{type(self).__name__}.score")
        check_consistent_length(margin, labels.target)
        target = labels.target
        if not labels.soft:
            unknown = sorted(set(labels.classes.tolist()) - set(self.classes_.tolist()), key=str)
            if unknown:
                raise ValueError(
                    f"{type(self).__name__}.score got the labels {unknown} in y, which are not "
                    f"among the classes {self.classes_.tolist()} of the fit."
                )
            given = labels.classes[target.astype(np.intp)]
            target = (given == self.classes_[1]).astype(np.float64)
        weight = check_sample_weight(sample_weight, margin, dtype=np.float64)
        return -float(np.average(sigmoid_loss(margin, target)[0], weights=weight))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Differences of counts may be negative, so not positive_only: log-likelihoods are linear in
        # counts, and that of a difference is the log of a likelihood ratio.
        # Not a classifier, but y has two classes.
        tags.classifier_tags = ClassifierTags(multi_class=False)
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        return tags
