"""What a policy's own documents tell of what is left to gain, without bias."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._policy.problem import PolicyProblem
from sklearn_codex._rollouts import Rollouts

# Batches that a statement about their agreement needs.
_FEWEST_BATCHES = 20
# Tokens of a batch that has to prove something, and batches at most.
_PROOF_TOKENS, _MOST_PROOF_BATCHES = 32_768, 256


def scaled_gradient(
    problem: PolicyProblem, log_prob: FloatArray, rollouts: Rollouts, shaped: FloatArray
) -> FloatArray:
    r"""Return the gradient (V,) of J, sampled, in the unit whose square is what is left to gain.

    Parameters
    ----------
    problem : PolicyProblem
        For the temperature and the expected occurrences of tokens.
    log_prob : ndarray of shape (V,)
        The policy.
    rollouts : Rollouts
        Documents drawn from it, n.
    shaped : ndarray of shape (n,)
        Their shaped rewards S.

    Notes
    -----
    With token counts :math:`n_i` and lengths :math:`l_i`,

    .. math::

        u_t = \frac{1}{n - 1} \sum_i (S_i - \bar S) \frac{n_{it} - l_i \pi_t}
              {\sqrt{2 \tau L \pi_t}}.

    Where L is fixed, the expectation is :math:`\sqrt{L \pi_t / 2 \tau}\, a_t` with
    :math:`a_t = E[S \mid x_1 = t] - E[S]`, and its square sums to :math:`L / (2 \tau) \sum_t \pi_t
    a_t^2`: what a natural-gradient step to the mean-field solution gains, to second order [1]_.
    Where the policy sees the tokens before, :math:`L \pi_t` is the expected number of each event,
    and :math:`l_i \pi_t` is what is expected of them in the contexts of the document.

    References
    ----------
    .. [1] Kakade, S. (2001). "A natural policy gradient." NeurIPS 14.
    """
    objective = problem.objective
    centred = (shaped - shaped.mean()) / (len(shaped) - 1)
    weight = rollouts.collect(np.repeat(centred, rollouts.lengths))
    gradient = objective.policy_gradient(log_prob, rollouts, weight)
    return _scaled(problem, log_prob, gradient)


def slope_gains(problem: PolicyProblem, log_prob: FloatArray) -> float:
    """Return what is left to gain near a policy, from the exact gradient of J.

    The square of what :func:`scaled_gradient` samples, which may miss documents that are rare and
    lose much.
    """
    objective: Any = problem.objective
    scaled = _scaled(problem, log_prob, objective.gradient(log_prob))
    return float(scaled @ scaled)


def _scaled(problem, log_prob, gradient):
    """Return a gradient (V,), that of demonstrations added, in the unit of what it gains."""
    shown = problem.objective.demonstrations_gradient(log_prob)
    if shown is not None:
        gradient = gradient + shown
    return in_unit_of_gain(problem, log_prob, gradient)


def in_unit_of_gain(
    problem: PolicyProblem, log_prob: FloatArray, gradient: FloatArray
) -> FloatArray:
    """Return the gradient (V,) of a document by logits in the unit of :func:`scaled_gradient`.

    Only of directions in which policies of the family can move.
    """
    curvature = problem.objective.curvature(log_prob)
    matters = curvature > 0
    scaled = np.zeros_like(gradient)
    if problem.objective.is_log_linear:
        scaled[matters] = gradient[matters] / curvature[matters]
        return np.sqrt(curvature / 2.0) * problem.objective.project(scaled, curvature)
    scaled[matters] = gradient[matters] / np.sqrt(2.0 * curvature[matters])
    return scaled


@dataclass
class _Sums:
    """Sums over the batches since some start."""

    n: int = 0
    n_documents: int = 0
    last_weight: int = 0
    square_weights: float = 0.0
    squares: float = 0.0
    products: float = 0.0
    total: FloatArray | float = 0.0
    places: FloatArray | float = 0.0
    last: FloatArray | float = 0.0

    def add(self, gradient, n_documents, place):
        weighted = n_documents * gradient
        if self.n:
            # A power of a float raises where a product is infinite.
            product = float(gradient @ self.last)
            self.products += n_documents * self.last_weight * (product * product)
        self.total, self.places = self.total + weighted, self.places + n_documents * place
        self.squares += float(weighted @ weighted)
        self.square_weights += float(n_documents) ** 2
        self.last, self.last_weight = gradient, n_documents
        self.n += 1
        self.n_documents += n_documents


class Drift:
    r"""Whether the gradients of batches point the same way, and what is left to gain if they do.

    Looks at the later batches since the last start only, as the first ones say where it was.

    Attributes
    ----------
    n : int
        Batches looked at.
    n_documents : int
        Their documents.

    Notes
    -----
    The squared norm of a mean of gradients :math:`u_k` of batches of :math:`w_k` documents has the
    noise of the batches in it. The mean over pairs of different batches has not,

    .. math::

        \hat g = \frac{|\sum_k w_k u_k|^2 - \sum_k w_k^2 |u_k|^2}{W}, \quad
        W = \big(\sum_k w_k\big)^2 - \sum_k w_k^2,

    a U-statistic [1]_. Where nothing is left to gain its variance is :math:`2 c / W` with c the
    mean of :math:`w_k w_l (u_k \cdot u_l)^2`, which batches that follow each other tell.

    References
    ----------
    .. [1] Hoeffding, W. (1948). "A class of statistics with asymptotically normal distribution."
       Annals of Mathematical Statistics 19(3).
    """

    def __init__(self) -> None:
        self.restart()

    @property
    def n(self) -> int:
        """Batches looked at."""
        return self._sums.n

    @property
    def n_documents(self) -> int:
        """Their documents."""
        return self._sums.n_documents

    def restart(self) -> None:
        """Forget all batches."""
        self._sums, self._later = _Sums(), _Sums()

    def add(self, gradient: FloatArray, n_documents: int, place: FloatArray) -> None:
        """Take in the scaled gradient (V,) of one batch, and the place (V,) of its policy."""
        self._sums.add(gradient, n_documents, place)
        self._later.add(gradient, n_documents, place)
        if self._later.n >= _FEWEST_BATCHES and 3 * self._later.n >= 2 * self._sums.n:
            self._sums, self._later = self._later, _Sums()

    def gap(self) -> tuple[float, float]:
        """Return what is left to gain, without bias, and its standard error; infinite at first."""
        sums = self._sums
        if sums.n < 2:
            return np.inf, np.inf
        pairs = float(sums.n_documents) ** 2 - sums.square_weights
        gap = (float(np.square(sums.total).sum()) - sums.squares) / pairs
        return gap, float(np.sqrt(2.0 * sums.products / (sums.n - 1) / pairs))

    def noise(self) -> float:
        """Return what is left to gain at the mean place because its gradients are sampled.

        Steps that hover make the mean of their gradients 0, so that the true gradient there is
        minus the mean noise, whose expected square it is.
        """
        return self._sums.squares / float(self.n_documents) ** 2 if self.n else np.inf

    def noise_of_batch(self) -> float:
        """Return what a full step by the gradient of a single batch misses because of its noise."""
        return self._sums.squares / self._sums.square_weights if self.n else np.inf

    def mean_place(self) -> FloatArray:
        """Return the mean of the places (V,) of policies: what the gap is the gap of."""
        return np.asarray(self._sums.places / self.n_documents)

    def state(self) -> dict[str, Any]:
        """Return what changes in training."""
        return {"sums": dict(vars(self._sums)), "later": dict(vars(self._later))}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state of :meth:`state`."""
        self._sums, self._later = _Sums(**state["sums"]), _Sums(**state["later"])


