"""Displays: what they compute, where they draw, and that importing them draws in no matplotlib."""

import subprocess
import sys

import contract
import numpy as np
import pytest
from loops import RECORDS, make_loop
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import binomtest
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold

from sklearn_codex import (
    ExactPolicyOptimizer,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex.exact import AdditiveObjective, best_of_n_frontier
from sklearn_codex.inspection import (
    FrontierDisplay,
    LengthBiasDisplay,
    OveroptimizationDisplay,
    PromptLearningCurveDisplay,
    RewardCalibrationDisplay,
    RewardDistributionDisplay,
    TokenShiftDisplay,
    TrainingCurveDisplay,
)
from sklearn_codex.metrics import length_audit, reliability_table
from sklearn_codex.model_selection import RecordKFold

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
plt = pytest.importorskip("matplotlib.pyplot")

WEIGHTS = np.array([0.4, -0.3, 0.1, 0.0, -0.5])
COUNTS = np.array([[2, 1, 1, 3, 1], [1, 3, 0, 2, 2], [0, 1, 4, 2, 1]])


def make_pairs(n_pairs=120, seed=0):
    """Pairs with prompts whose good words and length are both liked; labels 0 and 1."""
    rng = np.random.RandomState(seed)
    words = np.array(["good", "bad", "fine", "poor", "so", "very", "long", "text"])
    texts = [" ".join(rng.choice(words, rng.randint(3, 15))) for _ in range(2 * n_pairs)]
    pairs = [(f"prompt {i // 3}", texts[2 * i], texts[2 * i + 1]) for i in range(n_pairs)]
    value = [t.count("good") - t.count("bad") + 0.1 * len(t.split()) for t in texts]
    margin = np.array(value[::2]) - np.array(value[1::2])
    return pairs, (rng.random_sample(n_pairs) < 1 / (1 + np.exp(-margin))).astype(int)


PAIRS, LABELS = make_pairs()
PROMPTS = np.array([prompt for prompt, _, _ in PAIRS])


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def reference():
    return FrozenEstimator(UnigramLM().fit(COUNTS))


@pytest.fixture(scope="module")
def token_reward():
    # An intercept: the reward of a document is not only the sum of its tokens.
    model = LinearRegression().fit(np.eye(5), WEIGHTS)
    model.coef_, model.intercept_ = WEIGHTS, 0.7
    return FrozenEstimator(model)


@pytest.fixture(scope="module")
def policy(reference, token_reward):
    return PPOPolicyOptimizer(
        reference,
        token_reward,
        kl_coef=0.5,
        gold_reward=lambda counts: -(np.asarray(counts[:, [0]].todense()).ravel() ** 2.0),
        max_iter=15,
        random_state=0,
    ).fit(COUNTS)


@pytest.fixture(scope="module")
def reward_model():
    return PreferenceRewardModel().fit(PAIRS[:60], LABELS[:60])


def assert_drawn_on(display, ax):
    """A display is on the axes given, has labels, and its figure can be rendered."""
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert ax.get_xlabel()
    display.figure_.canvas.draw()


def test_import_does_not_import_matplotlib():
    program = (
        "import sys, sklearn_codex, sklearn_codex.inspection; "
        "print(any(name.split('.')[0] == 'matplotlib' for name in sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() == "False"


def test_missing_matplotlib_names_the_extra(monkeypatch, policy):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = r"needs matplotlib.*pip install 'sklearn-codex\[plot\]'"
    with pytest.raises(ImportError, match=r"TokenShiftDisplay\.from_estimator " + message):
        TokenShiftDisplay.from_estimator(policy)
    display = TokenShiftDisplay(tokens=["a"], change=[0.1], log_ratio=[1.0])
    with pytest.raises(ImportError, match=r"TokenShiftDisplay\.plot " + message):
        display.plot()
    with pytest.raises(ImportError, match=r"TrainingCurveDisplay\.plot " + message):
        TrainingCurveDisplay(iteration=[0], values={"loss": [1.0]}).plot()


def test_training_curves_are_the_history(policy):
    keys = ["objective/kl_exact", "policy/clipfrac_avg", "objective/optimality_gap"]
    display = TrainingCurveDisplay.from_estimator(policy, keys=keys, name="PPO")
    for line, key in zip(display.lines_, keys, strict=True):
        recorded = [record.get(key, np.nan) for record in policy.history_]
        assert_array_equal(line.get_xdata(), np.arange(len(policy.history_)))
        assert_array_equal(line.get_ydata(), recorded)
    assert [ax.get_yscale() for ax in display.axes_] == ["linear", "linear", "log"]
    assert display.axes_[0].get_ylabel() == "KL to reference\n(nats per document)"
    assert display.axes_[-1].get_xlabel() == "Iteration"
    display.figure_.canvas.draw()


def test_training_curves_of_a_second_run_go_on_the_same_axes(policy):
    first = TrainingCurveDisplay.from_estimator(policy)
    second = TrainingCurveDisplay.from_estimator(policy, ax=first.axes_, name="again")
    assert all(len(ax.lines) == 2 for ax in first.axes_)
    assert second.figure_ is first.figure_
    for one, other in zip(first.lines_, second.lines_, strict=True):
        assert one.get_color() != other.get_color()
        assert one.get_linestyle() != other.get_linestyle()
    labels = [text.get_text() for text in first.axes_[0].get_legend().get_texts()]
    assert labels == ["PPOPolicyOptimizer", "again"]


def test_training_curve_of_one_key_on_given_axes(policy):
    _, ax = plt.subplots()
    display = TrainingCurveDisplay.from_estimator(
        policy, keys="objective/length", ax=ax, line_kw={"c": "black"}
    )
    assert_drawn_on(display, ax)
    assert display.lines_[0].get_color() == "black"


def test_training_curves_of_a_reward_model(reward_model):
    display = TrainingCurveDisplay.from_estimator(reward_model)
    assert_array_equal(
        display.lines_[0].get_ydata(), [record["loss"] for record in reward_model.history_]
    )
    assert display.axes_[2].get_yscale() == "log"


def test_a_quantity_without_a_positive_value_keeps_a_linear_axis():
    display = TrainingCurveDisplay(iteration=[0, 1], values={"gradient_norm": [0.0, 0.0]}).plot()
    assert display.ax_.get_yscale() == "linear"
    display.figure_.canvas.draw()


def test_training_curve_errors(policy):
    with pytest.raises(ValueError, match=r"keys=\['nothing'\]: recorded are"):
        TrainingCurveDisplay.from_estimator(policy, keys=["nothing"])
    with pytest.raises(ValueError, match="one Axes for each of 2 keys, got 1"):
        TrainingCurveDisplay.from_estimator(
            policy, keys=["objective/kl", "objective/value"], ax=plt.subplots()[1]
        )
    with pytest.raises(ValueError, match=r"history_, got a RLHFPipeline.*pipeline\['policy'\]"):
        TrainingCurveDisplay.from_estimator(make_loop().fit(RECORDS))
    with pytest.raises(NotFittedError):
        TrainingCurveDisplay.from_estimator(PPOPolicyOptimizer())


def test_frontier_is_the_exact_optimum(policy):
    _, ax = plt.subplots()
    display = FrontierDisplay.from_estimator(policy, kl_coefs=[1.0, 0.3], ax=ax)
    for i, kl_coef in enumerate([1.0, 0.3]):
        problem = AdditiveObjective(
            policy.reference_log_prob_, WEIGHTS, length=policy.response_length_, kl_coef=kl_coef
        )
        best = problem.optimum()
        assert_allclose(display.kl[i], problem.kl(best), rtol=1e-9)
        # The reward of a regressor has its intercept besides the tokens.
        assert_allclose(display.expected_reward[i], problem.expected_reward(best) + 0.7, rtol=1e-9)
    assert_array_equal(display.line_.get_xydata().T, [display.kl, display.expected_reward])
    assert_drawn_on(display, ax)
    assert ax.get_xlabel() == "KL to the reference (nats per document)"


def test_policies_are_points_below_the_frontier(policy, reference):
    other = SFTRefiner(reference, prior_strength=5.0).fit(COUNTS[:1])
    display = FrontierDisplay.from_estimator(
        policy, policies={"SFT": other}, best_of_n=[2, 8], random_state=0, policy_name="PPO"
    )
    assert list(display.points_) == ["PPO", "SFT"]
    assert_allclose(display.policies["PPO"], (policy.kl_, policy.expected_reward_))
    prob = np.exp(other.token_log_prob_)
    shift = other.token_log_prob_ - policy.reference_log_prob_
    length = policy.response_length_
    assert_allclose(
        display.policies["SFT"], (length * prob @ shift, length * prob @ WEIGHTS + 0.7), rtol=1e-9
    )
    points = [*display.policies.values()]
    noise = 4 * display.best_of_n.standard_error
    points += list(
        zip(display.best_of_n.kl, display.best_of_n.expected_reward - noise, strict=True)
    )
    for kl, reward in points:
        assert reward <= np.interp(kl, display.kl, display.expected_reward) + 1e-3
    display.figure_.canvas.draw()


def test_best_of_n_is_of_documents_of_the_reference(policy):
    display = FrontierDisplay.from_estimator(policy, best_of_n=[1], n_samples=4000, random_state=0)
    tokens = np.exp(policy.reference_log_prob_) @ WEIGHTS
    mean = policy.response_length_ * tokens + 0.7
    assert (
        abs(display.best_of_n.expected_reward[0] - mean) < 5 * (display.best_of_n.standard_error[0])
    )
    assert_allclose(display.best_of_n.kl, 0.0, atol=1e-12)


def test_frontier_of_documents_that_end():
    texts = ["a b b", "b a", "a", "b b c"]
    words = FrozenEstimator(TokenCounter(eos_token="<eos>").fit(texts))
    reference = FrozenEstimator(UnigramLM(vectorizer=words).fit(texts))
    model = PreferenceRewardModel(vectorizer=words).fit([("a", "b"), ("c", "a")], [1, 0])
    reward = FrozenEstimator(model)
    exact = ExactPolicyOptimizer(reference, reward, kl_coef=5.0).fit(texts)
    ppo = PPOPolicyOptimizer(reference, reward, kl_coef=5.0, max_iter=3, tol=0, random_state=0)
    ppo.fit(texts)
    display = FrontierDisplay.from_estimator(exact, policies={"PPO": ppo}, kl_coefs=[20.0, 5.0])
    assert_allclose(display.kl, exact.frontier([20.0, 5.0]).kl)
    assert_allclose(display.kl[1], exact.kl_)
    assert_allclose(display.expected_reward[1], exact.expected_reward_)
    assert_allclose(display.policies["PPO"][0], ppo.kl_)
    with pytest.raises(ValueError, match="PPOPolicyOptimizer whose documents end by themselves"):
        FrontierDisplay.from_estimator(ppo)
    with pytest.raises(ValueError, match="best_of_n for documents of fixed length only"):
        FrontierDisplay.from_estimator(exact, best_of_n=[2])


def test_frontier_needs_a_reward_that_adds(reference):
    ppo = PPOPolicyOptimizer(
        reference, lambda counts: np.sqrt(counts[:, [0]].toarray().ravel()), max_iter=1, tol=0
    ).fit(COUNTS)
    with pytest.raises(ValueError, match=r"adds over tokens, which this PPOPolicyOptimizer"):
        FrontierDisplay.from_estimator(ppo)


def test_frontier_from_arrays_alone():
    points = best_of_n_frontier([0.0, 1.0, 2.0, 3.0], [2, 4])
    display = FrontierDisplay(kl=[0, 1, 9], expected_reward=[0, 2, 3], best_of_n=points, name="f")
    display.plot()
    assert display.line_.get_label() == "f"
    # The view ends near the points, not where the frontier does.
    assert display.ax_.get_xlim()[1] < 9
    display.figure_.canvas.draw()
    with pytest.raises(ValueError, match=r"one length, got the shapes .*\(2,\).*\(1,\)"):
        FrontierDisplay(kl=[0, 1], expected_reward=[0]).plot()


def test_overoptimization_draws_gains_and_the_peak():
    _, ax = plt.subplots()
    display = OveroptimizationDisplay(
        kl=[0.0, 1.0, 4.0],
        proxy_reward=[5.0, 6.0, 8.0],
        gold_reward=[-1.0, 1.0, 0.5],
        gold_interval=[[-1.5, 0.0, np.nan], [-0.5, 2.0, np.nan]],
    ).plot(ax, name="small")
    proxy, gold = display.lines_
    assert_array_equal(proxy.get_ydata(), [0.0, 1.0, 3.0])
    assert_array_equal(gold.get_ydata(), [0.0, 2.0, 1.5])
    assert_array_equal(display.peak_line_.get_xdata(), [1.0, 1.0])
    assert display.fill_between_ is not None
    assert proxy.get_label() == "proxy, optimised (small)"
    assert ax.get_ylabel() == "Gain in expected reward\n(per document)"
    assert_drawn_on(display, ax)


@pytest.mark.parametrize("kl_scale", ["linear", "sqrt"])
def test_overoptimization_of_a_training_run(policy, kl_scale):
    display = OveroptimizationDisplay.from_estimator(policy, kl_scale=kl_scale)
    history = policy.history_
    assert_array_equal(display.kl, [record["objective/kl_exact"] for record in history])
    assert_array_equal(display.gold_reward, [record["gold/score"] for record in history])
    display.figure_.canvas.draw()


def test_overoptimization_of_a_curve():
    curve = {
        "kl": np.array([0.0, 1.0, 2.0]),
        "proxy_reward": np.array([0.0, 1.0, 1.5]),
        "gold_reward": np.array([0.0, 1.0, 0.5]),
        "peak": {"kl": 1.25},
        "bootstrap": {"gold_interval": np.array([[-0.1, 0.8, 0.2], [0.1, 1.1, 0.7]])},
    }
    display = OveroptimizationDisplay.from_curve(curve)
    assert display.peak_line_.get_label() == "gold peaks at 1.25 nats"
    assert display.fill_between_ is not None
    rising = {**curve, "gold_reward": np.array([0.0, 1.0, 2.0]), "bootstrap": None}
    assert OveroptimizationDisplay.from_curve(rising).peak_line_ is None


def test_displays_on_the_same_axes_look_different():
    arrays = {"kl": [0.0, 1.0], "proxy_reward": [0.0, 1.0], "gold_reward": [0.0, -1.0]}
    first = OveroptimizationDisplay(**arrays).plot()
    second = OveroptimizationDisplay(**arrays).plot(first.ax_)
    colors = {line.get_color() for line in first.lines_ + second.lines_}
    assert len(colors) == 4
    one = FrontierDisplay(kl=[0, 1], expected_reward=[0, 1], policies={"p": (0.5, 0.2)}).plot()
    other = FrontierDisplay(kl=[0, 1], expected_reward=[0, 2], policies={"q": (0.5, 0.3)})
    other.plot(one.ax_)
    lines = [one.line_, one.points_["p"], other.line_, other.points_["q"]]
    assert len({line.get_color() for line in lines}) == 4
    assert len({line.get_marker() for line in lines}) == 3  # the two frontiers have none


def test_overoptimization_errors(reference, token_reward):
    plain = PPOPolicyOptimizer(reference, token_reward, max_iter=1, tol=0).fit(COUNTS)
    with pytest.raises(ValueError, match=r"'gold/score' in history_.*gold_reward="):
        OveroptimizationDisplay.from_estimator(plain)
    display = OveroptimizationDisplay(kl=[0.0], proxy_reward=[0.0], gold_reward=[0.0])
    with pytest.raises(ValueError, match="'linear' or 'sqrt', got 'log'"):
        display.plot(kl_scale="log")


def test_token_shift_equals_that_of_the_policy(policy):
    _, ax = plt.subplots()
    display = TokenShiftDisplay.from_estimator(policy, n=2, ax=ax, name="PPO")
    shift = policy.token_shift(2)
    rows = [*shift.risen, *shift.fallen[::-1]]
    assert display.tokens.tolist() == [row[0] for row in rows]
    assert_allclose(display.log_ratio, [row[1] for row in rows])
    assert_allclose(display.change, [row[2] for row in rows])
    assert_allclose([bar.get_width() for bar in display.bars_], 100 * display.change)
    assert ax.get_title() == "PPO"
    assert_drawn_on(display, ax)


def test_token_shift_of_two_language_models_uses_their_words():
    before, after = UnigramLM(), UnigramLM()
    before.fit(["a a b", "b c"])
    after = SFTRefiner(FrozenEstimator(before), prior_strength=1.0).fit(["c c c"])
    names = before.vectorizer_.get_feature_names_out()
    display = TokenShiftDisplay.from_predictions(
        before.token_log_prob_, after.token_log_prob_, tokens=names, quantity="log_ratio"
    )
    assert display.tokens[0] == "c"
    assert "nats" in display.ax_.get_xlabel()
    assert len(display.tokens) == len(names)


def test_tokens_that_are_gone_and_tokens_hard_to_print():
    before, after = np.log([0.5, 0.3, 0.2]), np.array([-np.inf, np.log(0.6), np.log(0.4)])
    display = TokenShiftDisplay.from_predictions(
        before, after, tokens=["\n", "$a_b$", "t" * 50], quantity="log_ratio"
    )
    gone = display.bars_[-1]
    assert gone.get_width() == -max(bar.get_width() for bar in display.bars_[:-1])
    assert gone.get_hatch()
    display.figure_.canvas.draw()
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert labels == ["$a_b$", "t" * 19 + "…", "\\n"]


def test_no_token_moved():
    same = np.log([0.5, 0.5])
    display = TokenShiftDisplay.from_predictions(same, same)
    assert len(display.tokens) == 0
    display.figure_.canvas.draw()
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        TokenShiftDisplay.from_predictions(same, np.log([0.2, 0.3, 0.5]))
    with pytest.raises(ValueError, match="'change' or 'log_ratio', got 'ratio'"):
        display.plot(quantity="ratio")


def test_calibration_equals_the_table_and_wilson(reward_model):
    _, ax = plt.subplots()
    held_out, labels = PAIRS[60:], LABELS[60:]
    display = RewardCalibrationDisplay.from_estimator(
        reward_model, held_out, labels, n_bins=4, strategy="quantile", ax=ax
    )
    probability = reward_model.predict_proba(held_out)[:, 1]
    table = reliability_table(labels, probability, n_bins=4, strategy="quantile")
    for name in ("predicted", "observed", "n"):
        assert_array_equal(getattr(display, name), table[name])
    for i, (low, high) in enumerate(zip(table.low, table.high, strict=True)):
        inside = labels[(probability > low) & (probability <= high)]
        expected = binomtest(int(inside.sum()), len(inside)).proportion_ci(method="wilson")
        assert_allclose((display.low[i], display.high[i]), expected, atol=1e-12)
    assert [bar.get_height() for bar in display.bars_] == table.n.tolist()
    assert_array_equal(display.line_.get_xydata().T, [table.predicted, table.observed])
    assert ax.get_xlabel() == "Predicted P(A preferred)"
    assert_drawn_on(display, ax)


def test_calibration_of_weighted_pairs():
    # A pair of weight 0 is as if it were not there, even alone in its bin.
    labels, probability = [1, 0, 1, 1], [0.2, 0.3, 0.8, 0.55]
    weighted = RewardCalibrationDisplay.from_predictions(
        labels, probability, n_bins=4, sample_weight=[1, 1, 2, 0]
    )
    plain = RewardCalibrationDisplay.from_predictions(labels[:3], probability[:3], n_bins=4)
    for name in ("predicted", "observed", "low", "high", "n"):
        assert_allclose(getattr(weighted, name), getattr(plain, name))


def test_calibration_of_two_models_shares_the_counts():
    first = RewardCalibrationDisplay.from_predictions([0, 1, 1], [0.2, 0.6, 0.9], name="one")
    second = RewardCalibrationDisplay.from_predictions(
        [0, 1, 1], [0.3, 0.6, 0.9], name="two", ax=first.ax_
    )
    assert first.counts_ax_ is not None
    assert second.counts_ax_ is None
    assert first.line_.get_color() != second.line_.get_color()
    labels = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert labels == ["calibrated", "one", "two"]


def test_classes_of_any_name(reward_model):
    named = clone(reward_model).fit(PAIRS[:60], np.array(["Y", "X"])[LABELS[:60]])
    # "Y" is the greater class, so it means that A of the pair is preferred.
    display = RewardCalibrationDisplay.from_estimator(
        named, PAIRS[60:], np.array(["Y", "X"])[LABELS[60:]], n_bins=3
    )
    other = RewardCalibrationDisplay.from_estimator(
        clone(reward_model).fit(PAIRS[:60], 1 - LABELS[:60]), PAIRS[60:], 1 - LABELS[60:], n_bins=3
    )
    assert_allclose(display.observed, other.observed)
    with pytest.raises(ValueError, match=r"labels \[0\.?0?, 1\.?0?\] in y, which are not among"):
        RewardCalibrationDisplay.from_estimator(named, PAIRS[60:], LABELS[60:])


def test_distribution_of_rewards(reward_model):
    _, ax = plt.subplots()
    display = RewardDistributionDisplay.from_estimator(reward_model, PAIRS, LABELS, ax=ax)
    chosen = [a if label else b for (_, a, b), label in zip(PAIRS, LABELS, strict=True)]
    rejected = [b if label else a for (_, a, b), label in zip(PAIRS, LABELS, strict=True)]
    assert_allclose(display.chosen, reward_model.reward(chosen))
    assert_allclose(display.rejected, reward_model.reward(rejected))
    margin = (2 * LABELS - 1) * reward_model.reward_margin(PAIRS)
    assert_allclose(display.accuracy_, np.mean(margin > 0) + 0.5 * np.mean(margin == 0))
    assert f"{display.accuracy_:.1%}" in ax.get_title()
    assert ax.get_xlabel() == "Reward (nats of log-odds)"
    assert_drawn_on(display, ax)


def test_distribution_of_rewards_that_read_the_prompt():
    model = PreferenceRewardModel(vectorizer="preference").fit(PAIRS, LABELS)
    display = RewardDistributionDisplay.from_estimator(model, PAIRS, LABELS)
    margin = (2 * LABELS - 1) * model.reward_margin(PAIRS)
    assert_allclose(display.chosen - display.rejected, margin, rtol=1e-9, atol=1e-9)


def test_ties_have_no_chosen_response(reward_model):
    display = RewardDistributionDisplay.from_predictions(
        [1.0, 0.5, 0.2], [3.0, 9.0, 1.0], [2.0, 9.0, 4.0], bins=[0, 2, 5]
    )
    assert_array_equal(display.chosen, [3.0, 4.0])
    assert_array_equal(display.rejected, [2.0, 1.0])
    with pytest.raises(ValueError, match="All 2 pairs are ties"):
        RewardDistributionDisplay.from_predictions([0.5, 0.5], [0.0, 1.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="needs pairs of texts"):
        RewardDistributionDisplay.from_estimator(reward_model, np.eye(2), [0, 1])


def test_length_bias_equals_accuracy_by_hand(reward_model):
    _, ax = plt.subplots()
    display = LengthBiasDisplay.from_estimator(reward_model, PAIRS, LABELS, n_bins=4, ax=ax)
    sign = 2 * LABELS - 1
    longer = sign * np.array([len(a) - len(b) for _, a, b in PAIRS])
    margin = sign * reward_model.decision_function(PAIRS)
    edges = np.quantile(longer, [0, 0.25, 0.5, 0.75, 1])
    for i in range(4):
        inside = (longer <= edges[i + 1]) & ((longer > edges[i]) if i else True)
        right = np.mean(margin[inside] > 0)
        assert display.n[i] == inside.sum()
        assert_allclose(display.accuracy[i], right)
        assert_allclose(display.length_difference[i], np.median(longer[inside]))
        assert_allclose(display.margin[i], margin[inside].mean())
        error = margin[inside].std(ddof=1) / np.sqrt(inside.sum())
        assert_allclose(display.margin_high[i] - display.margin[i], 1.959964 * error, rtol=1e-6)
        interval = binomtest(round(right * inside.sum()), int(inside.sum())).proportion_ci(
            method="wilson"
        )
        assert_allclose((display.accuracy_low[i], display.accuracy_high[i]), interval)
    audit = length_audit(LABELS, margin * sign, longer * sign)
    assert_allclose(display.overall_accuracy, audit.accuracy)
    assert ax.get_xlabel() == "Preferred longer by (characters)"
    assert_drawn_on(display, ax)


def test_length_bias_does_not_depend_on_the_order_of_a_and_b():
    margin, length = np.array([1.0, -2.0, 0.5, 3.0]), np.array([4.0, 3.0, -2.0, 8.0])
    labels = np.array([1.0, 0.0, 0.5, 1.0])
    one = LengthBiasDisplay.from_predictions(labels, margin, length, n_bins=2)
    other = LengthBiasDisplay.from_predictions(1 - labels, -margin, -length, n_bins=2)
    assert_allclose(one.accuracy, other.accuracy)
    assert_allclose(one.margin, other.margin)
    assert one.n.sum() == 3  # the tie is left out


def test_length_bias_of_prompts_and_of_counts(reward_model):
    clustered = LengthBiasDisplay.from_estimator(
        reward_model, PAIRS, LABELS, groups=PROMPTS, n_bins=2, quantity="margin"
    )
    assert clustered.ax_.get_ylabel() == "Margin (nats)"
    clustered.figure_.canvas.draw()
    # With one prompt there is no interval.
    single = LengthBiasDisplay.from_predictions(
        [1, 0, 1], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], groups=["p"] * 3, n_bins=1
    )
    assert np.isnan(single.margin_high).all()
    single.figure_.canvas.draw()
    differences = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [0.0, -2.0]])
    model = PreferenceRewardModel().fit(differences, [1, 1, 0, 0])
    display = LengthBiasDisplay.from_estimator(model, differences, [1, 1, 0, 0], n_bins=1)
    assert display.unit == "tokens"
    assert_array_equal(display.length_difference, [1.5])


