"""What ``sklearn-codex demo`` does: the whole loop on real code, each stage with its figures.

Imported when the command runs, see ``_models``.
"""

import shlex
import sys
import tempfile
import time
from io import BytesIO
from itertools import zip_longest
from pathlib import Path

import numpy as np
from sklearn.callback import ProgressBar
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils import Bunch

from sklearn_codex import NGramLM, save_model
from sklearn_codex._data.fitted_models import freeze
from sklearn_codex.cli._demo_files import DEMO, FIGURES, HELD_OUT, MODEL, PICTURE, PREFERENCES
from sklearn_codex.cli._demo_frontier import draw_frontier
from sklearn_codex.cli._demo_models import LENGTH, fit_demo
from sklearn_codex.cli._demo_samples import held_out_prompts, show_completions
from sklearn_codex.cli._demo_verdict import judge_demo, verdict_of
from sklearn_codex.cli._models import order_of
from sklearn_codex.datasets import load_stdlib_code
from sklearn_codex.inspection import FrontierDisplay
from sklearn_codex.model_selection import record_train_test_split
from sklearn_codex.report._console import Console
from sklearn_codex.report._json import json_text
from sklearn_codex.report._numbers import number
from sklearn_codex.report._terminal import show

_STAGES = {"M0": "pretrain", "M1": "sft", "M2": "policy"}
_N_SAMPLES = 3
_N_SHIFTED = 8
_PROMPT = "def size(self):"


def run_demo(out, *, force=False, seed=0, n_modules=150, order=3, progress=True):
    """Run the whole loop on the Python standard library, show its figures and write the results.

    Parameters
    ----------
    out : path-like
        Folder for the model, the figures, the picture and the data.
    force : bool, default=False
        Whether to write to any existing folder, and replace files with the names of the demo's that
        are not as a demo left them. Other files are left alone in any case.
    seed : int, default=0
        Reproduces every figure, for one version of Python.
    n_modules : int, default=150
        Modules of the standard library to read.
    order : int, default=3
        Tokens of the longest n-grams of the models.
    progress : bool, default=True
        Whether to show progress bars, where standard output is a terminal.

    Returns
    -------
    figures : dict
        What ``figures.json`` holds.

    Raises
    ------
    FileExistsError
        If ``force`` is false and the folder holds something else than a demo. Nothing has been
        computed then.
    """
    out = Path(out)
    replaced = DEMO.check(out, force=force)
    console = Console()
    start = time.perf_counter()
    data = load_stdlib_code(n_modules=n_modules, random_state=seed)
    train, test = map(
        _Side, record_train_test_split(data.records, test_size=0.25, random_state=seed)
    )
    figures = {"seed": seed, "order": order, "python_version": data.python_version}
    figures["data"] = _show_data(console, data, train, test)
    bars = [ProgressBar()] if progress and sys.stdout.isatty() else []  # in a file a bar is noise
    pipeline = fit_demo(data, train.records, order, seed, bars)
    figures["pretrain"] = _show_pretraining(console, pipeline, train, test)
    figures["sft"] = _show_refinement(console, pipeline, train, test)
    margins = _find_margins(pipeline, data, train, test)
    figures["reward"] = _show_reward(console, pipeline, margins)
    figures["policy"] = _show_policy(console, pipeline)
    figures["objective"] = _show_objective(console, pipeline, test)
    if order > 1:
        figures["completions"] = _show_completions(console, pipeline, train, test, seed)
    else:
        _show_samples(console, pipeline, seed)
    has_picture = _write(out, pipeline, figures, data, test, replaced)
    prompts = [row["prompt"] for row in test.pairs]
    _show_verdict(console, judge_demo(figures, margins, prompts))
    _show_next(console, out, order, has_picture, time.perf_counter() - start)
    return figures


class _Side:
    """The records of one side of the split, by kind."""

    def __init__(self, records):
        self.records = records
        self.texts = [row["text"] for row in records if "text" in row]
        self.demonstrations = [row for row in records if "completion" in row]
        self.completions = [row["completion"] for row in self.demonstrations]
        self.pairs = [row for row in records if "chosen" in row]


def _show_data(console, data, train, test):
    console.title(
        "Data", f"standard library of Python {data.python_version}; preference labels are simulated"
    )
    rows = [
        ("corpus documents", len(train.texts), len(test.texts)),
        ("demonstrations", len(train.completions), len(test.completions)),
        ("preference pairs", len(train.pairs), len(test.pairs)),
    ]
    console.table(["", "train", "held out"], rows)
    return {name: {"train": n_train, "test": n_test} for name, n_train, n_test in rows}