def left_to_gain(
    problem: PolicyProblem, log_prob: FloatArray, enough: float, rng: np.random.RandomState
) -> tuple[float, float, int]:
    """Return what is left to gain near a policy, from fresh documents of it alone.

    Parameters
    ----------
    problem : PolicyProblem
        The problem.
    log_prob : ndarray of shape (V,)
        The policy.
    enough : float
        What matters: documents are drawn until the answer is above it or below, with two standard
        errors, or there are very many.
    rng : RandomState
        Source of the documents.

    Returns
    -------
    gap, error : float
        Without bias, and its standard error.
    n_documents : int
        Documents drawn.
    """
    drift, length = Drift(), problem.objective.expected_length(log_prob)
    n_documents = int(np.clip(_PROOF_TOKENS / length, 64, 1024))
    for k in range(_MOST_PROOF_BATCHES):
        rollouts = problem.sample(log_prob, n_documents, rng)
        shaped = problem.assess(log_prob, rollouts).shaped
        gradient = scaled_gradient(problem, log_prob, rollouts, shaped)
        drift._sums.add(gradient, n_documents, problem.objective.place(log_prob))
        gap, error = drift.gap()
        if k + 1 >= _FEWEST_BATCHES and abs(gap - enough) >= 2.0 * error:
            break
    return gap, error, (k + 1) * n_documents


def substitution_gains(
    problem: PolicyProblem,
    log_prob: FloatArray,
    tokens: np.ndarray,
    n_documents: int,
    rng: np.random.RandomState,
) -> tuple[FloatArray, FloatArray]:
    r"""Return what tokens in one place of a document are worth, however rare, and standard errors.

    Parameters
    ----------
    problem : PolicyProblem
        With documents of fixed length.
    log_prob : ndarray of shape (V,)
        The policy.
    tokens : ndarray of int of shape (n_tokens,)
        Tokens that its documents hardly ever have.
    n_documents : int
        Documents of the policy in which each of them is put.
    rng : RandomState
        Source of the documents.

    Returns
    -------
    gains : ndarray of shape (n_tokens,)
        :math:`a_t = E[S \mid x_1 = t] - E[S]`, from pairs of documents that differ in one token.
    errors : ndarray of shape (n_tokens,)
        Their standard errors.
    """
    own = problem.sample(log_prob, n_documents, rng)
    length = own.lengths[0]
    changed = np.tile(own.tokens.reshape(n_documents, length), (len(tokens), 1, 1))
    rows = np.arange(n_documents)
    changed[:, rows, rows % length] = tokens[:, np.newaxis]
    lengths = np.full(len(tokens) * n_documents, length)
    rollouts = Rollouts(changed.ravel(), lengths, own.n_columns, own.names)
    shaped = problem.assess(log_prob, rollouts).shaped.reshape(len(tokens), n_documents)
    gains = shaped - problem.assess(log_prob, own).shaped
    return gains.mean(axis=1), gains.std(axis=1, ddof=1) / np.sqrt(n_documents)
