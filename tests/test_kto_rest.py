"""Where KTO rests on hard problems: many tokens, weak penalties, long documents, extremes."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

from sklearn_codex import KTOPolicyOptimizer, NGramCounter, NGramLM, TokenCounter, UnigramLM
from sklearn_codex._data.designs import DifferenceDesign
from sklearn_codex._policy.kto_field import RestField
from sklearn_codex._policy.kto_loss import DesirabilityLoss
from sklearn_codex._policy.kto_rest import RestState, _least_shift, _Search, falling_columns
from sklearn_codex._solve.arnoldi import Krylov, solve
from sklearn_codex.exact import LengthExplosionWarning

TEXTS = ["good answer here", "bad", "a good one", "bad one", "answer", "good", "answer bad"]
THUMBS = [True, False, True, False, True, True, False]


class Problem:
    """Documents of random tokens, and the field of KTO by its definition, dense."""

    def __init__(self, seed, *, n_tokens, n_documents, length, scale, b, C, D=1.0, U=1.0):
        rng = np.random.default_rng(seed)
        self.reference = rng.dirichlet(np.ones(n_tokens)) + 1e-9
        self.reference /= self.reference.sum()
        lengths = rng.integers(1, 2 * length + 1, n_documents)
        self.X = np.array([rng.multinomial(n, self.reference) for n in lengths]).astype(float)
        reward = self.X @ (scale * rng.standard_normal(n_tokens)) / np.sqrt(length)
        self.y = (rng.random(n_documents) < expit(reward - np.median(reward))).astype(float)
        self.y[:2] = 0, 1
        self.weight = rng.exponential(size=n_documents)
        self.b, self.C, self.D, self.U, self.length = b, C, D, U, length

    def fit(self, **settings):
        model = UnigramLM(smoothing=0).fit(self.reference[np.newaxis])
        model.document_length_ = self.length
        fitted = KTOPolicyOptimizer(
            FrozenEstimator(model), kl_coef=self.b, C=self.C, desirable_weight=self.D,
            undesirable_weight=self.U, **settings,
        )  # fmt: skip
        return fitted.fit(self.X, self.y, self.weight)

    def _at(self, w):
        logits = np.log(self.reference) + w / self.b
        top = logits.max()
        log_z = top + np.log(np.exp(logits - top).sum())
        prob, reward = np.exp(logits - log_z), w - self.b * log_z
        z = self.length * prob @ reward
        u = self.X @ reward - z
        slope = self.weight * np.where(self.y == 1, -self.D, self.U) * expit(u) * expit(-u)
        return prob, reward, u, slope

    def field(self, w):
        prob, _, _, slope = self._at(w)
        pull = slope @ self.X
        return pull - pull.sum() * prob + w / self.C

    def jacobian(self, w):
        prob, reward, u, slope = self._at(w)
        moves = self.X - self.X.sum(axis=1, keepdims=True) * prob
        bend = slope * (expit(-u) - expit(u))
        spread = np.diag(prob) - np.outer(prob, prob)
        by_z = self.length * prob * (reward - prob @ reward) / self.b
        hessian = moves.T @ (bend[:, np.newaxis] * moves) - (slope @ self.X).sum() / self.b * spread
        return hessian - np.outer(moves.T @ bend, by_z) + np.eye(len(w)) / self.C

    def weights_of(self, fitted):
        """The weights of a rest point, which are C times what pulls them."""
        z, u = fitted.reference_point_, fitted.reward(self.X)
        slope = np.where(self.y == 1, -self.D, self.U) * expit(u - z) * expit(z - u)
        pull = (self.weight * slope) @ self.X
        return -self.C * (pull - pull.sum() * np.exp(fitted.token_log_prob_))


HARD = {
    # Where the best weights at a reference point jump over all that rest, each of another kind.
    "few tokens": {"n_tokens": 5, "n_documents": 1000, "length": 60, "scale": 1.0, "b": 1.4,
                   "C": 0.98, "D": 0.5, "U": 3.0},
    "long": {"n_tokens": 20, "n_documents": 1000, "length": 60, "scale": 1.0, "b": 5.7, "C": 75.0},
    "rare": {"n_tokens": 100, "n_documents": 80, "length": 3, "scale": 3.0, "b": 8.0, "C": 570.0,
             "D": 1.33, "U": 0.3},
    "many tokens": {"n_tokens": 200, "n_documents": 300, "length": 20, "scale": 1.0, "b": 4.4,
                    "C": 450.0},
}  # fmt: skip


@pytest.mark.parametrize("hard", HARD.values(), ids=HARD)
@pytest.mark.parametrize("seed", range(3))
def test_it_comes_to_rest_at_a_place_that_attracts(hard, seed):
    problem = Problem(seed, **hard)
    fitted = problem.fit(tol=1e-10)
    w = problem.weights_of(fitted)
    first = np.abs(problem.field(np.zeros(len(w)))).max()
    assert np.abs(problem.field(w)).max() < 1e-6 * first
    jacobian = problem.jacobian(w)
    assert np.linalg.eigvals(jacobian).real.min() > -1e-9 * np.abs(jacobian).max()


@pytest.mark.parametrize("seed", range(6))
def test_it_rests_where_slow_descent_from_the_reference_leads(seed):
    """The flow that gradient descent of small steps follows, by an integrator that is not ours."""
    problem = Problem(
        seed, n_tokens=4 + 3 * seed, n_documents=100, length=6, scale=2.0, b=1.0, C=20.0, U=1.5
    )
    fitted = problem.fit(tol=1e-11)
    w = np.zeros(problem.X.shape[1])
    found = solve_ivp(
        lambda t, w: -problem.field(w), (0, 1e5), w, method="BDF", rtol=1e-6, atol=1e-9,
        jac=lambda t, w: -problem.jacobian(w),
    )  # fmt: skip
    w = found.y[:, -1]
    assert np.abs(problem.field(w)).max() < 1e-6
    assert_allclose(fitted.token_reward_, problem._at(w)[1], atol=1e-3)


def test_a_thousand_tokens_are_few_steps():
    problem = Problem(
        3, n_tokens=1000, n_documents=1000, length=20, scale=1.0, b=1.7, C=165.0, D=0.5, U=0.3
    )
    fitted = problem.fit()
    assert fitted.fixed_point_gap_ <= 1e-8
    assert fitted.n_iter_ < 300
    w, first = problem.weights_of(fitted), problem.field(np.zeros(1000))
    assert np.linalg.norm(problem.field(w)) < 1e-5 * np.linalg.norm(first)


def test_what_is_no_rest_point_is_not_said_to_be_one():
    problem = Problem(0, **HARD["few tokens"])
    with pytest.warns(ConvergenceWarning, match=r"fixed_point_gap_ is .*, not tol=1e-08, after 5"):
        early = problem.fit(max_iter=5)
    gap = early.fixed_point_gap_
    assert gap > 1e-3
    assert gap == early.history_[-1]["gradient_norm"]


def test_a_rest_point_that_repels_is_said_to_be_one():
    problem = Problem(5, **HARD["rare"])  # whose descent goes round it for ever
    with pytest.warns(ConvergenceWarning, match="at a rest point that repels"):
        fitted = problem.fit(tol=1e-10)
    assert fitted.fixed_point_gap_ <= 1e-10
    assert np.linalg.eigvals(problem.jacobian(problem.weights_of(fitted))).real.min() < -1e-3


def test_a_search_begins_anew_where_it_was_nearest(monkeypatch):
    """Here the reference is nearest, as where policies go round a rest point that repels."""

    def at(x):
        point = SimpleNamespace(gradient=x, value=1.0)
        return SimpleNamespace(x=x, norm=float(1.0 + x @ x), point=point)

    loss = SimpleNamespace(radius=lambda: 1.0)
    field, begun = SimpleNamespace(at=at, n_weights=2, scale=1.0, loss=loss), []

    def follow(search, is_true):
        begun.append((is_true, *search._here.x))
        search._go(at(np.array([3.0, 4.0])))

    monkeypatch.setattr(_Search, "_follow", follow)
    search = _Search(field, tol=0.0, max_iter=100, callback=lambda state: None)
    search.run()
    assert begun == [(True, 0.0, 0.0), (False, 0.0, 0.0)]
    assert (search.state.iteration, search.state.fixed_point_gap) == (4, 1.0)


def test_the_least_shift_by_hand():
    assert _least_shift(np.array([-1.0, -2.0])) == 0.0
    # Twice a rate at which policies go apart, and where they go round, (1/4 + 4) / (2 / 2).
    assert _least_shift(np.array([0.5, -3.0])) == 1.0
    assert _least_shift(np.array([-1.0, 0.5 + 2.0j, 0.5 - 2.0j])) == pytest.approx(4.25)


def test_columns_that_fall_are_those_of_long_steps():
    """Of columns far below 0: one is at rest, one falls by a nat, one by little, one rises."""
    point = SimpleNamespace(
        policy=SimpleNamespace(reward=np.array([-4.0, -5.0, -6.0, -7.0, -1.0])),
        gradient=np.array([0.0, 2.0, 0.1, -2.0, 2.0]),
    )
    loss = SimpleNamespace(
        tilt=SimpleNamespace(n_weights=5), bent=lambda point, direction: 2.0 * direction
    )
    state = RestState(1, point, 0.0, True, loss=loss)
    assert falling_columns(state).tolist() == [1]


# The field and its derivatives


def own_points():
    """Policies whose reference points have formulas of their own."""
    ngrams = FrozenEstimator(NGramLM(2, vectorizer=NGramCounter(2)).fit(TEXTS))
    ending = NGramLM(2, vectorizer=NGramCounter(2, eos_token="<eos>")).fit(TEXTS)
    tokens = UnigramLM(vectorizer=TokenCounter(eos_token="<eos>")).fit(TEXTS)
    yield "tokens", KTOPolicyOptimizer(kl_coef=0.7, response_length=3)
    yield "tokens that end", KTOPolicyOptimizer(FrozenEstimator(tokens), kl_coef=0.7)
    yield "n-grams", KTOPolicyOptimizer(ngrams, kl_coef=0.7, response_length=4)
    yield "n-grams that end", KTOPolicyOptimizer(FrozenEstimator(ending), kl_coef=0.7)


@pytest.mark.parametrize("optimizer", [pytest.param(o, id=name) for name, o in own_points()])
def test_the_field_bends_as_its_derivative_says(optimizer):
    fitted = optimizer.fit(TEXTS, THUMBS)
    design = fitted._in_columns_of_policy(DifferenceDesign(fitted.vectorizer_.transform(TEXTS)))
    tilt = fitted._family.tilt(fitted.reference_log_prob_, 0.7)
    loss = DesirabilityLoss(
        design, np.array(THUMBS, float), np.arange(1.0, 8.0), tilt, C=2.0,
        desirable_weight=1.2, undesirable_weight=0.9,
    )  # fmt: skip
    field, rng = RestField(loss, fitted._own_point(TEXTS)), np.random.default_rng(0)
    x, direction = 0.2 * rng.standard_normal((2, tilt.n_weights)) * field.scale
    step = 1e-5
    own = [field.own.at(tilt.at((x + sign * step * direction) / field.scale)) for sign in (1, -1)]
    along = field.own.along(tilt.at(x / field.scale))(direction / field.scale)
    assert along == pytest.approx((own[0] - own[1]) / (2 * step), rel=1e-5)
    force = [field.at(x + sign * step * direction).force for sign in (1, -1)]
    product = field.at(x).product(direction)
    assert_allclose(product, (force[0] - force[1]) / (2 * step), rtol=1e-4, atol=1e-6)


def test_forces_and_steps_are_measured_on_the_scale_of_their_columns():
    # Places are twice the weights, as the first column has it; a unit of the second one is half.
    field = RestField(SimpleNamespace(scale=lambda: np.array([2.0, 1.0])), None)
    assert (field.scale, field.n_weights) == (2.0, 2)
    assert field.norm(np.array([3.0, 2.0])) == pytest.approx(5.0)
    assert field.length(np.array([3.0, 8.0])) == pytest.approx(5.0)


def test_arnoldi_solves_and_sees_where_eigenvalues_begin():
    rng = np.random.default_rng(0)
    matrix = np.diag(np.linspace(-1.0, 3.0, 60)) + 0.3 * rng.standard_normal((60, 60)) / 8
    right = rng.standard_normal(60)
    exact, krylov = solve(lambda d: matrix @ d, right, tol=1e-12, most=60)
    assert_allclose(exact, np.linalg.solve(matrix, right), rtol=1e-7, atol=1e-8)
    assert krylov.eigenvalues.real.min() == pytest.approx(
        np.linalg.eigvals(matrix).real.min(), abs=1e-6
    )
    shifted = matrix + 3 * np.eye(60)
    rough, krylov = solve(lambda d: shifted @ d, right, tol=0.01, most=60)
    assert krylov.size < 30
    assert np.linalg.norm(shifted @ rough - right) <= 0.01 * np.linalg.norm(right)
    # A vector that the operator keeps is a basis by itself.
    own = Krylov(lambda d: 2.0 * d, right, 60)
    own.grow()
    assert own.is_whole
    assert own.eigenvalues[0] == pytest.approx(2.0)


def test_a_basis_stays_orthonormal_where_images_are_all_but_alike():
    rng = np.random.default_rng(1)
    matrix = 1e8 * np.eye(30) + rng.standard_normal((30, 30))
    krylov = Krylov(lambda d: matrix @ d, rng.standard_normal(30), 30)
    for _ in range(10):
        krylov.grow()
    basis = np.array([krylov.combined(shares) for shares in np.eye(10)])
    assert_allclose(basis @ basis.T, np.eye(10), atol=1e-14)
    assert_allclose(krylov.hessenberg[:10], basis @ matrix @ basis.T, atol=1e-6)


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_a_system_is_solved_to_a_part_of_its_right_side(size):
    rng = np.random.default_rng(2)
    matrix = 3.0 * np.eye(60) + rng.standard_normal((60, 60)) / 8
    right = rng.standard_normal(60)
    found, krylov = solve(lambda d: matrix @ d, size * right, tol=1e-4, most=60)
    assert np.linalg.norm(size * right - matrix @ found) <= 1e-4 * size * np.linalg.norm(right)
    assert krylov.size == solve(lambda d: matrix @ d, right, tol=1e-4, most=60)[1].size < 30
    with np.errstate(invalid="ignore", over="ignore"):
        nowhere, _ = solve(lambda d: 1e308 * (matrix @ d), size * right, tol=1e-4, most=60)
    assert np.isnan(nowhere).all()


# Extremes


@pytest.mark.parametrize("loss", ["kto", "apo_zero_unpaired"])
@pytest.mark.parametrize("vectorizer", [
    TokenCounter(), TokenCounter(eos_token="<eos>"), NGramCounter(2),
], ids=["tokens", "eos", "n-grams"])  # fmt: skip
@pytest.mark.parametrize(
    "settings",
    [
        {"C": 5e-324}, {"C": 1e-300}, {"C": 1e300}, {"kl_coef": 1e-300}, {"kl_coef": 1e-12},
        {"kl_coef": 1e300}, {"desirable_weight": 1e-300}, {"undesirable_weight": 1e50},
        {"kl_coef": 1e-300, "C": np.inf}, {"kl_coef": 1e300, "C": np.inf},
    ],
    ids=str,
)  # fmt: skip
def test_extremes_are_right_or_warned_of(settings, vectorizer, loss):
    fitted = KTOPolicyOptimizer(loss=loss, vectorizer=vectorizer, **settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted.fit(TEXTS, THUMBS)
    kinds = {warning.category for warning in caught}
    assert kinds <= {ConvergenceWarning, LengthExplosionWarning}
    assert ConvergenceWarning in kinds or fitted.fixed_point_gap_ <= 1e-8
    assert np.isfinite([fitted.kl_, fitted.reference_point_, fitted.fixed_point_gap_]).all()
    assert not np.isnan(fitted.margin(TEXTS)).any()
    if settings.get("C", 1) < 1e-200 or settings == {"kl_coef": 1e300}:
        assert fitted.kl_ == pytest.approx(0.0, abs=1e-12)


def test_a_penalty_that_holds_nothing_is_as_none():
    X = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    with pytest.warns(ConvergenceWarning, match=r"C=1e\+300, and nothing holds 2 token\(s\)"):
        KTOPolicyOptimizer(C=1e300).fit(X, [0.9, 0.8, 0.1])


def test_weights_that_floats_cannot_square_are_refused():
    for name in ("desirable_weight", "undesirable_weight"):
        with pytest.raises(ValueError, match=rf"'{name}' parameter .* range \(0.0, 1e\+50\]"):
            KTOPolicyOptimizer(**{name: 1e60}).fit(TEXTS, THUMBS)


def test_labels_of_one_kind_are_refused_whatever_the_weights():
    for labels, weight in (([1] * 7, None), ([0] * 7, None), (THUMBS, np.array(THUMBS, float))):
        with pytest.raises(ValueError, match="needs desirable and undesirable documents in y, got"):
            KTOPolicyOptimizer().fit(TEXTS, labels, weight)
    with pytest.raises(ValueError, match=r"[Ss]ample.weight"):
        KTOPolicyOptimizer().fit(TEXTS, THUMBS, np.zeros(7))


@pytest.mark.parametrize("kl_coef", [1e-100, 1e-50, 1e-20, 1e-12])
def test_next_to_no_kl_coef_leaves_the_best_token(kl_coef):
    texts = ["good answer", "bad answer", "good", "bad", "good good", "answer"]
    known, fitted = (KTOPolicyOptimizer(kl_coef=b, response_length=2) for b in (1e-8, kl_coef))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known.fit(texts, [1, 0, 1, 0, 1, 0])
        fitted.fit(texts, [1, 0, 1, 0, 1, 0])
    assert_allclose(fitted.coef_, known.coef_, atol=1e-6)
    assert np.exp(fitted.token_log_prob_).max() == pytest.approx(1.0)
    assert fitted.kl_ == pytest.approx(2 * np.log(4))
    assert fitted.reference_point_ == pytest.approx(kl_coef * 2 * np.log(4))


@pytest.mark.parametrize("vectorizer", [
    TokenCounter(), TokenCounter(eos_token="<eos>"), NGramCounter(2),
], ids=["tokens", "eos", "n-grams"])  # fmt: skip
@pytest.mark.parametrize("kl_coef", [1e8, 1e10, 1e16, 1e100, 1e300])
def test_a_vast_kl_coef_rests_as_a_great_one_does(kl_coef, vectorizer):
    known, fitted = (KTOPolicyOptimizer(kl_coef=b, vectorizer=vectorizer) for b in (1e6, kl_coef))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_allclose(fitted.fit(TEXTS, THUMBS).coef_, known.fit(TEXTS, THUMBS).coef_, atol=1e-5)
