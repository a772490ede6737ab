"""Kahneman-Tversky optimisation: a policy from documents that are desirable or not."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from sklearn_codex._checks.numbers import LENGTH
from sklearn_codex._data.pairs import read_responses
from sklearn_codex._data.vectorizers import COUNTER
from sklearn_codex._fits import whole_fit
from sklearn_codex._policy.candidate_family import StatedRows
from sklearn_codex._policy.direct import DirectPolicyMixin
from sklearn_codex._policy.kto_inputs import column_name, read_design
from sklearn_codex._policy.kto_labels import check_both_kinds, check_desirable
from sklearn_codex._policy.kto_loss import DesirabilityLoss, kto_loss
from sklearn_codex._policy.kto_points import DocumentPoint, NoPoint, PromptPoint
from sklearn_codex._policy.kto_rest import falling_columns, find_rest
from sklearn_codex._solve.fit_monitor import FitMonitor
from sklearn_codex._stage import Stage

# Whether the reference point of a loss is that of the policy; else it is 0.
_FOLLOWS_POLICY = {"kto": True, "apo_zero_unpaired": False}
# Of a kind of documents, so that floats can hold the squares of all weights.
_GREATEST_WEIGHT = 1e50
# C from which on the penalty may be less than what is left of forces within the tolerance.
_NOTHING_HOLDS = 1e6


class KTOPolicyOptimizer(
    CallbackSupportMixin,
    DirectPolicyMixin,
    DensityMixin,
    BaseEstimator,
):
    r"""Kahneman-Tversky optimisation of a language model of any order (KTO, APO-zero).

    Makes the optimised policy M2 of the RLHF loop from documents that are desirable or not, each by
    itself: thumbs up and thumbs down, without pairs and without a reward model in between. The
    policy is its own implicit reward, ``kl_coef`` times its log-ratio to the reference, and a
    document is good as far as its reward is above that of the policy on average.

    Parameters
    ----------
    policy : fitted language model, default=None
        The incoming policy, which is the reference; pass it as ``FrozenEstimator(model)``. None
        means the uniform distribution.
    kl_coef : float, default=1.0
        Weight b of KL(policy || reference), which is called beta in KTO: the smaller, the further
        the policy goes from the reference. Below about 1e-12 rewards of tokens that share what
        probability there is may differ by less than floats tell; then the fit warns.
    loss : {"kto", "apo_zero_unpaired"}, default="kto"
        "kto" measures rewards from the policy's own KL to the reference, "apo_zero_unpaired" from
        0, the reward under the reference.
    desirable_weight : float, default=1.0
        Weight D of desirable documents.
    undesirable_weight : float, default=1.0
        Weight U of undesirable ones. Where these are k times as many, D = k U makes up for it.
    C : float, default=1.0
        Inverse strength of the L2 penalty on the tilt w, as in ``DPOPolicyOptimizer``; ``inf`` for
        none, as in the papers, where some tokens lose all their probability.
    response_length : int, default=None
        Tokens of a document, where the vocabulary has no end-of-sequence token. None means that of
        the policy, else the mean length of the documents.
    vectorizer : transformer, default=None
        Turns text into counts; None means the policy's, or ``TokenCounter()`` without a policy. An
        ``NGramCounter`` makes a policy of n-grams, if there is none that comes in. Wrapped in
        ``FrozenEstimator`` it also names the columns of counts.
    tol : float, default=1e-8
        The fit stops when ``fixed_point_gap_`` is at most this.
    max_iter : int, default=1000
        At most this many steps.

    Attributes
    ----------
    token_log_prob_ : ndarray of shape (V,)
        Natural logarithm of each token's probability under the optimised policy; of policies of
        single tokens.
    reference_log_prob_ : ndarray of shape (V,)
        The same of the reference policy; of n-grams, of each event.
    token_reward_ : ndarray of shape (V,)
        Implicit reward of each token, or event, kl_coef * log(policy / reference), in nats of
        log-odds.
    coef_ : ndarray of shape (1, n_features)
        The same of each column of documents, in the form of a linear model's weights.
    reference_point_ : float
        The reference point z of the fitted policy: kl_coef * KL(policy || reference) of a document
        for "kto", exact; 0 for "apo_zero_unpaired". Of candidates it is the mean over prompts,
        which each have their own.
    fixed_point_gap_ : float
        Norm of the gradient with z that of the fitted policy, each column on the scale of its
        documents, relative to that at the reference policy: 0 at a rest point.
    kl_ : float
        KL(policy || reference) of a document, in nats, exact.
    expected_length_ : float
        Expected tokens of a document, exact.
    document_length_ : int
        The same, rounded.
    classes_ : ndarray of shape (2,)
        The two labels; the second, greater one means that a document is desirable. Two words that
        mean the opposite are refused, and of others a warning says which one is taken for good. 0
        and 1 where the labels are probabilities.
    loss_ : float
        Weighted mean loss of the training documents, without the penalty.
    optimality_gap_ : float
        Of :meth:`fit_objective` alone, where there is a reward: J* - J, what is missed of RLHF.
    n_iter_ : int
        Steps taken.
    history_ : list of dict
        One record per iteration, the first before any step:

        - ``iteration``: steps so far;
        - ``reference_point``: as ``reference_point_``, of candidates a mean over judgements;
        - ``objective``: the penalised objective of the Notes, at that z;
        - ``gradient_norm``, ``fixed_point_gap``: both as ``fixed_point_gap_``;
        - ``loss``: as ``loss_``;
        - ``accuracy``: weighted part of documents whose margin has the sign of their label, a
          margin of 0 counting half;
        - ``margin``: weighted mean of the margin of desirable documents and of the negative one of
          others.

    vectorizer_ : transformer or None
        The fitted vectorizer, None where the policy knows only columns.
    n_features_in_ : int
        Number of columns of documents: tokens, or events of n-grams.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of columns, where counts came as a data frame with string column names.

    See Also
    --------
    DPOPolicyOptimizer : The same from pairs.
    SFTRefiner : Learns from good documents alone.
    sklearn_codex.lab.kto_loss : The loss, for algorithms of yours.

    Notes
    -----
    The policy is the reference tilted by w, :math:`\pi_t = ref_t e^{w_t / b} / Z(w)`, or context by
    context where it is of n-grams, as in ``DPOPolicyOptimizer``, and its implicit reward
    :math:`r(y) = b \log(\pi / ref)(y)`. With labels p (the probability that a
    document is desirable), sample weights s and a reference point z, the loss [1]_ is

    .. math:: f(w; z) = \sum_i s_i \bigl(D p_i (1 - \sigma(r_i - z))
        + U (1 - p_i) (1 - \sigma(z - r_i))\bigr) + \tfrac{1}{2C} \|w\|^2.

    No gradient goes through z. So what KTO converges to is no minimum but a fixed point,

    .. math:: \nabla_w f(w; z) = 0, \qquad z = b\, KL(\pi \| ref),

    with the KL of a whole document. Trainers estimate it from the responses of a batch; here it is
    exact. Gradient descent that is slow enough goes along :math:`dw/dt = -\nabla_w f(w; z(w))`, z
    being that of each policy on the way. The fit follows this from the reference by implicit
    steps [3]_, short ones where policies go apart and those of Newton next to a rest point; so it
    ends at one that attracts. The sigmoids make the loss non-convex, and with a weak penalty there
    often are other rest points, which nothing here counts: ``fixed_point_gap_`` says that this is
    one, not that it is the only one. Where descent comes to none the fit warns. With
    "apo_zero_unpaired" z stays at 0, the loss with which [2]_ has its name in trainers.

    **What it does to a document.** Since :math:`1 - \sigma(m) = \sigma(-m)`, documents that come up
    :math:`\mu` times and are desirable with probability p add
    :math:`-c\, \sigma(r - z)` to the loss, but for a constant, with
    :math:`c = \mu (D p - U (1 - p))`. It only falls with r where :math:`p > U / (D + U)`, and only
    rises where p is less: KTO asks on which side of that share a document is, and how far only sets
    the force. A push fades as :math:`e^{-|r - z|}`, so outliers count little. Without a penalty
    (``C=inf``) nothing balances it for a response alone with :math:`p \le U / (D + U)`, and its
    probability goes to 0; the others rest at :math:`c\, \sigma'(r - z) \propto \pi`. As the push on
    a response of small probability is :math:`\pi^b` times a constant, one with c > 0 always comes
    back from there where b < 1, and where b > 1 need not. Tokens of undesirable documents only, and
    those of none, lose their probability so, too: the fit ends where forces are within ``tol``, and
    warns, naming one.

    A token that the reference cannot produce stays at probability zero.

    References
    ----------
    .. [1] Ethayarajh, K. et al. (2024). "KTO: model alignment as prospect theoretic optimization."
       ICML. arXiv:2402.01306.
    .. [2] D'Oosterlinck, K. et al. (2024). "Anchored preference optimization and contrastive
       revisions: addressing underspecification in alignment." arXiv:2408.06266.
    .. [3] Kelley, C. T. and Keyes, D. E. (1998). "Convergence analysis of pseudo-transient
       continuation." SIAM Journal on Numerical Analysis 35(2), 508-523.

    Examples
    --------
    >>> from sklearn_codex import KTOPolicyOptimizer
    >>> answers = ["good answer", "bad answer", "good", "bad", "good good", "answer"]
    >>> thumbs_up = [True, False, True, False, True, False]
    >>> policy = KTOPolicyOptimizer(kl_coef=0.5).fit(answers, thumbs_up)
    >>> policy.predict(["anything"])
    array(['good'], dtype=...)
    >>> policy.reward(["good", "bad"]).round(2)
    array([ 0.48, -0.58])
    >>> policy.margin(["good", "bad"]).round(2)
    array([ 0.11, -0.95])
    """

    _parameter_constraints: dict = {
        "policy": [HasMethods(["predict_log_proba"]), None],
        "kl_coef": [Interval(Real, 0, None, closed="neither")],
        "loss": [StrOptions(set(_FOLLOWS_POLICY))],
        "desirable_weight": [Interval(Real, 0, _GREATEST_WEIGHT, closed="right")],
        "undesirable_weight": [Interval(Real, 0, _GREATEST_WEIGHT, closed="right")],
        "C": [Interval(Real, 0, None, closed="right")],
        "response_length": [LENGTH, None],
        "vectorizer": [COUNTER, None],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    rlhf_stage = Stage(
        reads=("unpaired",),
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
        loss="kto",
        desirable_weight=1.0,
        undesirable_weight=1.0,
        C=1.0,
        response_length=None,
        vectorizer=None,
        tol=1e-8,
        max_iter=1000,
    ):
        self.policy = policy
        self.kl_coef = kl_coef
        self.loss = loss
        self.desirable_weight = desirable_weight
        self.undesirable_weight = undesirable_weight
        self.C = C
        self.response_length = response_length
        self.vectorizer = vectorizer
        self.tol = tol
        self.max_iter = max_iter

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, prompts=None):
        """Learn the policy from desirable and undesirable documents.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents, raw text or counts in the policy's columns.
        y : array-like of shape (n_documents,)
            Two classes, the greater of which means desirable, such as True and False; or
            probabilities in [0, 1] that a document is.
        sample_weight : array-like of shape (n_documents,), default=None
            Weights of documents: a weight of 2 is the document twice.
        prompts : sequence of str (n_documents,), default=None
            What each document goes on from, where the policy is of n-grams; its documents then
            start after them. To counts, which are to be made after prompts, as
            ``NGramCounter.transform_after`` does, they only say where documents start. They make no
            difference to a policy of single tokens.

        Returns
        -------
        self : KTOPolicyOptimizer

        Raises
        ------
        NotFittedError
            If ``policy`` is not fitted.
        ValueError
            If labels are of one class, X does not fit the policy, or a document has a token that
            the reference cannot produce.

        Warns
        -----
        ConvergenceWarning
            If the fit does not come to rest, or C is infinite, or next to it, and tokens lose all
            their probability.
        LengthExplosionWarning
            If documents hardly ever end, and those of the reference do.
        UserWarning
            If the labels are two words that have an order and no known meaning.
        """
        labels, weight = self._read_labels(y, sample_weight, check_desirable)
        design = read_design(self, X, prompts, weight)
        check_both_kinds(labels, weight, subject=type(self).__name__)
        self.classes_ = labels.classes
        self.__dict__.pop("optimality_gap_", None)  # of fit_objective
        loss = DesirabilityLoss(
            design,
            labels.target,
            weight,
            self._family.tilt(self.reference_log_prob_, self.kl_coef),
            C=self.C,
            desirable_weight=self.desirable_weight,
            undesirable_weight=self.undesirable_weight,
        )
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._solve(loss, self._own_point(X), context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def fit_objective(self, objective, rows, y, sample_weight=None):
        r"""Learn a policy over the candidates of an objective from judgements of single ones.

        Parameters
        ----------
        objective : CandidateObjective
            As of :meth:`CandidatePolicy.objective`, tabular or log-linear, with the ``kl_coef`` of
            the optimiser. Nothing is learned of its rewards; the best policy without them is the
            reference.
        rows : array-like of int of shape (n_judged,)
            Rows of the objective: the candidate of each judgement.
        y : array-like of shape (n_judged,)
            As of ``fit``.
        sample_weight : array-like of shape (n_judged,), default=None
            Weights of judgements.

        Returns
        -------
        self : KTOPolicyOptimizer
            A column of its ``token_log_prob_`` is a row, as its objective has policies, and its
            ``optimality_gap_`` what it is short of the optimum for the rewards of the objective.
            A candidate is measured from the reference point of its prompt,
            :math:`z(x) = b\, KL(\pi(\cdot|x) \| ref(\cdot|x))`; ``reference_point_`` is the mean
            of these over prompts.

        Raises
        ------
        ValueError
            If rows are none, labels are of one class, or ``kl_coef`` is another.
        TypeError
            If it is no objective over candidates.

        Warns
        -----
        ConvergenceWarning
            As of ``fit``.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_codex import KTOPolicyOptimizer
        >>> from sklearn_codex.exact import CandidateObjective
        >>> problem = CandidateObjective(  # two prompts, of two and of three candidates
        ...     np.log([0.25, 0.25, 0.1, 0.2, 0.2]), np.array([0.0, 1.0, 2.0, 0.0, 1.0]),
        ...     np.array([0, 0, 1, 1, 1]),
        ... )
        >>> rows, thumbs_up = [0, 1, 2, 2, 3, 4], [0, 1, 1, 1, 0, 0]
        >>> policy = KTOPolicyOptimizer().fit_objective(problem, rows, thumbs_up)
        >>> np.exp(policy.token_log_prob_).round(3)
        array([0.19 , 0.31 , 0.17 , 0.165, 0.165])
        >>> bool(policy.fixed_point_gap_ < 1e-8)
        True
        >>> 0 < policy.optimality_gap_ < problem.gap(problem.start)
        True
        """
        subject = type(self).__name__
        judged = StatedRows.of(objective, rows, kl_coef=self.kl_coef, subject=subject)
        return self._fit_stated(judged, y, sample_weight)

    def _own_point(self, X):
        """Return the reference point of tilted policies, from which documents are measured."""
        if not _FOLLOWS_POLICY[self.loss]:
            return NoPoint()
        if isinstance(X, StatedRows):
            return PromptPoint(X.prompts)
        return DocumentPoint(
            self.kl_coef,
            lambda policy: self._lengths_and_kl(policy.log_prob).kl,
            self._kl_gradient,
        )

    def _solve(self, loss, own, context):
        """Find the rest point, keep the history, report iterations, set the policy."""
        monitor = FitMonitor(
            self,
            loss,
            context,
            lambda weights: self._family.fitted(loss.tilt.at(weights).log_prob),
        )
        state = find_rest(
            loss,
            own,
            tol=self.tol,
            max_iter=self.max_iter,
            callback=monitor,
        )
        self.n_iter_ = state.iteration
        self.history_ = [
            {**record, "fixed_point_gap": record["gradient_norm"]}
            for record in monitor.history[: state.iteration + 1]
        ]
        self.loss_ = self.history_[-1]["loss"]
        self.fixed_point_gap_ = state.fixed_point_gap
        self._set_policy(state.point.policy.log_prob, state.point.policy.reward)
        follows = _FOLLOWS_POLICY[self.loss]
        self.reference_point_ = self.kl_coef * self.kl_ if follows else 0.0
        self._warn(state, monitor.stopped)

    def _warn(self, state, stopped):
        """Warn where the policy does not rest, or only tends to where it would."""
        remedy = "Decrease C, or increase max_iter or tol."
        is_held = self.C < _NOTHING_HOLDS
        falling = np.zeros(0, dtype=np.intp) if is_held else falling_columns(state)
        if falling.size:
            kind = self._family.column_kind
            trouble = (
                f"C={self.C:g}, and nothing holds {len(falling)} {kind} or more, such as "
                f"{column_name(self, falling[0])!r}, whose probability tends to 0"
            )
        elif state.converged and state.repels:
            trouble = (
                "the policy is at a rest point that repels, so that descent with steps however "
                "small goes away from it, to another one or round it"
            )
            remedy = "Decrease C or response_length, or increase kl_coef."
        elif not (state.converged or stopped):
            trouble = (
                f"fixed_point_gap_ is {state.fixed_point_gap:.1e}, not tol={self.tol:g}, after "
                f"{state.iteration} steps"
            )
            if state.iteration < self.max_iter:
                trouble += ", and the search found no place nearer to rest"
                remedy = "Decrease C or response_length, or increase kl_coef or tol."
        else:
            return
        warnings.warn(
            f"{type(self).__name__} did not converge: {trouble}. {remedy}",
            ConvergenceWarning,
            stacklevel=6,
        )

    def margin(self, X, *, prompts=None):
        """Return the implicit reward less the reference point: above 0 is desirable.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents, which may be empty, as text or as counts.
        prompts : sequence of str (n_documents,), default=None
            As of :meth:`reward`.

        Returns
        -------
        margin : ndarray of shape (n_documents,)
            In nats; the loss takes its sigmoid for the probability of being desirable.
        """
        reward = self.reward(X, prompts=prompts)
        if "_stated" not in vars(self) or not _FOLLOWS_POLICY[self.loss]:
            return reward - self.reference_point_
        prob = np.exp(self._family.given_prompt(self.token_log_prob_))
        points = np.bincount(self._stated.prompts, prob * self.token_reward_)
        return reward - read_responses(self, X).reward(points[self._stated.prompts])

    # Not the score of a language model: of documents that have labels.
    def score(self, X, y, sample_weight=None, prompts=None):  # type: ignore[override]
        """Return the mean probability of the labels seen, in [0, 1]; greater is better.

        That is the mean of sigmoid(margin) of desirable documents and of sigmoid(-margin) of
        others: what KTO maximises, with weights of 1 for either kind and without the penalty. The
        reference policy has 0.5. It is no likelihood: the reference point is not chosen so that
        ``sigmoid(margin)`` is calibrated.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents. For the likelihood of documents themselves see ``score_samples`` and
            ``perplexity``.
        y : array-like of shape (n_documents,)
            Labels of these classes, or probabilities that a document is desirable.
        sample_weight : array-like of shape (n_documents,), default=None
            Weights of documents.
        prompts : sequence of str (n_documents,), default=None
            As of :meth:`reward`.

        Returns
        -------
        score : float
        """
        margin = self.margin(X, prompts=prompts)
        labels = check_desirable(y, subject=f"{type(self).__name__}.score")

        def loss(margin, target):
            return kto_loss(margin, target, 1 - target)

        return 1.0 - self._mean_loss(loss, margin, labels, sample_weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags
