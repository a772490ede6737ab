"""Losses and advantages of the laboratory: by hand, by differences, and against each other."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, log_softmax

from sklearn_codex import lab
from sklearn_codex.lab import _batch
from sklearn_codex.lab._advantages._arrays import whiten

MODES = ["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"]
MASK = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]], dtype=bool)
POLICY_LOSSES = {
    "policy_gradient": {},
    "ppo": {"clip_ratio_low": 0.3, "clip_ratio_high": 0.5, "clip_ratio_c": 1.7},
    "gspo": {"clip_ratio_low": 0.2, "clip_ratio_high": 0.3},
}
PAIR_OPTIONS = {
    "dpo": {"beta": 0.7, "label_smoothing": 0.2},
    "ipo": {"beta": 0.7},
    "hinge": {"beta": 0.7},
    "simpo": {"beta": 1.7, "simpo_gamma": 0.4},
    "cpo": {"beta": 0.7, "cpo_alpha": 0.6},
    "orpo": {"beta": 0.7},
    "kto": {"beta": 0.7, "desirable_weight": 1.3, "undesirable_weight": 0.6},
}


def token_arrays(seed=0):
    rng = np.random.RandomState(seed)
    old, new = -1 - rng.exponential(size=(2, *MASK.shape))
    return old, old + 0.5 * (new - old), rng.standard_normal(MASK.shape)


def differences(function, x, step=1e-6):
    """Return the gradient of a function of an array by central differences."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (function(up) - function(down)) / (2 * step)
    return gradient


