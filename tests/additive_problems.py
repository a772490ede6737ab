"""Problems whose optimum is known, shared by the tests of policy optimisation."""

import numpy as np
from scipy.special import log_softmax
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

from sklearn_codex import UnigramLM
from sklearn_codex.exact import AdditiveObjective

LENGTH = 20


def total_variation(log_p, log_q):
    return 0.5 * np.abs(np.exp(log_p) - np.exp(log_q)).sum()


def random_policy(n_columns, rng, spread=1.0):
    return log_softmax(spread * rng.standard_normal(n_columns))


def random_objective(seed, *, demonstrations=False, penalised=False, zeros=False, **changed):
    """A problem of 5 to 20 tokens; ``zeros`` leaves a third of them outside the reference."""
    rng = np.random.default_rng(seed)
    n_columns = int(rng.integers(5, 21))
    inside = np.ones(n_columns, dtype=bool)
    if zeros:
        inside[rng.permutation(n_columns)[: n_columns // 3]] = False
    reference = np.full(n_columns, -np.inf)
    reference[inside] = random_policy(inside.sum(), rng)
    settings = {
        "length": int(rng.integers(1, 9)),
        "kl_coef": float(rng.uniform(0.3, 3.0)),
        "reward_coef": float(rng.uniform(0.0, 2.0)),
    }
    if penalised:
        settings["penalty"] = rng.exponential(size=n_columns) * rng.integers(0, 2, n_columns)
    if demonstrations:
        frequencies = np.zeros(n_columns)
        shown = np.flatnonzero(inside)[::2]
        frequencies[shown] = rng.dirichlet(np.ones(len(shown)))
        settings |= {"sft_coef": float(rng.uniform(0.1, 5.0)), "frequencies": frequencies}
    settings |= changed
    return AdditiveObjective(reference, rng.standard_normal(n_columns), **settings)


def linear_reward(weights):
    """A fitted linear regressor of counts with the given weights."""
    model = Ridge()
    model.coef_, model.intercept_ = np.asarray(weights, dtype=float), 0.0
    model.n_features_in_ = len(model.coef_)
    return model


class LinearCallable:
    """The same reward as a function, which does not tell that it adds over tokens."""

    def __init__(self, weights):
        self.weights = weights

    def __call__(self, counts):
        return counts @ self.weights


class ZipfProblem:
    """A Zipf reference, normal rewards and one in a hundred bad tokens; documents of 20 tokens."""

    def __init__(self, n_columns, seed):
        rng = np.random.RandomState(seed)
        prob = 1.0 / np.arange(1, n_columns + 1)
        rng.shuffle(prob)
        self.weights = rng.standard_normal(n_columns)
        self.weights[rng.random_sample(n_columns) < 0.01] = -3.0
        self.X = np.zeros((1, n_columns))
        self.X[0, 0] = LENGTH
        reference = UnigramLM(smoothing=0).fit(prob[np.newaxis])
        self.policy = FrozenEstimator(reference)
        self.reward_model = FrozenEstimator(linear_reward(self.weights))
        self.reference_log_prob = reference.token_log_prob_

    def objective(self, **settings):
        return AdditiveObjective(self.reference_log_prob, self.weights, length=LENGTH, **settings)

    def share_of_optimum(self, fitted, **settings):
        """Return (J - J(ref)) / (J* - J(ref)) of a fitted policy."""
        objective = self.objective(kl_coef=fitted.kl_coef, **settings)
        whole = objective.gap(self.reference_log_prob)
        return 1.0 - objective.gap(fitted.token_log_prob_) / whole