def test_length_bias_errors():
    with pytest.raises(ValueError, match="All 1 pairs are ties"):
        LengthBiasDisplay.from_predictions([0.5], [1.0], [2.0])
    with pytest.raises(ValueError, match="'accuracy' or 'margin', got 'reward'"):
        LengthBiasDisplay.from_predictions([1.0], [1.0], [2.0], quantity="reward")


def test_learning_curve_grows_by_whole_prompts():
    class Recorder(PreferenceRewardModel):
        fits = []

        def fit(self, X, y, sample_weight=None):
            self.fits.append({prompt for prompt, _, _ in X})
            return super().fit(X, y, sample_weight=sample_weight)

    _, ax = plt.subplots()
    display = PromptLearningCurveDisplay.from_estimator(
        Recorder(), PAIRS, LABELS, train_sizes=[5, 20, 30], cv=4, random_state=0, ax=ax
    )
    assert_array_equal(display.n_prompts, [5, 20, 30])
    assert display.test_scores.shape == display.train_scores.shape == (3, 4)
    sizes = np.array([len(prompts) for prompts in Recorder.fits]).reshape(3, 4)
    assert_array_equal(sizes, np.repeat([[5], [20], [30]], 4, axis=1))
    for split in range(4):
        assert Recorder.fits[split] < Recorder.fits[4 + split] < Recorder.fits[8 + split]
    assert_array_equal(display.lines_[0].get_ydata(), display.test_scores.mean(axis=1))
    assert ax.get_ylabel() == "Accuracy"
    assert ax.get_xlabel() == "Prompts in the training set"
    assert_drawn_on(display, ax)