class TestPolicyLosses:
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("name", POLICY_LOSSES)
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_gradients_are_those_of_the_loss(self, name, mode, seed):
        old, new, worth = token_arrays(seed)
        loss, options = lab.losses[name], POLICY_LOSSES[name]
        worth = np.repeat(worth[:, :1], 4, axis=1) if name == "gspo" else worth
        _, gradient = loss(old, new, worth, MASK, mode, **options)
        found = differences(lambda x: loss(old, x, worth, MASK, mode, **options)[0], new)
        assert_allclose(gradient, found, atol=1e-8)
        assert (gradient[~MASK] == 0).all()

    def test_clipping_is_active_in_those_cases(self):
        old, new, worth = token_arrays(0)
        _, gradient = lab.ppo_loss(old, new, worth, MASK, **POLICY_LOSSES["ppo"])
        assert 0 < (gradient[MASK] == 0).sum() < MASK.sum()

    def test_weights_of_tokens_by_hand(self):
        mask = [[True, True, True], [True, False, False]]
        weights = [_batch.token_weights(mask, mode) for mode in MODES]
        assert_allclose(weights[0], [[1 / 4] * 3, [1 / 4, 0, 0]])
        assert_allclose(weights[1], [[1 / 2] * 3, [1 / 2, 0, 0]])
        assert_allclose(weights[2], [[1 / 6] * 3, [1 / 2, 0, 0]])
        assert_allclose(weights[3], [[1 / 6] * 3, [1 / 6, 0, 0]])
        with pytest.raises(ValueError, match=r"loss_agg_mode, one of .* got 'mean'"):
            _batch.token_weights(mask, "mean")

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("name", ["policy_gradient", "ppo", "gspo", "cispo"])
    def test_a_response_that_is_all_padding(self, name, mode):
        mask = np.array([[True, True], [False, False]])
        loss, gradient = lab.losses[name](
            np.zeros((2, 2)), np.zeros((2, 2)), -np.ones((2, 2)), mask, mode
        )
        whole, of_whole = lab.losses[name](
            np.zeros((1, 2)), np.zeros((1, 2)), -np.ones((1, 2)), mask[:1], mode
        )
        # It counts as a response and adds nothing.
        share = 1 if mode == "token-mean" else 2
        assert_allclose([loss, *gradient[0]], np.array([whole, *of_whole[0]]) / share)
        assert (gradient[1] == 0).all()

    def test_clip_by_hand(self):
        ratio = np.array([[0.5, 0.7, 1.2, 1.27, 2.0, 5.0]])
        worth = np.array([[2.0, -2.0, 1.0, 1.0, -1.0, -1.0]])
        mask = np.ones((1, 6), dtype=bool)
        options = {"clip_ratio": 0.2, "clip_ratio_high": 0.28, "clip_ratio_c": 3.0}
        loss, gradient = lab.ppo_loss(
            np.zeros((1, 6)), np.log(ratio), worth, mask, "seq-mean-token-sum", **options
        )
        # Below 1 - l only what should fall is clipped, above 1 + h only what should rise.
        assert_allclose(loss, -1.0 + 1.6 - 1.2 - 1.27 + 2.0 + 3.0)
        assert_allclose(gradient, [[-1.0, 0.0, -1.2, -1.27, 2.0, 0.0]])

    def test_the_ratio_of_a_sequence_is_a_geometric_mean(self):
        old = np.log([[0.5, 0.4]])
        new = np.log([[0.6, 0.6]])
        ratio = np.sqrt(0.36 / 0.2)
        options = {"clip_ratio_high": 1.0}
        loss, gradient = lab.gspo_loss(old, new, [[2.0, 2.0]], [[True, True]], **options)
        assert_allclose(loss, -2 * ratio)
        assert_allclose(gradient, [[-ratio, -ratio]])
        _, clipped = lab.gspo_loss(old, new, [[2.0, 2.0]], [[True, True]])
        assert (clipped == 0).all()

    def test_cispo_stops_the_gradient_of_the_weight(self):
        old, new, worth = token_arrays(3)
        weight = np.clip(np.exp(new - old), 0.9, 1.1)
        options = {"clip_ratio_low": 0.1, "clip_ratio_high": 0.1}
        _, gradient = lab.cispo_loss(old, new, worth, MASK, "seq-mean-token-sum", **options)
        assert_allclose(gradient, np.where(MASK, -weight * worth / 3, 0))
        assert (gradient[MASK] != 0).all()

    @pytest.mark.parametrize("name", ["policy_gradient", "ppo", "gspo", "cispo"])
    def test_on_policy_all_are_policy_gradient(self, name):
        old, _, _ = token_arrays()
        worth = np.repeat([[0.7], [-0.4], [1.3]], 4, axis=1)
        mode = "seq-mean-token-mean"
        _, gradient = lab.losses[name](old, old, worth, MASK, mode)
        _, plain = lab.policy_gradient_loss(old, old, worth, MASK, mode)
        assert_allclose(gradient, plain)

    @pytest.mark.parametrize("name", [*POLICY_LOSSES, "cispo"])
    def test_padding_may_hold_anything(self, name):
        old, new, worth = token_arrays()
        loss, gradient = lab.losses[name](old, new, worth, MASK)
        for array in (old, new, worth):
            array[~MASK] = np.nan
        found = lab.losses[name](old, new, worth, MASK)
        assert_allclose(found[0], loss)
        assert_allclose(found[1], gradient)


