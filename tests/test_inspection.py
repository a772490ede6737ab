"""Displays of policies: what they compute, where they draw; and progress bars."""

import subprocess
import sys

import contract
import numpy as np
import pytest
from displays import (
    assert_drawn_on,
    close_figures,  # noqa: F401
    plt,
)
from loops import RECORDS, make_loop
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.callback import ProgressBar
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV

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
    OveroptimizationDisplay,
    TokenShiftDisplay,
    TrainingCurveDisplay,
)
from sklearn_codex.model_selection import RecordKFold

WEIGHTS = np.array([0.4, -0.3, 0.1, 0.0, -0.5])
COUNTS = np.array([[2, 1, 1, 3, 1], [1, 3, 0, 2, 2], [0, 1, 4, 2, 1]])


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
    with pytest.raises(NotFittedError, match="PPOPolicyOptimizer instance is not fitted yet"):
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
    with pytest.raises(ValueError, match="needs kl_scale, one of 'linear', 'sqrt', got 'log'"):
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
    with pytest.raises(
        ValueError, match="needs quantity, one of 'change', 'log_ratio', got 'ratio'"
    ):
        display.plot(quantity="ratio")


def test_iterations_are_whole_numbers():
    display = TrainingCurveDisplay(iteration=np.arange(4.0), values={"loss": np.ones(4)}).plot()
    ticks = display.ax_.get_xticks()
    assert_array_equal(ticks, np.round(ticks))


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
