"""Kahneman-Tversky optimisation: a policy from documents that are desirable or not."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from sklearn_codex._checks.numbers import check_sample_weight
from sklearn_codex._data.designs import DifferenceDesign
from sklearn_codex._data.documents import check_prompts, count_after, read_documents
from sklearn_codex._data.fitted_models import IncomingModel
from sklearn_codex._data.vectorizers import COUNTER, token_names
from sklearn_codex._fits import whole_fit
from sklearn_codex._policy.direct import DirectPolicyMixin
from sklearn_codex._policy.kto_labels import check_both_kinds, check_desirable, targets_of_known
from sklearn_codex._policy.kto_loss import DesirabilityLoss, kto_loss
from sklearn_codex._policy.kto_rest import falling_columns, find_rest
from sklearn_codex._solve.fit_monitor import FitMonitor
from sklearn_codex._stage import Stage
from sklearn_codex._text.inputs import check_texts

# Whether the reference point of a loss is that of the policy; else it is 0.
_FOLLOWS_POLICY = {"kto": True, "apo_zero_unpaired": False}


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
        the policy goes from the reference.
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
        At most this many Newton steps, at all reference points together.

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
        for "kto", exact; 0 for "apo_zero_unpaired".
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
    n_iter_ : int
        Newton steps taken.
    history_ : list of dict
        One record per iteration, the first before any step:

        - ``iteration``: steps so far;
        - ``reference_point``: z, as it is held;
        - ``objective``: the penalised objective of the Notes, at that z;
        - ``gradient_norm``: the norm of its gradient, relative to the reference policy's;
        - ``fixed_point_gap``: as ``fixed_point_gap_``;
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
    exact. The fit follows the policy from the reference by Newton steps in a trust region, z being
    that of each policy on the way, to near a rest point, and then finds the root of
    :math:`b\, KL(\pi_{w(z)} \| ref) - z`, with w(z) the weights of least loss at z, by Brent's
    method. The sigmoids make the loss non-convex, so other rest points can exist. With
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
        "desirable_weight": [Interval(Real, 0, None, closed="neither")],
        "undesirable_weight": [Interval(Real, 0, None, closed="neither")],
        "C": [Interval(Real, 0, None, closed="right")],
        "response_length": [Interval(Integral, 1, None, closed="left"), None],
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
            If the fit does not come to rest, or C is infinite and tokens lose all
            their probability.
        UserWarning
            If the labels are two words that have an order and no known meaning.
        """
        labels = check_desirable(y, subject=type(self).__name__)
        weight = check_sample_weight(
            sample_weight,
            labels.target,
            dtype=np.float64,
            ensure_non_negative=True,
            allow_all_zero_weights=False,
        )
        design = self._read(X, prompts, weight)
        check_both_kinds(labels, weight, subject=type(self).__name__)
        self.classes_ = labels.classes
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
        self._solve(loss, context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _read(self, X, prompts, weight):
        """Return documents as a design in the columns of the policy; set what that is made of."""
        policy = IncomingModel(self, "policy", of_ngrams=True)
        counts = read_documents(self, X, reset=True, vectorizer=policy.vectorizer)
        check_consistent_length(counts, weight)
        policy.check_columns()
        if prompts is not None and policy.read_trie is not None:
            if check_texts(X, subject=type(self).__name__) is not None:
                prompts = check_prompts(self, X, prompts)
            counts = count_after(self, prompts, X, counts)
        self._keep_reference(policy, counts.shape[1], prompts, weight)
        design = self._in_columns_of_policy(DifferenceDesign(counts))
        self._check_documents(design, weight)
        self.document_length_ = self._length_of(design.differences, policy.model, weight)
        return design

    def _check_documents(self, design, weight):
        """Check that the reference can produce all that documents of some weight have."""
        impossible = np.isneginf(self.reference_log_prob_)
        lost = np.flatnonzero(impossible & (design.rmatvec((weight > 0).astype(float)) > 0))
        if lost.size:
            raise ValueError(
                f"{type(self).__name__} got documents with {lost.size} {self._family.column_kind} "
                f"which the reference policy cannot produce, such as {self._name(lost[0])!r}, so "
                "their log-ratio is undefined. Smooth the reference, or leave these documents out."
            )

    def _name(self, column):
        """Return the name of a column of the policy, or its number."""
        return self._family.column_name(int(column), token_names(self))

    def _own_point(self, point):
        """Return the reference point of a tilted policy."""
        return self.kl_coef * self._lengths_and_kl(point.log_prob).kl

    def _solve(self, loss, context):
        """Find the rest point, keep the history, report iterations, set the policy."""
        follows = _FOLLOWS_POLICY[self.loss]
        told = _Told()
        monitor = FitMonitor(
            self,
            told,
            context,
            lambda weights: self._family.fitted(loss.tilt.at(weights).log_prob),
        )
        state = find_rest(
            loss,
            self._own_point if follows else None,
            tol=self.tol,
            max_iter=self.max_iter,
            callback=lambda state: monitor(told.take(state)),
        )
        self.n_iter_ = state.iteration
        self.history_ = monitor.history[: state.iteration + 1]
        self.loss_ = self.history_[-1]["loss"]
        self.fixed_point_gap_ = state.fixed_point_gap
        self._set_policy(state.point.policy.log_prob, state.point.policy.reward)
        self.reference_point_ = self.kl_coef * self.kl_ if follows else 0.0
        self._warn(state, monitor.stopped)

    def _warn(self, state, stopped):
        """Warn where the policy does not rest, or only tends to where it would."""
        remedy = "Decrease C, or increase max_iter or tol."
        falling = falling_columns(state) if np.isinf(self.C) else np.zeros(0, dtype=np.intp)
        if falling.size:
            kind = self._family.column_kind
            trouble = (
                f"C=inf, and nothing holds {len(falling)} {kind} or more, such as "
                f"{self._name(falling[0])!r}, whose probability tends to 0"
            )
        elif not (state.converged or stopped):
            trouble = (
                f"fixed_point_gap_ is {state.fixed_point_gap:.1e}, not tol={self.tol:g}, after "
                f"{state.iteration} steps"
            )
            if state.iteration < self.max_iter:
                trouble += ", and the search found no place nearer to rest"
                remedy = "Decrease C or response_length, or increase tol."
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
        return self.reward(X, prompts=prompts) - self.reference_point_

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
        margin, subject = self.margin(X, prompts=prompts), f"{type(self).__name__}.score"
        labels = check_desirable(y, subject=subject)
        check_consistent_length(margin, labels.target)
        target = targets_of_known(labels, self.classes_, subject=subject)
        weight = check_sample_weight(sample_weight, margin, dtype=np.float64)
        loss = kto_loss(margin, target, 1 - target)[0]
        return 1.0 - float(np.average(loss, weights=weight))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags


class _Told:
    """The state of a search that is being told, whose loss describes the documents."""

    def take(self, state):
        self._state = state
        return state

    def describe(self, point):
        return {
            **self._state.loss.describe(point),
            "fixed_point_gap": self._state.fixed_point_gap,
        }