class TestKL:
    @pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
    @pytest.mark.parametrize("corrected", [False, True])
    def test_derivatives(self, estimator, corrected):
        ref, new, _ = token_arrays()
        old = ref + 0.3 if corrected else None

        def total(x):
            return lab.kl_penalty(x, ref, estimator, old_log_prob=old)[0].sum()

        _, slope = lab.kl_penalty(new, ref, estimator, old_log_prob=old)
        assert_allclose(slope, differences(total, new), atol=1e-7)

    @pytest.mark.parametrize(
        ("estimator", "corrected", "kind"),
        [
            ("k1", False, "none"), ("k2", False, "reverse"), ("k3", False, "forward"),
            ("k1", True, "reverse"), ("k3", True, "reverse"),
        ],
    )  # fmt: skip
    def test_expected_gradients_are_those_that_are_claimed(self, estimator, corrected, kind):
        rng = np.random.RandomState(4)
        logits, ref = rng.standard_normal(5), log_softmax(rng.standard_normal(5))

        def divergence(x):
            log_prob = log_softmax(x)
            if kind == "reverse":
                return np.exp(log_prob) @ (log_prob - ref)
            return np.exp(ref) @ (ref - log_prob) if kind == "forward" else 0.0

        log_prob = log_softmax(logits)
        prob, old = np.exp(log_prob), log_prob if corrected else None
        _, slope = lab.kl_penalty(log_prob, ref, estimator, old_log_prob=old)
        expected = prob * slope - prob * (prob @ slope)
        assert_allclose(expected, differences(divergence, logits), atol=1e-8)

    def test_values_are_estimates_of_the_kl(self):
        rng = np.random.RandomState(5)
        log_prob, ref = log_softmax(rng.standard_normal((2, 6)), axis=1)
        kl = np.exp(log_prob) @ (log_prob - ref)
        for estimator in ("k1", "k3"):
            assert_allclose(np.exp(log_prob) @ lab.kl_penalty(log_prob, ref, estimator)[0], kl)
        with pytest.raises(ValueError, match="estimator, one of 'k1', 'k2', 'k3', got 'k4'"):
            lab.kl_penalty(log_prob, ref, "k4")

    def test_rewards_less_the_kl_by_hand(self):
        rewards = lab.shape_rewards([[0, 3]], [[-1, -2]], [[-2, -2.5]], [[True, False]], 0.4, "k2")
        assert_allclose(rewards, [[-0.2, 0.0]])


class TestPairLosses:
    @pytest.mark.parametrize("name", PAIR_OPTIONS)
    @pytest.mark.parametrize("seed", [0, 1])
    def test_gradients_are_those_of_the_loss(self, name, seed):
        rng = np.random.RandomState(seed)
        pairs = -0.2 - rng.exponential(size=(7, 2))
        ref = -0.2 - rng.exponential(size=(7, 2))
        lengths = rng.randint(1, 5, size=(7, 2))
        loss = lab.losses[name]
        others = lengths if name in ("simpo", "cpo", "orpo") else ref
        more = (0.3,) if name == "kto" else ()

        def value(x):
            out = loss(x[:, 0], x[:, 1], others[:, 0], others[:, 1], *more, **PAIR_OPTIONS[name])
            return out[0].sum()

        _, chosen, rejected = loss(*pairs.T, *others.T, *more, **PAIR_OPTIONS[name])
        assert_allclose(np.stack([chosen, rejected], 1), differences(value, pairs), atol=1e-7)

    def test_nash_md_takes_its_advantage_for_a_number(self):
        loss, gradient = lab.nash_md_loss([-1.5], [-1.0], [0.8], beta=0.4)
        assert_allclose(gradient, [-(0.3 - 0.4 * -0.5)])
        assert_allclose(loss, -1.5 * gradient)

    def test_values_by_hand(self):
        pair = ([-1.0], [-3.0], [-1.5], [-2.0])  # a margin of 1.5 nats
        assert_allclose(lab.dpo_loss(*pair, beta=2.0)[0], -np.log(expit(3.0)))
        smooth = lab.dpo_loss(*pair, beta=2.0, label_smoothing=0.1)[0]
        assert_allclose(smooth, -0.9 * np.log(expit(3.0)) - 0.1 * np.log(expit(-3.0)))
        assert_allclose(lab.ipo_loss(*pair, beta=0.25)[0], (1.5 - 2.0) ** 2)
        assert_allclose(lab.hinge_loss(*pair, beta=0.5)[0], 0.25)
        kto = lab.kto_loss(*pair, [0.2], beta=2.0, desirable_weight=3.0)[0]
        assert_allclose(kto, 3 * (1 - expit(2 * 0.3)) + 1 - expit(2 * 1.2))
        free = ([-1.0], [-3.0], [2], [3])
        simpo = lab.simpo_loss(*free, beta=2.0, simpo_gamma=0.4)[0]
        assert_allclose(simpo, -np.log(expit(2 * (-0.5 + 1.0) - 0.4)))
        cpo = lab.cpo_loss(*free, beta=0.5, cpo_alpha=3.0)[0]
        assert_allclose(cpo, -np.log(expit(1.0)) + 1.5)
        odds = [np.exp(x) / (1 - np.exp(x)) for x in (-0.5, -1.0)]
        orpo = lab.orpo_loss(*free, beta=0.7)[0]
        assert_allclose(orpo, 0.5 - 0.7 * np.log(expit(np.log(odds[0] / odds[1]))))


