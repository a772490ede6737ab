"""Direct preference optimisation: a policy straight from preference pairs."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils._param_validation import HasMethods, Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._checks.numbers import LENGTH
from sklearn_codex._data.vectorizers import COUNTER
from sklearn_codex._fits import whole_fit
from sklearn_codex._policy.candidate_family import StatedPairs
from sklearn_codex._policy.direct import DirectPolicyMixin, read_policy_pairs
from sklearn_codex._policy.dpo_gaps import fixed_point_gap, optimality_gap
from sklearn_codex._policy.dpo_inputs import read_design, warn_of_forgotten_prompts
from sklearn_codex._policy.dpo_loss import sigmoid_loss
from sklearn_codex._policy.dpo_problem import LOSSES, DirectLoss, minimise, warn_of_trouble
from sklearn_codex._reward.targets import check_both_preferred, check_labels, warn_of_order
from sklearn_codex._solve.fit_monitor import FitMonitor
from sklearn_codex._stage import Stage

# Numbers whose squares, times those of others, are floats.
_SQUARED = (1e-100, 1e100)


class DPOPolicyOptimizer(
    CallbackSupportMixin,
    DirectPolicyMixin,
    DensityMixin,
    BaseEstimator,
):
    r"""Direct preference optimisation of a language model: DPO and its relatives.

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
        the policy goes from the reference. Of the losses without a reference it is the beta of
        their papers, the scale of log-probabilities for "simpo" and "cpo", the weight of the odds
        ratio (there called lambda) for "orpo".
    loss : {"sigmoid", "robust", "ipo", "hinge", "simpo", "cpo", "orpo"}, default="sigmoid"
        "sigmoid" is DPO, the Bradley-Terry log-loss of the implicit reward; "robust" the same,
        corrected for labels of which a share ``label_smoothing`` is wrong, so that it expects to
        find what DPO finds on right ones; "ipo" the squared distance of the margin from 1/2, which
        stays finite where all annotators agree; "hinge" what a margin falls short of 1, as of
        SLiC-HF. "simpo", "cpo" and "orpo" compare how likely the two responses are, without a
        reference, see Notes; they need pairs of texts, or counts (n_pairs, 2, V).
    label_smoothing : float, default=0.0
        Probability e below 0.5 that a label is the wrong way round. A label p becomes
        (1 - e) p + e (1 - p), as "conservative" DPO has it; for "robust" (p - e) / (1 - 2 e).
    simpo_gamma : float, default=None
        Margin gamma that "simpo" asks for; None means 0.5. No other loss takes it.
    cpo_alpha : float, default=None
        Weight alpha of the likelihood in "cpo"; None means 1. No other loss takes it.
    C : float, default=1.0
        Inverse strength of the L2 penalty on the tilt w, as in ``PreferenceRewardModel``, which
        also draws policies of losses without a reference to it; ``inf`` for none, as in the papers,
        where the optimum need not be finite. Else, as ``kl_coef``, from 1e-100 to 1e100.
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
        Natural logarithm of each token's probability under the optimised policy, of single tokens.
    arc_log_prob_, backoff_log_weight_ : ndarray of shape (n_ngrams,) and (n_contexts,)
        The same of a policy of n-grams, as of :class:`NGramLM`.
    reference_log_prob_ : ndarray of shape (V,) or (E,)
        The same of the reference policy; E are the events of a policy of n-grams.
    token_reward_ : ndarray of shape (V,) or (E,)
        Implicit reward of each token, or event, kl_coef * log(policy / reference), in nats of
        log-odds.
    coef_ : ndarray of shape (1, n_columns)
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
    fixed_point_gap_ : float or None
        By how much the penalised objective of the Notes is above its minimum: a bound, or without a
        penalty an estimate, half the squared Newton decrement, or ``inf`` where no policy is best.
        The bound grows with ``C``: at great ``C`` see ``gradient_norm``. None where the objective
        need not be convex: in general where lengths differ ("simpo" with single tokens aside), and
        for "orpo".
    optimality_gap_ : float
        J* - J of a document, J being the expected reward less ``kl_coef`` KL, for the Bradley-Terry
        reward that the same pairs, labels as smoothed, and the same ``C`` give: what is missed of
        RLHF with a reward model. ``inf`` where that has no optimum: without a penalty, where
        pairs, or some at no cost to the others, can all be got right. NaN where, without a
        penalty, several rewards fit best and have different best policies, as of fewer pairs than
        tokens or of tokens that no pair tells of, or where none was found.
    n_iter_ : int
        Newton steps taken.
    history_ : list of dict
        One record per iteration, the first before any step:

        - ``iteration``: steps so far;
        - ``objective``: the penalised objective of the Notes;
        - ``gradient_norm``: the norm of the stop criterion, relative to the reference policy's,
          of "hinge" with its kinks rounded;
        - ``loss``: as ``loss_``;
        - ``accuracy``: weighted part of pairs whose margin has the sign of the preference, a margin
          of 0 counting half; corrected as the loss is for "robust", so that a few pairs may give
          more than 1;
        - ``margin``: weighted mean of the margin in favour of the preferred response.

    vectorizer_ : transformer or None
        The fitted vectorizer, None where the policy knows only columns.
    n_features_in_ : int
        Number of columns; V, that of tokens in the vocabulary, of policies of single tokens.
    feature_names_in_ : ndarray of shape (n_columns,)
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

    by Newton's method with exact derivatives, with
    :math:`\ell = -p \log \sigma(m) - (1 - p) \log \sigma(-m)` for "sigmoid" [1]_,
    :math:`\ell = p (m - 1/2)^2 + (1 - p) (m + 1/2)^2` for "ipo", which is :math:`b^2` times the
    loss of [2]_, so that the population optimum has log-ratio gaps :math:`m / b = (p - 1/2) / b`,
    and :math:`\ell = p \max(0, 1 - m) + (1 - p) \max(0, 1 + m)` for "hinge" [5]_. Its kinks are
    rounded with the slopes they have at the optimum, by the method of multipliers; that all lengths
    are equal makes it a support vector machine. A pair that reaches its margin counts no more, so
    how sure a preference is is lost.
    With labels of which a share e is the wrong way round, the mean of (p - e) / (1 - 2 e) is the
    true p, and the losses are linear in p: so "robust" [4]_ is without bias. A single pair pulls
    without bound then, and only the penalty, or other pairs, hold it.

    The losses without a reference are of log-likelihoods l and lengths n of the responses. Where A
    is preferred they are, and with A and B exchanged where B is,

    - "simpo" [6]_ :math:`-\log \sigma(b\, l_A / n_A - b\, l_B / n_B - \gamma)`; with margin 0 and
      whole responses to choose from it rests at :math:`\pi(y) = e^{|y| (\hat r(y) + c) / b}`, the
      length in the exponent; on single tokens it is Bradley-Terry of token frequencies;
    - "cpo" [7]_ :math:`-\log \sigma(b\, l_A - b\, l_B) - \alpha\, l_A / n_A`, DPO from a uniform
      reference and fine-tuning: it rests where the two balance, which has no formula;
    - "orpo" [8]_ :math:`-l_A / n_A - b \log \sigma(o_A - o_B)` with the log-odds o of the mean
      probability :math:`e^{l / n}` of a token: as b falls it rests at the policy fine-tuned on what
      is preferred.

    The policy in ``policy`` is where these start, and where the penalty draws them.

    Where both responses of each pair have the same length, Z cancels: the problem is convex, w is
    the reward that ``PreferenceRewardModel(C=C)`` learns, and the policy is exactly the optimum for
    that reward at the same ``kl_coef``. Where lengths differ, log Z is a price of length that the
    policy, being normalised, cannot choose freely, and the two differ; the loss then need not be
    convex, and the fit finds a stationary point from the reference. A vocabulary with an
    end-of-sequence token cancels it from all pairs, so nothing in the data holds its probability up
    when longer responses are preferred; only the penalty does.

    A policy of n-grams is tilted after each context h: :math:`\pi(t|h) = ref(t|h)\,
    e^{u(a) / b} / Z(h)` with a the longest known n-gram that t then ends, and u(a) the sum of the
    weights w of those that a ends with. Prompts are where responses go on from. A token costs
    :math:`b \log Z` of the context before it, which cancels where both responses pass the same
    ones. Where documents end by themselves, the best policy for any reward that adds over n-grams
    is such a tilt, so that enough preferences by that reward find it.

    A token that the reference cannot produce stays at probability zero. ``C=inf`` on pairs
    that are separable, in part or all, has no finite optimum: the fit ends early and warns.

    References
    ----------
    .. [1] Rafailov, R. et al. (2023). "Direct preference optimization: your language model is
       secretly a reward model." NeurIPS 36. arXiv:2305.18290.
    .. [2] Azar, M. G. et al. (2024). "A general theoretical paradigm to understand learning from
       human preferences." AISTATS. arXiv:2310.12036.
    .. [3] Mitchell, E. (2023). "A note on DPO with noisy preferences and relationship to IPO."
    .. [4] Chowdhury, S. R., Kini, A. and Natarajan, N. (2024). "Provably robust DPO: aligning
       language models with noisy feedback." ICML. arXiv:2403.00409.
    .. [5] Zhao, Y. et al. (2023). "SLiC-HF: sequence likelihood calibration with human feedback."
       arXiv:2305.10425.
    .. [6] Meng, Y., Xia, M. and Chen, D. (2024). "SimPO: simple preference optimization with a
       reference-free reward." NeurIPS. arXiv:2405.14734.
    .. [7] Xu, H. et al. (2024). "Contrastive preference optimization: pushing the boundaries of LLM
       performance in machine translation." ICML. arXiv:2401.08417.
    .. [8] Hong, J., Lee, N. and Thorne, J. (2024). "ORPO: monolithic preference optimization
       without reference model." EMNLP. arXiv:2403.07691.

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
    >>> bool(policy.optimality_gap_ < 1e-9)  # responses are as long as each other
    True
    >>> hinge = DPOPolicyOptimizer(loss="hinge", kl_coef=0.5).fit(pairs, [1, 0, 1])
    >>> bool(hinge.fixed_point_gap_ < 1e-6), round(hinge.optimality_gap_, 2)
    (True, 0.03)
    """

    _parameter_constraints: dict = {
        "policy": [HasMethods(["predict_log_proba"]), None],
        "kl_coef": [Interval(Real, *_SQUARED, closed="both")],
        "loss": [StrOptions(set(LOSSES))],
        "label_smoothing": [Interval(Real, 0, 0.5, closed="left")],
        "simpo_gamma": [Interval(Real, 0, None, closed="left"), None],
        "cpo_alpha": [Interval(Real, 0, None, closed="left"), None],
        "C": [Interval(Real, *_SQUARED, closed="both"), Options(Real, {np.inf})],
        "response_length": [LENGTH, None],
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
            frame with these columns, counts (n_pairs, 2, V), or count differences n_A - n_B, dense
            or sparse, which losses without a reference do not take.
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
            If labels are of one class, X does not fit the policy or the loss, a pair uses a token
            that the reference cannot produce, a parameter is set that the loss does not have, or
            is so great or small that floats cannot hold the fit.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` steps were not enough, or C is infinite and there is no finite optimum.
        LengthExplosionWarning
            If documents hardly ever end, and those of the reference do.
        """
        subject = type(self).__name__
        direct = DirectLoss.of(self)
        labels, weight = self._read_labels(y, sample_weight, check_labels)
        design = read_design(self, X, prompts, weight, each_response=not direct.knows_reference)
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
            reference_log_prob=self._family.given_prompt(self.reference_log_prob_),
            is_token=self._family.is_token(len(self.reference_log_prob_)),
            C=self.C,
        )
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        loss, weights, is_endless = self._solve(loss, direct, design, context)
        gap = fixed_point_gap(loss, weights)
        self.fixed_point_gap_ = np.inf if is_endless and gap is not None else gap
        self.optimality_gap_ = optimality_gap(self, design, loss, weights)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def fit_objective(self, objective, pairs, y, sample_weight=None):
        """Learn a policy over the candidates of an objective from preferences among them.

        Parameters
        ----------
        objective : CandidateObjective
            As of :meth:`CandidatePolicy.objective`, tabular or log-linear, with the ``kl_coef`` of
            the optimiser. Nothing is learned of its rewards; the best policy without them is the
            reference.
        pairs : array-like of int of shape (n_pairs, 2)
            Rows of the objective, two of one prompt.
        y : array-like of shape (n_pairs,)
            As of ``fit``.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of pairs.

        Returns
        -------
        self : DPOPolicyOptimizer
            A column of its ``token_log_prob_`` is a row, as its objective has policies, and its
            ``optimality_gap_`` what it is short of the optimum for the rewards of the objective.

        Raises
        ------
        ValueError
            If rows of a pair are none, or of different prompts, or ``kl_coef`` is another.
        TypeError
            If it is no objective over candidates.
        """
        subject = type(self).__name__
        compared = StatedPairs.of(objective, pairs, kl_coef=self.kl_coef, subject=subject)
        return self._fit_stated(compared, y, sample_weight)

    def _solve(self, loss, direct, design, context):
        """Minimise the loss, keep its history, report its iterations, set the policy."""
        monitor = FitMonitor(
            self, loss, context, lambda weights: self._family.fitted(loss.policy(weights))
        )
        self.history_ = monitor.history
        loss, state = minimise(loss, tol=self.tol, max_iter=self.max_iter, callback=monitor)
        self.loss_ = self.history_[-1]["loss"]
        self.n_iter_ = state.iteration
        self._set_policy(loss.policy(state.point.weights), loss.token_reward(state.point.weights))
        family = self._family
        is_endless = direct.is_endless(
            loss,
            state.point.margins,
            design,
            features=family.reward_features,
            is_token=family.is_token(design.shape[1]),
        )
        warn_of_trouble(
            direct, loss, state, is_endless=is_endless, tol=self.tol, stopped=monitor.stopped
        )
        return loss, state.point.weights, is_endless

    def margin(self, X, *, prompts=None):
        """Return the log-odds that A is preferred, as the loss has them.

        That is the implicit reward of A less that of B; of losses without a reference, what they
        compare: b times the mean log-probability of a token for "simpo", b times the
        log-likelihood for "cpo", the log-odds of the mean probability of a token for "orpo".

        Parameters
        ----------
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
            Pairs, as in ``fit``.
        prompts : sequence of str (n_pairs,), default=None
            What both responses of each pair go on from, where X is text without prompts. None is
            the start of a document, whatever the fit had. They make no difference to counts, nor
            to a policy of single tokens.

        Returns
        -------
        margin : ndarray of shape (n_pairs,)
            In nats.
        """
        check_is_fitted(self)
        read = read_policy_pairs(self, X, reset=False, prompts=prompts)
        design = self._in_columns_of_policy(read.design)
        reference = self._family.given_prompt(self.reference_log_prob_)
        log_prob = self.token_reward_ / self.kl_coef + reference
        return DirectLoss.of(self).margin(
            design, log_prob, self.token_reward_, self._family.is_token(len(log_prob))
        )

    # Not the score of a language model: of pairs, which have labels.
    def score(self, X, y, sample_weight=None, prompts=None):  # type: ignore[override]
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
        prompts : sequence of str (n_pairs,), default=None
            As of :meth:`margin`.

        Returns
        -------
        score : float

        Warns
        -----
        UserWarning
            If pairs of text have no prompts, and those of the fit of a policy of n-grams had. In
            cross-validation both need them: rows ``(prompt, response_a, response_b)``, or, with
            ``sklearn.set_config(enable_metadata_routing=True)``, an estimator that asks for them,
            ``.set_fit_request(prompts=True).set_score_request(prompts=True)``.
        """
        check_is_fitted(self)
        warn_of_forgotten_prompts(self, X, prompts)
        margin = self.margin(X, prompts=prompts)
        labels = check_labels(y, subject=f"{type(self).__name__}.score")
        return -self._mean_loss(sigmoid_loss, margin, labels, sample_weight)