def test_learning_curve_on_all_prompts_is_cross_validation():
    cv = GroupKFold(4)
    display = PromptLearningCurveDisplay.from_estimator(
        PreferenceRewardModel(), PAIRS, LABELS, groups=PROMPTS, train_sizes=[1.0], cv=cv,
        scoring="neg_log_loss", score_type="test",
    )  # fmt: skip
    scores = []
    for train, test in cv.split(PAIRS, LABELS, PROMPTS):
        model = PreferenceRewardModel().fit([PAIRS[i] for i in train], LABELS[train])
        probability = model.predict_proba([PAIRS[i] for i in test])
        scores.append(np.log(probability[np.arange(len(test)), LABELS[test]]).mean())
    assert_allclose(display.test_scores[0], scores, rtol=1e-6)
    assert display.ax_.get_ylabel() == "Negative log loss"
    assert len(display.lines_) == 1


def test_learning_curve_of_given_splits():
    test = np.isin(PROMPTS, PROMPTS[:30])
    display = PromptLearningCurveDisplay.from_estimator(
        PreferenceRewardModel(), PAIRS, LABELS, train_sizes=[30],
        cv=[(np.flatnonzero(~test), np.flatnonzero(test))],
    )  # fmt: skip
    model = PreferenceRewardModel().fit([PAIRS[i] for i in np.flatnonzero(~test)], LABELS[~test])
    score = model.score([PAIRS[i] for i in np.flatnonzero(test)], LABELS[test])
    assert_allclose(display.test_scores, [[score]])