class TestAdvantages:
    rewards = np.array([[0, 2, 0], [0, 0, 5], [1, 0, 0], [4, 0, 0], [0, 7, 0]], dtype=float)
    mask = np.array([[1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 0, 0], [1, 1, 0]], dtype=bool)
    index = np.array(["b", "b", "a", "b", "a"])

    def test_groups_by_hand(self):
        rloo = lab.rloo_advantage(self.rewards, self.mask, self.index)[0]
        assert_allclose(rloo[:, 0], [2 - 4.5, 5 - 3, 1 - 7, 4 - 3.5, 7 - 1])
        grpo = lab.grpo_advantage(self.rewards, self.mask, self.index, epsilon=0.5)[0]
        deviation = [np.std([2, 5, 4], ddof=1), np.std([1, 7], ddof=1)]
        centred = np.array([-5 / 3, 4 / 3, -3, 1 / 3, 3])
        assert_allclose(grpo[:, 0], centred / (np.array(deviation)[[0, 0, 1, 0, 1]] + 0.5))
        plain = lab.grpo_advantage(
            self.rewards, self.mask, self.index, norm_adv_by_std_in_grpo=False
        )[0]
        sizes = np.array([3, 3, 2, 3, 2])[:, np.newaxis]
        assert_allclose(plain * sizes / (sizes - 1), rloo)
        for advantage in (rloo, grpo, plain):
            assert (advantage[~self.mask] == 0).all()
            assert_allclose(advantage[1], advantage[1, 0])

    def test_equal_rewards_have_no_advantage(self):
        rewards = np.full((3, 1), 0.1) * [[1.0], [3.0], [1.0]] / [[1.0], [3.0], [1.0]]
        grpo = lab.grpo_advantage(rewards, np.ones((3, 1), bool), [0, 0, 0])[0]
        assert np.abs(grpo).max() == 0

    def test_reinforce_and_remax_by_hand(self):
        advantages, returns = lab.reinforce_advantage(
            [[1.0, 2.0, 9.0]], [[True, True, False]], baseline=0.5, gamma=0.5
        )
        assert_allclose(returns, [[2, 2, 0]])
        assert_allclose(advantages, [[1.5, 1.5, 0]])
        remax = lab.remax_advantage(self.rewards, [1, 2, 3, 4, 5], self.mask)[0]
        assert_allclose(remax[1], [3, 3, 3])
        assert_allclose(remax[4], [2, 2, 0])

    def test_whitening_is_over_tokens(self):
        values = np.array([[1.0, 2.0], [6.0, 99.0]])
        mask = np.array([[True, True], [True, False]])
        found = whiten(values, mask, epsilon=0)
        assert_allclose(found, np.array([[-2.0, -1.0], [3.0, 0.0]]) / np.sqrt(7))
        plus = lab.reinforce_plus_plus_advantage(self.rewards, self.mask)[0]
        assert_allclose(plus[self.mask].mean(), 0, atol=1e-12)
        assert_allclose(plus[self.mask].var(ddof=1), 1)
        based = lab.reinforce_plus_plus_baseline_advantage(self.rewards, self.mask, self.index)[0]
        centred = np.repeat([-5 / 3, 4 / 3, -3, 1 / 3, 3], [2, 3, 1, 1, 2])
        apart = centred - centred.mean()
        assert_allclose(based[self.mask], apart / apart.std(ddof=1))

    def test_gae_is_the_sum_of_its_steps(self):
        rng = np.random.RandomState(0)
        values = rng.standard_normal(self.rewards.shape)
        gamma, lam = 0.9, 0.7
        advantages, returns = lab.gae_advantage(self.rewards, values, self.mask, gamma, lam)
        for i, t in itertools.product(range(5), range(3)):
            length = self.mask[i].sum()
            if t >= length:
                assert advantages[i, t] == returns[i, t] == 0
                continue
            v = np.append(values[i, :length], 0.0)
            steps = self.rewards[i, :length] + gamma * v[1:] - v[:-1]
            weights = (gamma * lam) ** np.arange(length - t)
            assert_allclose(advantages[i, t], weights @ steps[t:])
            assert_allclose(returns[i, t], advantages[i, t] + values[i, t])
        white, _ = lab.gae_advantage(
            self.rewards, values, self.mask, gamma, lam, whiten_advantages=True
        )
        assert_allclose(white, whiten(advantages, self.mask))

    def test_stacks_are_done_one_by_one(self):
        rng = np.random.RandomState(1)
        rewards = rng.standard_normal((4, *self.mask.shape))
        mask = np.stack([self.mask, self.mask[::-1], self.mask[::-1], self.mask])
        values = rng.standard_normal(rewards.shape)
        source = {"index": self.index, "gamma": 1.0}
        for name, advantage in lab.advantages.items():
            per_batch = {"values": values, "reward_baselines": values[..., 0]}
            names = advantage.__code__.co_varnames[: advantage.__code__.co_argcount]
            kept = {k: v for k, v in source.items() if k in names}

            def call(rewards, mask, pick, names=names, kept=kept, f=advantage, of=per_batch):
                more = {k: pick(v) for k, v in of.items() if k in names}
                return f(token_level_rewards=rewards, response_mask=mask, **more, **kept)[0]

            whole = call(rewards, mask, lambda x: x)
            for i in range(4):
                one = call(rewards[i], mask[i], lambda x, i=i: x[i])
                assert_allclose(whole[i], one, err_msg=name)

    def test_what_is_refused(self):
        with pytest.raises(ValueError, match=r"rloo_advantage compares .* group 'a' has a single"):
            lab.rloo_advantage(self.rewards[:3], self.mask[:3], self.index[:3])
        with pytest.raises(ValueError, match=r"needs index, the group of each of 5 .* \(4,\)"):
            lab.grpo_advantage(self.rewards, self.mask, self.index[:4])
        with pytest.raises(ValueError, match=r"one shape .* got \(5, 3\) and \(4, 3\)"):
            lab.remax_advantage(self.rewards, np.zeros(5), self.mask[:4])

    @pytest.mark.parametrize("name", ["policy_gradient", "ppo", "gspo", "cispo"])
    def test_policy_losses_take_one_shape(self, name):
        square = np.zeros((3, 3))
        # An advantage of each response would be one of each token, where there are as many.
        with pytest.raises(ValueError, match=rf"{name}_loss needs .* got \(3, 3\), .*\(3,\), "):
            lab.losses[name](square, square, np.ones(3), square == 0)

    @pytest.mark.parametrize("name", PAIR_OPTIONS)
    def test_pair_losses_take_one_shape(self, name):
        more = ([0.0],) if name == "kto" else ()
        with pytest.raises(ValueError, match=rf"{name}_loss needs .* got \(1,\), \(1,\), \(1, 1\)"):
            lab.losses[name]([-1.0], [-1.0], [[1.0]], [1.0], *more)
        with pytest.raises(ValueError, match=rf"{name}_loss needs a finite beta > 0, got -1"):
            lab.losses[name]([-1.0], [-1.0], [1.0], [1.0], *more, beta=-1)

    def test_other_options(self):
        with pytest.raises(ValueError, match=r"label_smoothing from 0 to below 0.5, got 0.5"):
            lab.dpo_loss([-1.0], [-1.0], [-1.0], [-1.0], label_smoothing=0.5)
        with pytest.raises(ValueError, match="nash_md_loss needs a finite beta > 0, got 0"):
            lab.nash_md_loss([-1.0], [-1.0], [0.5], beta=0)
