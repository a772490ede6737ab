"""DPO and its relatives at the ends of C and kl_coef: right, a clear error, or a warning."""

import itertools
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex import DPOPolicyOptimizer, PreferenceRewardModel
from sklearn_codex._policy.dpo_problem import LOSSES

RNG = np.random.default_rng(1)
LABELS = np.tile([0, 1], 6)
MIXED = RNG.poisson(1.5, (12, 2, 5)) + np.eye(5)[0]
EQUAL = RNG.multinomial(6, np.full(5, 0.2), (12, 2)).astype(float)
AHEAD = MIXED.copy()
AHEAD[np.arange(12), LABELS, 1] = 0.0  # what is preferred has none of it, the other three
AHEAD[np.arange(12), 1 - LABELS, 1] = 3.0
SAME = np.repeat(MIXED[:, :1], 2, axis=1)
DATA = {"mixed": MIXED, "equal lengths": EQUAL, "separable": AHEAD, "same responses": SAME}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_fit_is_a_policy_or_a_clear_error(loss, data):
    for C, kl_coef in itertools.product([1e-100, 1e-12, 1e12, np.inf], [1e-100, 1e-8, 1e8, 1e100]):
        smoothing = 0.1 if loss == "robust" else 0.0
        model = DPOPolicyOptimizer(
            loss=loss, C=C, kl_coef=kl_coef, label_smoothing=smoothing, max_iter=20
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ConvergenceWarning)
            try:
                model.fit(DATA[data], LABELS)
            except ValueError as error:
                assert str(error).startswith(  # noqa: PT017
                    (
                        "The fit leaves the range of floats: ",
                        f'DPOPolicyOptimizer with loss="{loss}',
                    )
                )
                continue
        assert_allclose(np.exp(model.token_log_prob_).sum(), 1.0)
        assert np.isfinite([model.loss_, model.kl_]).all()


@pytest.mark.parametrize("value", [1e-300, 1e300])
@pytest.mark.parametrize("name", ["C", "kl_coef"])
@pytest.mark.parametrize("loss", LOSSES)
def test_numbers_without_squares_are_refused(loss, name, value):
    with pytest.raises(ValueError, match=rf"'{name}' parameter of DPO.* in the range \[1e-100, 1e"):
        DPOPolicyOptimizer(loss=loss, **{name: value}).fit(MIXED, LABELS)


@pytest.mark.parametrize("kl_coef", [1e-50, 1e-8, 1e8, 1e50])
def test_of_equal_lengths_the_reward_does_not_depend_on_kl_coef(kl_coef):
    fitted = DPOPolicyOptimizer(kl_coef=kl_coef, tol=1e-10).fit(EQUAL, LABELS)
    reward = PreferenceRewardModel(tol=1e-10).fit(EQUAL, LABELS)
    assert_allclose(fitted.margin(EQUAL), reward.decision_function(EQUAL), rtol=1e-6, atol=1e-9)
    if kl_coef > 1:
        assert_allclose(fitted.token_log_prob_, -np.log(5), atol=1e-7)
    else:
        assert np.exp(fitted.token_log_prob_).max() == pytest.approx(1.0)


@pytest.mark.parametrize("C", [1e-50, 1e-12])
def test_a_strong_penalty_leaves_one_step_of_the_gradient(C):
    fitted = DPOPolicyOptimizer(C=C).fit(EQUAL, LABELS)
    differences = EQUAL[:, 0] - EQUAL[:, 1]
    step = C * (LABELS - 0.5) @ differences
    assert_allclose(fitted.margin(EQUAL), differences @ step, rtol=1e-6, atol=1e-9 * C)


@pytest.mark.parametrize("loss", ["simpo", "cpo"])
def test_margins_lost_in_rounding_are_refused(loss):
    with pytest.raises(ValueError, match=r"kl_coef=1e\+50, by .* lost in rounding\. Decrease kl_"):
        DPOPolicyOptimizer(loss=loss, kl_coef=1e50).fit(MIXED, LABELS)
    DPOPolicyOptimizer(loss=loss, kl_coef=1e3).fit(MIXED, LABELS)