def test_learning_curve_is_seeded():
    one, other = (
        PromptLearningCurveDisplay.from_estimator(
            PreferenceRewardModel(), PAIRS, LABELS, cv=3, random_state=7
        )
        for _ in range(2)
    )
    assert_array_equal(one.n_prompts, other.n_prompts)
    assert_array_equal(one.test_scores, other.test_scores)


def test_iterations_are_whole_numbers():
    display = TrainingCurveDisplay(iteration=np.arange(4.0), values={"loss": np.ones(4)}).plot()
    ticks = display.ax_.get_xticks()
    assert_array_equal(ticks, np.round(ticks))


def test_learning_curve_over_a_wide_range_is_logarithmic():
    display = PromptLearningCurveDisplay(
        n_prompts=[5, 500], train_scores=np.ones((2, 2)), test_scores=np.ones((2, 2)), name="m"
    ).plot(score_type="train", score_name="AUC")
    assert display.ax_.get_xscale() == "log"
    assert display.lines_[0].get_label() == "m, training prompts"
    assert display.ax_.get_ylabel() == "AUC"
    with pytest.raises(ValueError, match="got 'validation'"):
        display.plot(score_type="validation")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cv": KFold(3)}, r"KFold\(.*puts a prompt on both sides"),
        ({"train_sizes": [99]}, r"from 1 to 30.*got \[99\]"),
        ({"train_sizes": [0.0, 0.5]}, r"shares in \(0, 1\], got \[0\.0, 0\.5\]"),
    ],
)
def test_learning_curve_errors(options, message):
    options = {"cv": 4, **options}
    with pytest.raises(ValueError, match=message):
        PromptLearningCurveDisplay.from_estimator(
            PreferenceRewardModel(), PAIRS, LABELS, random_state=0, **options
        )