def _show_pretraining(console, pipeline, train, test):
    model, counter = pipeline.named_steps_.pretrain, pipeline.vectorizer_
    figures = {"vocabulary": model._distribution.n_tokens, "tokens": model.n_tokens_}
    order = order_of(model)
    what = "UnigramLM"
    if order > 1:
        figures["ngrams"] = model.trie_.n_arcs
        what = f"NGramLM of order {order}, {number(figures['ngrams'])} n-grams,"
    rows = []
    for name, label, side in (("train", "train", train), ("test", "held out", test)):
        counts = counter.transform(side.texts)
        tokens = counter._token_counts(counts)
        figures[f"perplexity_{name}"] = model.perplexity(counts)
        figures[f"unknown_{name}"] = float(tokens[:, [counter.unk_index_]].sum() / tokens.sum())
        share = f"{100 * figures[f'unknown_{name}']:.1f} %"
        rows.append((label, number(tokens.sum()), share, number(figures[f"perplexity_{name}"])))
    console.title(
        "M0  pretraining",
        f"{what} on code and docstrings, {number(figures['vocabulary'])} tokens of vocabulary",
    )
    console.table(["", "tokens", "unknown", "perplexity"], rows)
    console.note(
        "Tokens seen less than twice in training share <unk>, so more unknown tokens mean a lower "
        "perplexity."
    )
    if order > 1:
        figures["perplexity_by_order"] = _by_order(counter, order, train, counts)
        shown = [f"{number(p)} at order {o}" for o, p in figures["perplexity_by_order"].items()]
        console.lead(f"What order buys, perplexity held out: {', '.join(shown)}.")
    return figures


def _by_order(counter, order, train, counts):
    """Return the perplexity of documents (counts) under pretrained models of each order."""
    known = counter.transform(train.texts)
    return {
        str(lower): NGramLM(lower, vectorizer=freeze(counter)).fit(known).perplexity(counts)
        for lower in range(1, order + 1)
    }


def _show_refinement(console, pipeline, train, test):
    before, after = pipeline[:1], pipeline[:2]
    figures = {
        side: {
            "before": before.perplexity(documents.demonstrations),
            "after": after.perplexity(documents.demonstrations),
        }
        for side, documents in (("train", train), ("test", test))
    }
    console.title("M1  supervised fine-tuning", "SFTRefiner on function bodies")
    console.table(
        ["perplexity of completions", "M0, before", "M1, after"],
        [
            (label, number(figures[side]["before"]), number(figures[side]["after"]))
            for side, label in (("train", "train"), ("test", "held out"))
        ],
    )
    return figures


def _find_margins(pipeline, data, train, test):
    """Return what each judge of the held-out pairs says, r(chosen) - r(rejected)."""
    truth = {
        id(row): fact for row, fact in zip(data.preferences, data.preference_truth, strict=True)
    }
    original = np.array([truth[id(row)]["original"] == "chosen" for row in test.pairs])
    probability = np.clip([truth[id(row)]["probability"] for row in test.pairs], 1e-12, 1 - 1e-12)
    log_odds = np.log(probability / (1 - probability))
    return {
        "PreferenceRewardModel": _margins(pipeline, test.pairs),
        "length only": _length_margins(pipeline, train.pairs, test.pairs),
        "the simulated annotator itself": np.where(original, log_odds, -log_odds),
    }


def _show_reward(console, pipeline, margins):
    model = pipeline.named_steps_.reward
    figures = {name: _judge(margin) for name, margin in margins.items()}
    console.title("R   reward model", "Bradley-Terry on pairs of real and flawed bodies")
    console.table(
        ["held-out pairs, prompts never seen", "accuracy", "log-loss", "AUC"],
        [(name, *(f"{value:.3f}" for value in row.values())) for name, row in figures.items()],
    )
    preferred = model.top_features(n=_N_SHIFTED)
    unit = "tokens" if order_of(pipeline[0]) == 1 else "n-grams"
    console.table(
        [f"{unit} preferred", "weight", f"{unit} not preferred", "weight"],
        [
            (up, f"{up_weight:+.2f}", down, f"{down_weight:+.2f}")
            for (up, up_weight), (down, down_weight) in zip(*_both_ways(preferred), strict=True)
        ],
    )
    return figures


def _both_ways(preferred):
    """Return the two lists of (token, weight), for and against."""
    return preferred.in_favor, preferred.against


