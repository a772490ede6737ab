"""How much of a reward is who wrote it: planted truths at both ends and between."""

import numpy as np
import pytest
from scipy.special import expit

from sklearn_codex import PreferenceRewardModel, author_share


def draw(by_author, by_content, n=900, seed=0):
    """Pairs with a feature that is the author's, and one that is not."""
    rng = np.random.default_rng(seed)
    quality = np.linspace(-1, 1, 4)
    authors = rng.integers(4, size=(n, 2))
    content = rng.normal(size=n)
    told = quality[authors[:, 0]] - quality[authors[:, 1]]
    y = (rng.uniform(size=n) < expit(by_author * told + by_content * content)).astype(float)
    return np.column_stack([told, content]), y, np.array(["p", "q", "r", "s"])[authors]


@pytest.mark.parametrize(
    ("by_author", "by_content", "share"), [(1.5, 0.0, 1.0), (0.0, 1.5, 0.0), (1.0, 0.8, 0.5)]
)
def test_the_share_is_what_was_planted(by_author, by_content, share):
    X, y, authors = draw(by_author, by_content)
    groups = np.arange(len(y)) // 3
    found = author_share(PreferenceRewardModel(), X, y, authors, groups=groups)
    assert found.share == pytest.approx(share, abs=0.15)
    assert 0 < found.share_std < 0.2
    assert found.gain_both >= max(found.gain_reward, found.gain_authors) - 0.01
    assert found.share == pytest.approx(
        1 - (found.gain_both - found.gain_authors) / found.gain_reward
    )


def test_gains_are_of_labels_that_were_held_out():
    X, _, authors = draw(1.0, 1.0)
    y = np.random.default_rng(1).integers(2, size=len(X)).astype(float)
    found = author_share(PreferenceRewardModel(C=100), X, y, authors)
    assert max(found.gain_reward, found.gain_authors, found.gain_both) < 0.01


def test_a_reward_that_predicts_nothing_has_no_share():
    X, y, authors = draw(1.0, 1.0, n=60)
    with pytest.warns(UserWarning, match=r"no share, NaN: .*by 0 nats a pair.*better estimator"):
        found = author_share(PreferenceRewardModel(), np.zeros_like(X), y, authors)
    assert found.gain_reward == 0
    assert np.isnan(found.share)


def test_authors_of_both_are_needed():
    X, y, authors = draw(1.0, 1.0, n=60)
    with pytest.raises(ValueError, match=r"authors of shape \(60, 2\).*got \(60, 1\)"):
        author_share(PreferenceRewardModel(), X, y, authors[:, :1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        author_share(PreferenceRewardModel(), X[:5], y, authors)
    with pytest.raises(ValueError, match="at least 2 of them, got 1"):
        author_share(PreferenceRewardModel(), X, y, authors, groups=np.zeros(60))