def test_weights_too_small_to_see_in_the_loss_that_change_the_policy_warn():
    # The best policy is of one token, as the best weights are 1e30 times kl_coef, but no step
    # towards it lowers the loss by more than rounding does.
    with pytest.warns(
        ConvergenceWarning, match=r"is 1\.0e\+00 of that .* or increase kl_coef, max"
    ):
        DPOPolicyOptimizer(loss="simpo", C=1e-20, kl_coef=1e-50).fit(MIXED, LABELS)


# CPO and ORPO raise the likelihood of both responses.
@pytest.mark.parametrize("loss", ["sigmoid", "robust", "ipo", "hinge", "simpo"])
def test_where_nothing_is_preferred_the_reference_is_best(loss):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = DPOPolicyOptimizer(loss=loss, C=1e12).fit(EQUAL, np.full(12, 0.5))
    assert_allclose(fitted.token_log_prob_, -np.log(5), atol=1e-6)


# The fifth token is in no pair: next to nothing holds it at great C.
TOLD = np.pad(MIXED[..., :4], ((0, 0), (0, 0), (0, 1)))


@pytest.mark.parametrize("C", [1e14, 1e20, 1e100])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_token_of_no_pair_does_not_end_the_search_before_the_others_are_found(loss, C):
    both = np.concatenate([TOLD, TOLD[:, ::-1]])
    weight = np.r_[np.arange(1.0, 13.0), np.full(12, 4.0)]
    labels = np.r_[LABELS, LABELS]
    smoothing = 0.1 if loss == "robust" else 0.0
    model = DPOPolicyOptimizer(loss=loss, response_length=2, label_smoothing=smoothing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        known = model.set_params(C=1e8).fit(both, labels, sample_weight=weight)
        expected = np.exp(known.token_log_prob_[:4])
        found = model.set_params(C=C).fit(both, labels, sample_weight=weight).token_log_prob_[:4]
    found = np.exp(found)
    # SimPO's loss says nothing of the fifth token at all, so the others are held to each other.
    assert_allclose(found / found.sum(), expected / expected.sum(), atol=1e-4)


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "hinge", "robust"])
def test_no_gap_is_told_where_nothing_says_what_a_token_is_worth(loss):
    both = np.concatenate([TOLD, TOLD[:, ::-1]])
    weight = np.r_[np.arange(1.0, 13.0), np.full(12, 4.0)]
    smoothing = 0.1 if loss == "robust" else 0.0
    model = DPOPolicyOptimizer(loss=loss, C=np.inf, response_length=2, label_smoothing=smoothing)
    model.fit(both, np.r_[LABELS, LABELS], sample_weight=weight)
    assert np.isnan(model.optimality_gap_)


@pytest.mark.parametrize(("loss", "C", "most"), [("cpo", 1e3, 30), ("robust", 100.0, 100)])
def test_a_great_C_takes_few_steps(loss, C, most):
    # Frequent tokens and rare ones: weights are on scales that are not those of the start.
    rng = np.random.RandomState(0)
    counts = rng.multinomial(100, rng.dirichlet(np.full(200, 0.3)), (150, 2)).astype(float)
    ahead = (counts[:, 0] - counts[:, 1]) @ (0.2 * rng.standard_normal(200))
    labels = (ahead + rng.logistic(size=150) > 0).astype(int)
    smoothing = 0.1 if loss == "robust" else 0.0
    model = DPOPolicyOptimizer(loss=loss, C=C, kl_coef=0.1, label_smoothing=smoothing)
    model.fit(counts, labels)
    assert model.history_[-1]["gradient_norm"] < 1e-8
    assert model.n_iter_ <= most


@pytest.mark.parametrize("kl_coef", [1e-4, 1e-8, 1e-20, 1e-100])
@pytest.mark.parametrize("loss", ["cpo", "orpo"])
def test_the_least_kl_coef_leaves_the_likeliest_policy(loss, kl_coef):
    # What is left of the loss is the likelihood of the responses that are preferred.
    pairs = [("a b", "c"), ("c", "a"), ("b b a", "c a"), ("c c", "b a b"), ("a", "b c")]
    model = DPOPolicyOptimizer(loss=loss, kl_coef=kl_coef, response_length=2)
    prob = np.exp(model.fit(pairs, [1, 1, 0, 1, 0]).token_log_prob_)
    assert_allclose(prob[1:], [0.2, 0.2, 0.6], atol=1e-3)