def _margins(pipeline, pairs):
    """Return r(chosen) - r(rejected) of each pair."""
    chosen, rejected = (
        pipeline.reward([{"prompt": row["prompt"], "completion": row[side]} for row in pairs])
        for side in ("chosen", "rejected")
    )
    return chosen - rejected


def _length_margins(pipeline, train_pairs, test_pairs):
    """Return the margins of a logistic regression on the difference in length alone."""
    counter = pipeline.vectorizer_

    def longer(pairs):
        chosen, rejected = (
            counter._token_counts(counter.transform([row[side] for row in pairs])).sum(axis=1)
            for side in ("chosen", "rejected")
        )
        return (chosen - rejected)[:, np.newaxis]

    X = longer(train_pairs)
    X, y = np.vstack([X, -X]), np.repeat([1, 0], len(X))
    return LogisticRegression(fit_intercept=False).fit(X, y).decision_function(longer(test_pairs))


def _judge(margins):
    """Return the figures of a preference model from its margins chosen - rejected.

    Each pair is shown in both orders, so that both classes are there and neither side is favoured.
    """
    margin, y = np.concatenate([margins, -margins]), np.repeat([1, 0], len(margins))
    probability = 1.0 / (1.0 + np.exp(-margin))
    return {
        "accuracy": float(np.mean((margins > 0) + 0.5 * (margins == 0))),
        "log_loss": float(log_loss(y, probability)),
        # Margins that differ by less than the fit is solved to are equal, and no order of them.
        "auc": float(roc_auc_score(y, np.round(margin, 6))),
    }


def _show_policy(console, pipeline):
    policy = pipeline.named_steps_.policy
    start, end = policy.history_[0], policy.history_[-1]
    is_ordered = order_of(policy) > 1
    rows = [
        ("expected reward", "objective/expected_reward"),
        ("KL to M1, nats a document (exact)", "objective/kl_exact"),
        ("entropy, nats a document (exact)", "objective/entropy_exact"),
        ("documents with unsafe code", "rules/unsafe_code/rate"),
        ("objective J", "objective/value"),
        ("optimality gap J* - J (exact)", "objective/optimality_gap"),
    ]
    length = f"{policy.response_length_} tokens"
    if is_ordered:
        rows.insert(1, ("tokens a document (exact)", "objective/length"))
        length = "any length, behind the prompts of demonstrations"
    console.title(
        "M2  policy optimisation",
        f"PPO, {policy.n_iter_} iterations, {policy.n_sequences_} documents of {length}",
    )
    console.table(
        ["", "M1, before", "M2, after"],
        [(label, number(start[key]), number(end[key])) for label, key in rows],
    )
    if is_ordered:
        _say_price(console, policy)
    figures: dict[str, object] = {key: {"before": start[key], "after": end[key]} for _, key in rows}
    figures["iterations"] = policy.n_iter_
    figures["sequences"] = policy.n_sequences_
    figures["share_of_optimum"] = 1.0 - policy.optimality_gap_ / start["objective/optimality_gap"]
    figures |= _show_shift(console, policy, is_ordered)
    if is_ordered:
        figures["price_of_a_token"] = policy.rule_prices_[LENGTH]
    return figures


def _show_shift(console, policy, is_ordered):
    """Show which tokens, or n-grams, rose and fell, and return them."""
    shift = policy.token_shift(_N_SHIFTED)
    unit, percent = ("n-grams", 1) if is_ordered else ("tokens", 100)
    before, after = ("M1", "M2") if is_ordered else ("M1 %", "M2 %")
    console.table(
        [f"{unit} that rose", before, after, f"{unit} that fell", before, after],
        [
            (*_shift_cells(up, percent), *_shift_cells(down, percent))
            for up, down in zip_longest(shift.risen, shift.fallen)
        ],
    )
    if is_ordered:
        console.note("How often a document has each, as the longest known n-gram of a token.")
    return {
        "risen": [token for token, _, _ in shift.risen],
        "fallen": [token for token, _, _ in shift.fallen],
    }


def _say_price(console, policy):
    """Say that length has a price, which a reward that pays for most tokens needs."""
    price = policy.rule_prices_[LENGTH]
    if price:
        console.note(
            f"Each token costs {number(price)} nats: the reward pays for most tokens of real code, "
            "so that without a price longer documents would be better without end. At this price "
            "the best policy is as long as M1."
        )


def _shift_cells(row, percent):
    """Return the cells of one token: name, probabilities before and after in per cent."""
    if row is None:
        return "", "", ""
    token, log_ratio, change = row
    before = change / np.expm1(log_ratio)
    return token, f"{percent * before:.2f}", f"{percent * (before + change):.2f}"