def test_learning_curve_needs_prompts():
    pairs = [(a, b) for _, a, b in PAIRS]
    with pytest.raises(ValueError, match=r"X has none\. Pass groups="):
        PromptLearningCurveDisplay.from_estimator(PreferenceRewardModel(), pairs, LABELS)


def _make_search():
    return GridSearchCV(make_loop(), {"policy__kl_coef": [1.0, 2.0]}, cv=RecordKFold(2))


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (make_loop, ["RLHFPipeline", "PPOPolicyOptimizer"]),
        (lambda: make_loop()["policy"], ["PPOPolicyOptimizer"]),
        (_make_search, ["GridSearchCV", "RLHFPipeline"]),
    ],
    ids=["pipeline", "policy", "search"],
)
def test_progress_bars(make, names, capsys):
    pytest.importorskip("rich")
    estimator = make()
    if isinstance(estimator, PPOPolicyOptimizer):
        X, y = COUNTS, [1.0, 0.0, 0.5]
    else:
        X, y = RECORDS, None
    estimator.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
    assert "100%" in printed


def test_tasks_of_a_search_are_nested():
    callback = contract.RecordingCallback()
    _make_search().set_callbacks(callback).fit(RECORDS)
    contract.assert_balanced(callback)
    begun = [name for name, _ in callback.named("begin")]
    # Two candidates, two folds, one refit.
    assert callback.named("begin").count(["RLHFPipeline", "fit"]) == 5
    assert {"GridSearchCV", "RLHFPipeline", "PPOPolicyOptimizer"} <= set(begun)
