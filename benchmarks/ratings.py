r"""Ratings of models beside peers that fit the same model: equal, and how long each takes.

    python benchmarks/ratings.py              # 1,000 models, 100,000 votes: figures and ratios
    python benchmarks/ratings.py coverage     # 1,000 replications: intervals and sets of ranks
    python benchmarks/ratings.py two-ways     # the same where prompts have tastes too
    python benchmarks/ratings.py --models 50 --votes 5000 --repeats 1 --peers evalica \
        LogisticRegression choix statsmodels arena-rank    # all peers, of which some are slow

Needs choix and scikit-learn, and what is installed of evalica, arena-rank and statsmodels. Times
are of names, as votes come, to ratings; ratios are to the fastest in the same run.
"""

import argparse
import time
import warnings
from importlib.util import find_spec

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from sklearn_codex import ModelRatings

NAMES = {"evalica": "evalica", "arena-rank": "arena_rank", "statsmodels": "statsmodels"}


def draw_votes(n_models, n_votes, seed=0):
    """Return names of models (n, 2) and who won, 1 for A."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=n_models)
    a = rng.integers(n_models, size=n_votes)
    b = (a + rng.integers(1, n_models, size=n_votes)) % n_models
    y = rng.uniform(size=n_votes) < 1 / (1 + np.exp(theta[b] - theta[a]))
    names = np.array([f"model-{i:04d}" for i in range(n_models)], dtype=object)
    return np.column_stack([names[a], names[b]]), y.astype(float)


def centred(values):
    return values - values.mean()


def by_ours(X, y):
    return ModelRatings(alpha=0.0).fit(X, y).ratings_


def _codes(X):
    """Return the codes of names (n, 2), as peers take them."""
    names, codes = np.unique(X.astype(str).ravel(), return_inverse=True)
    return len(names), codes.reshape(X.shape)


def by_logistic_regression(X, y):
    n_models, codes = _codes(X)
    n = len(y)
    rows = np.repeat(np.arange(n), 2)
    design = sp.csr_array((np.tile([1.0, -1.0], n), (rows, codes.ravel())), shape=(n, n_models))
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-6, max_iter=1000)
    return centred(model.fit(design, y).coef_[0])


def by_choix(X, y):
    import choix

    n_models, codes = _codes(X)
    wins = np.where(y[:, None] == 1, codes, codes[:, ::-1])
    return centred(choix.opt_pairwise(n_models, wins, alpha=0.0, tol=1e-9))


def by_evalica(X, y):
    import evalica

    winners = [evalica.Winner.X if won else evalica.Winner.Y for won in y]
    start = time.perf_counter()
    scores = evalica.bradley_terry(X[:, 0], X[:, 1], winners, tolerance=1e-8, limit=10_000).scores
    by_evalica.seconds = time.perf_counter() - start
    return centred(np.log(scores.sort_index().to_numpy()))


def by_arena_rank(X, y):
    import pandas as pd
    from arena_rank.models.bradley_terry import BradleyTerry
    from arena_rank.utils.data_utils import PairDataset

    frame = pd.DataFrame({"model_a": X[:, 0], "model_b": X[:, 1]})
    frame["winner"] = np.where(y == 1, "model_a", "model_b")
    data = PairDataset.from_pandas(frame)
    model = BradleyTerry(n_competitors=len(data.competitors), scale=1.0, base=np.e, init_rating=0.0)
    model.fit(data)
    order = np.argsort(data.competitors)
    return centred(np.asarray(model.params["ratings"])[order])


def by_statsmodels(X, y):
    import statsmodels.api as sm

    n_models, codes = _codes(X)
    design = np.zeros((len(y), n_models))
    design[np.arange(len(y)), codes[:, 0]] = 1.0
    design[np.arange(len(y)), codes[:, 1]] = -1.0
    fit = sm.GLM(y, design[:, 1:], family=sm.families.Binomial()).fit(tol=1e-12)
    return centred(np.append(0.0, fit.params))


PEERS = {
    "LogisticRegression": by_logistic_regression,
    "evalica": by_evalica,
    "arena-rank": by_arena_rank,
    "choix": by_choix,
    "statsmodels": by_statsmodels,
}


def compare(n_models, n_votes, repeats, names):
    X, y = draw_votes(n_models, n_votes)
    known = [name for name in names if name not in NAMES or find_spec(NAMES[name])]
    methods = {"ModelRatings": by_ours, **{name: PEERS[name] for name in known}}
    found, seconds = {}, {name: [] for name in methods}
    for _ in range(repeats):
        for name, method in methods.items():
            start = time.perf_counter()
            found[name] = method(X, y)
            whole = time.perf_counter() - start
            seconds[name].append(getattr(method, "seconds", whole))
    fastest = min(np.median(times) for times in seconds.values())
    for name, times in seconds.items():
        apart = np.abs(found[name] - found["ModelRatings"]).max()
        print(
            f"{name:20} {np.median(times):8.3f} s (least {min(times):.3f})  ratio to the fastest "
            f"{np.median(times) / fastest:6.2f}  greatest difference {apart:.1e}"
        )


def draw_clustered(rng, theta, n_voters, n_each, spread):
    """Votes of people who each have a taste of their own, shared by all their votes."""
    n_models = len(theta)
    voter = np.repeat(np.arange(n_voters), n_each)
    taste = spread * rng.normal(size=(n_voters, n_models))
    a = rng.integers(n_models, size=len(voter))
    b = (a + rng.integers(1, n_models, size=len(voter))) % n_models
    margin = theta[a] - theta[b] + taste[voter, a] - taste[voter, b]
    y = rng.uniform(size=len(voter)) < 1 / (1 + np.exp(-margin))
    names = np.array([f"m{i}" for i in range(n_models)], dtype=object)
    return np.column_stack([names[a], names[b]]), y.astype(float), voter


def attained(theta, spread, n=1_000_000):
    """Ratings to which the fit tends, which tastes bring nearer to each other."""
    X, y, _ = draw_clustered(np.random.default_rng(12345), theta, n // 10, 10, spread)
    return ModelRatings().fit(X, y).ratings_


def coverage(replications, n_voters, n_each, spread, level=0.95):
    """Print how often intervals of ratings hold, and all ranks are in their sets."""
    for what, theta in (
        ("spread", np.linspace(-1, 1, 8)),
        ("all equal", np.zeros(8)),
        ("four equal", np.array([-1, -0.5, 0, 0, 0, 0, 0.5, 1])),
    ):
        truth = attained(theta, spread) if theta.any() else theta
        held = {"by voter": [], "votes alone": []}
        ranks, false = [], []
        rank = np.array([[np.sum(theta > t) + 1, len(theta) - np.sum(theta < t)] for t in theta])
        for seed in range(replications):
            rng = np.random.default_rng(seed)
            X, y, voter = draw_clustered(rng, theta, n_voters, n_each, spread)
            for name, groups in (("by voter", voter), ("votes alone", None)):
                model = ModelRatings(random_state=0, confidence_level=level)
                model.fit(X, y, groups=groups)
                low, high = model.rating_interval().T
                held[name].append((low <= truth) & (truth <= high))
                if name == "by voter":
                    sets = model.rank_sets_
                    # Of models that are equal every rank of theirs has to be in the set.
                    ranks.append(((sets[:, 0] <= rank[:, 0]) & (rank[:, 1] <= sets[:, 1])).all())
                    table = model.comparisons("holm")
                    told = table["p_adjusted"] < 1 - level
                    place = {name: i for i, name in enumerate(model.models_)}
                    wrong = [
                        theta[place[a]] <= theta[place[b]]
                        for a, b in zip(table["model_a"][told], table["model_b"][told], strict=True)
                    ]
                    false.append(any(wrong))
        by = {name: f"{np.mean(values):.3f}" for name, values in held.items()}
        print(
            f"{what}: intervals at {level} hold {by}; all sets of ranks hold {np.mean(ranks):.3f}; "
            f"a false difference by Holm {np.mean(false):.3f} ({replications} replications)"
        )


def two_ways(replications, n_voters, n_prompts, n_votes, spread, level=0.95):
    """Print how often intervals hold where votes of one voter, and on one prompt, are alike."""
    held = {"by both": [], "by voter": [], "by prompt": [], "votes alone": []}
    for seed in range(replications):
        rng = np.random.default_rng(seed)
        voter, prompt = rng.integers(n_voters, size=n_votes), rng.integers(n_prompts, size=n_votes)
        taste = rng.normal(size=(n_voters, 8))[voter] + rng.normal(size=(n_prompts, 8))[prompt]
        a = rng.integers(8, size=n_votes)
        b = (a + rng.integers(1, 8, size=n_votes)) % 8
        at = np.arange(n_votes)
        margin = spread * (taste[at, a] - taste[at, b])
        y = (rng.uniform(size=n_votes) < 1 / (1 + np.exp(-margin))).astype(float)
        X = np.array([f"m{i}" for i in range(8)], dtype=object)[np.column_stack([a, b])]
        both = np.column_stack([voter, prompt])
        for name, groups in zip(held, (both, voter, prompt, None), strict=True):
            model = ModelRatings(random_state=0, confidence_level=level).fit(X, y, groups=groups)
            low, high = model.rating_interval().T
            held[name].append((low <= 0) & (high >= 0))
    by = {name: f"{np.mean(values):.3f}" for name, values in held.items()}
    print(
        f"{n_voters} voters, {n_prompts} prompts, {n_votes} votes: intervals at {level} hold {by} "
        f"({replications} replications)"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what", nargs="?", default="peers", choices=("peers", "coverage", "two-ways")
    )
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--votes", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    # The others solve with a dense matrix of all votes or models each step, for minutes.
    fast = [name for name in PEERS if name not in ("statsmodels", "choix")]
    parser.add_argument("--peers", nargs="*", default=fast)
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--voters", type=int, default=60)
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--spread", type=float, default=1.0)
    arguments = parser.parse_args()
    warnings.simplefilter("error", category=UserWarning)
    if arguments.what == "peers":
        compare(arguments.models, arguments.votes, arguments.repeats, arguments.peers)
    elif arguments.what == "two-ways":
        n_votes = arguments.voters * arguments.each
        two_ways(
            arguments.replications, arguments.voters, arguments.prompts, n_votes, arguments.spread
        )
    else:
        coverage(arguments.replications, arguments.voters, arguments.each, arguments.spread)


if __name__ == "__main__":
    main()