def _show_objective(console, pipeline, test):
    parts: dict[str, Bunch] = {
        name: pipeline.objective(test.records, stage=stage) for name, stage in _STAGES.items()
    }
    weights = parts["M2"]
    console.title(
        "L = alpha L_SFT + beta L_RLHF + gamma Omega",
        f"on held-out records; alpha = {weights.alpha:g}, beta = {weights.beta:g}, "
        f"gamma = {weights.gamma:g}; smaller is better",
    )
    console.table(
        ["", "L_SFT", "L_RLHF", "Omega", "L"],
        [
            (name, *(number(part[key]) for key in ("sft_loss", "rlhf_loss", "omega", "total")))
            for name, part in parts.items()
        ],
    )
    console.note(
        "L_SFT: cross-entropy of completions, in nats a token. L_RLHF: minus the expected reward "
        "of a document. Omega: what keeps the policy in bounds, the KL to M1 and the price of what "
        "rules count, in nats a document. alpha, beta and gamma are sft_coef, reward_coef and "
        "kl_coef of PPO, which lowers the sum."
    )
    return {
        name: {key: float(value) for key, value in part.items()} for name, part in parts.items()
    }


def _show_samples(console, pipeline, seed):
    console.title("Samples", "bags of words: a unigram model knows no order")
    for name in ("M1", "M2"):
        model = pipeline.named_steps_[_STAGES[name]]
        for text in model.sample(_N_SAMPLES, random_state=seed):
            console.sample(name, text)


def _show_completions(console, pipeline, train, test, seed):
    console.title(
        "Completions",
        "what follows the first line of functions that are in no training file",
    )
    models = {name: pipeline.named_steps_[stage] for name, stage in _STAGES.items()}
    prompts = held_out_prompts(train.records, test.records)
    return show_completions(console, models, prompts, seed)


def _show_verdict(console, statements):
    console.title("Verdict", verdict_of(statements))
    for statement in statements:
        failed = statement.holds is False
        mark = "!" if failed else "✓" if statement.holds else "-"
        console.item(mark, statement.text, strong=failed)


def _show_next(console, out, order, has_picture, seconds):
    """Say what was written, and which commands go on from there."""
    prompt = f" --prompt {shlex.quote(_PROMPT)}" if order > 1 else ""
    console.title("Next", f"all is in {out}, after {seconds:.0f} s")
    model, preferences, held_out = (
        shlex.quote(str(out / name)) for name in (MODEL, PREFERENCES, HELD_OUT)
    )
    rows = [
        (
            "what are these preferences good for? In one page",
            f"audit {preferences}",
        ),
        ("the figures of held-out records", f"score {model} {held_out}"),
        ("documents of the last policy", f"sample {model} -n 3{prompt}"),
        ("what is in the model", f"info {model}"),
        ("an audit of small made-up data", "audit --example"),
        ("an audit of yours", "audit YOUR_FILE"),
    ]
    picture = "The best reward at each KL, and PPO on it"
    if has_picture:
        console.lead(f"{picture}: {out / PICTURE}")
    else:
        console.lead(f"{picture}, is a picture for which matplotlib is missing (the extra plot).")
    # As they are, however long, to be copied.
    show("".join(f"\n  # {why}\n  sklearn-codex {words}\n" for why, words in rows))


def _write(out, pipeline, figures, data, test, replaced):
    """Write the model, the figures, the picture and the data, all or none.

    Returns whether there is a picture, which needs matplotlib.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL
        save_model(pipeline, path)
        contents = {
            MODEL: path.read_bytes(),
            FIGURES: (json_text(figures, indent=2) + "\n").encode(),
            PREFERENCES: _lines(data.preferences),
            HELD_OUT: _lines(test.records),
        }
    picture = _draw(pipeline.named_steps_.policy)
    if picture is not None:
        contents[PICTURE] = picture
    DEMO.write(out, contents, replaced)
    return PICTURE in contents


def _lines(records):
    """Return records as JSON lines."""
    return "".join(json_text(row) + "\n" for row in records).encode()


def _draw(policy):
    """Return a picture of the frontier and the policy as PNG, None without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return None
    figure = Figure(figsize=(7, 4.5), dpi=150, layout="constrained")
    ax = figure.subplots()
    if order_of(policy) > 1:
        draw_frontier(policy, ax)
    else:
        display = FrontierDisplay.from_estimator(
            policy, best_of_n=[2, 4, 16, 64], random_state=0, ax=ax, policy_name="PPO"
        )
        display.ax_.set_title("The greatest expected reward at each KL, exactly, and PPO")
    picture = BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return picture.getvalue()
