"""What all tests of displays share: pairs, a backend without a screen, figures closed."""

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
plt = pytest.importorskip("matplotlib.pyplot")


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
def close_figures():
    yield
    plt.close("all")


def assert_drawn_on(display, ax):
    """A display is on the axes given, has labels, and its figure can be rendered."""
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert ax.get_xlabel()
    display.figure_.canvas.draw()
