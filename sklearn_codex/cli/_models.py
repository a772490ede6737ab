"""What commands do with models: fit one from records, score it, find its stages and its frontier.

Imported when a command runs: without it the command line answers before scikit-learn is there.
"""

from collections.abc import Mapping
from dataclasses import replace
from tempfile import TemporaryDirectory
from warnings import catch_warnings, simplefilter

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.special import expit
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_codex import (
    ExactPolicyOptimizer,
    NGramCounter,
    NGramLM,
    PreferenceRewardModel,
    RLHFPipeline,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex._data.records import check_records
from sklearn_codex._pipeline.counting import documents_after_prompts
from sklearn_codex._policy.problem import with_penalty
from sklearn_codex.exact import LengthExplosionWarning, kl_reward_frontier
from sklearn_codex.metrics import preference_accuracy, preference_auc, preference_log_loss
from sklearn_codex.model_selection import RecordKFold, record_scorers, record_train_test_split

_END = "</s>"
_STRENGTH = 1000.0
_STRENGTHS = [10.0**power for power in range(6)]
_FOLDS = 5
_OF_NGRAMS = ("kneser-ney", "witten-bell", "dirichlet")  # what smooths them only
# Times the smallest kl_coef that keeps length finite: nearer to it documents are very long.
_MARGIN = 2.0
_CAUTIOUS = 1e6
_NO_FRONTIER = (
    "A frontier takes a language model and a reward: fit records that have texts or "
    "demonstrations, and preferences."
)


def fit_pipeline(
    records,
    keys=None,
    *,
    order=1,
    tokenizer="script-word",
    min_count=2,
    min_ngram_count=1,
    smoothing=None,
    prior_strength=None,
    C=0.01,
    kl_coef=None,
    test_size=0.25,
    seed=0,
):
    """Fit the stages that records allow.

    Parameters
    ----------
    records : list of dict
        Records of one or several kinds, as for :class:`RLHFPipeline`.
    keys : list of hashable, default=None
        What records that are held out together share beside their prompt, None where nothing.
    order : int, default=1
        Tokens of the longest n-grams of the models.
    tokenizer, min_count, min_ngram_count : object
        As in :class:`NGramCounter`.
    smoothing : float, str or None, default=None
        Of the pretrained model; None means 0.1, or Kneser-Ney of order 2 and more.
    prior_strength : float, "auto" or None, default=None
        Of the refined model. "auto" is chosen by :func:`_choose_strength`. None means 1000, or
        "auto" of order 2 and more.
    C : float, default=0.01
        Of the reward.
    kl_coef : float or None, default=None
        Of the policy. None means 1, or, of order 2 and more where that is too little to keep
        length finite, twice the smallest that does.
    test_size : float, default=0.25
        Share of the prompts held out for the figures; 0 fits and judges on all records.
    seed : int, default=0
        Draws the split.

    Returns
    -------
    pipeline : RLHFPipeline
        Fitted on the training side.
    figures : dict
        As from :func:`score_model`, for the held-out side, and ``n_train`` and ``n_test``; where
        the strength of the prior was chosen, ``prior_strength``.
    """
    if not 0 <= test_size < 1:
        raise ValueError(
            f"--test-size is a share of the prompts, from 0 to below 1, got {test_size:g}."
        )
    held_out = bool(test_size)
    train, test = records, records
    if held_out:
        train, test = _split(records, keys or [None] * len(records), test_size, seed)
    vectorizer, pretrained = _of_order(order, tokenizer, min_count, min_ngram_count, smoothing)
    stages: list[tuple] = []
    is_chosen = False
    if any("text" in row for row in records):
        stages.append(("pretrain", pretrained))
    if any("completion" in row for row in records):
        if prior_strength is None:
            prior_strength = _STRENGTH if order == 1 else "auto"
        is_chosen = prior_strength == "auto"
        if is_chosen:
            prior_strength = _choose_strength(list(stages), vectorizer, train)
        stages.append(("sft", SFTRefiner(prior_strength=prior_strength)))
    has_policy = bool(stages)
    if any("chosen" in row or "label" in row for row in records):
        stages.append(("reward", PreferenceRewardModel(C=C)))
        if has_policy:
            weight = 1.0 if kl_coef is None else kl_coef
            stages.append(("policy", ExactPolicyOptimizer(kl_coef=weight, random_state=seed)))
    if not stages:
        found = sorted({name for row in records for name in row})
        raise ValueError(
            "No record has a text, a completion, chosen and rejected, or response_a, response_b "
            f"and label. The columns are {found}."
        )
    pipeline = RLHFPipeline(stages, vectorizer=vectorizer)
    _check_enough_pairs(train)
    _fit_safely(pipeline, train, order, kl_coef)
    figures = {"n_train": len(train), "n_test": len(test) if held_out else 0}
    if is_chosen:
        figures["prior_strength"] = prior_strength
    return pipeline, figures | {"held_out": held_out} | score_model(pipeline, test)


def _choose_strength(stages, vectorizer, records):
    """Return the strength of the prior with which demonstrations not seen are most likely.

    By cross-validation of powers of ten, from 1 to 100,000 tokens; with fewer than two prompts or
    texts, or where the model has no likelihood for what it has not seen, it is the usual strength.

    Parameters
    ----------
    stages : list of tuple
        The pretrained model, unfitted, or nothing.
    vectorizer : transformer
        Unfitted.
    records : list of dict
        What there is to fit on.
    """
    shown = [row for row in records if "completion" in row]
    texts = [row for row in records if "text" in row]
    prompts = {" ".join(row.get("prompt", str(at)).split()) for at, row in enumerate(shown)}
    n_folds = min(_FOLDS, len(prompts), *([len(texts)] if stages else []))
    if n_folds < 2:
        return _STRENGTH
    with TemporaryDirectory() as folder, catch_warnings():  # the pretrained models are kept there
        simplefilter("ignore", UserWarning)  # of likelihoods that are not finite
        loop = RLHFPipeline([*stages, ("sft", SFTRefiner())], vectorizer=vectorizer, memory=folder)
        search = GridSearchCV(
            loop,
            {"sft__prior_strength": _STRENGTHS},
            scoring=record_scorers["demonstration_log_likelihood"],
            cv=RecordKFold(n_folds),
            refit=False,
            error_score="raise",
        ).fit([*texts, *shown])
    return search.best_params_["sft__prior_strength"] if search.best_score_ > -np.inf else _STRENGTH


def _fit_safely(pipeline, records, order, kl_coef):
    """Fit a pipeline; of order 2 and more at a ``kl_coef`` at which length does not explode.

    There each optimum that is cut at a maximal length takes minutes to find, and is no stationary
    policy.
    """
    if order == 1 or pipeline.steps[-1][0] != "policy":
        pipeline.fit(records)
        return
    with TemporaryDirectory() as folder:  # the stages above the policy are fitted once
        pipeline.set_params(memory=folder)
        try:
            with catch_warnings():
                simplefilter("error", LengthExplosionWarning)
                pipeline.fit(records)
        except LengthExplosionWarning:
            safe = _smallest_safe_kl_coef(pipeline, records)
            if kl_coef is not None:
                raise ValueError(
                    f"--kl-coef {kl_coef:g} is too small: the reward pays for length, so that no "
                    f"document would be long enough. Set it above {safe:.4g}, or leave it out."
                ) from None
            pipeline.set_params(policy__kl_coef=_MARGIN * safe).fit(records)
        pipeline.set_params(memory=None)


def _smallest_safe_kl_coef(pipeline, records):
    """Return the ``kl_coef`` above which the policy of a pipeline stays finite in length."""
    cautious = clone(pipeline).set_params(policy__kl_coef=_CAUTIOUS).fit(records)
    return cautious["policy"]._build_problem(warn=False).objective.smallest_safe_kl_coef()


def _of_order(order, tokenizer, min_count, min_ngram_count, smoothing):
    """Return the vectorizer and the pretrained model, unfitted, of models of an order."""
    if order == 1:
        if min_ngram_count != 1:
            raise ValueError(
                f"--min-ngram-count {min_ngram_count} is of n-grams, which --order 1 has none of. "
                "Leave it out, or pass --order 2 or more."
            )
        if smoothing in _OF_NGRAMS:
            raise ValueError(
                f"--smoothing {smoothing} is of n-grams, which --order 1 has none of. Pass a "
                "number, or --order 2 or more."
            )
        model = UnigramLM(smoothing=0.1 if smoothing is None else smoothing)
        return TokenCounter(tokenizer, min_count=min_count), model
    vectorizer = NGramCounter(
        order,
        tokenizer=tokenizer,
        min_count=min_count,
        min_ngram_count=min_ngram_count,
        eos_token=_END,
    )
    return vectorizer, NGramLM(order, smoothing="kneser-ney" if smoothing is None else smoothing)


def _split(records, keys, test_size, seed):
    """Return the records of either side; what shares a prompt or a key is on one side."""
    group = _join(records, keys)
    stand_ins = [
        {**_STAND_INS[_kind_of(row)], "prompt": str(of_row), "row": position}
        for position, (row, of_row) in enumerate(zip(records, group, strict=True))
    ]
    for kind, name in (("texts", "text"), ("demonstrations", "completion"), ("pairs", "label")):
        of_kind = [of_row for row, of_row in zip(records, group, strict=True) if name in row]
        if len(set(of_kind)) == 1:
            raise ValueError(
                f"--test-size {test_size:g} holds out prompts of every kind of record, and the "
                f"{len(of_kind)} {kind} have one prompt or group only. Add others, or pass "
                "--test-size 0 to judge the fit on its own records."
            )
    sides = record_train_test_split(stand_ins, test_size=test_size, random_state=seed)
    return tuple([records[stand_in["row"]] for stand_in in side] for side in sides)


# Columns that are read faster than the texts that they stand for.
_STAND_INS = {
    "text": {"text": "a"},
    "completion": {"completion": "a"},
    "label": {"chosen": "a", "rejected": "b"},
}


def _kind_of(row):
    return next(name for name in _STAND_INS if name in row)


def _join(records, keys):
    """Return the group (n,) of each record: what shares a prompt or a key, also over others."""
    nodes: dict = {}
    edges = []
    for position, (row, key) in enumerate(zip(records, keys, strict=True)):
        prompt = " ".join(row.get("prompt", "").split()) or None
        shared = [("prompt", prompt), ("key", key)]
        for node in [name for name in shared if name[1] is not None]:
            edges.append((position, len(records) + nodes.setdefault(node, len(nodes))))
    n = len(records) + len(nodes)
    rows, columns = np.array(edges, dtype=np.intp).reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    return connected_components(graph, directed=False)[1][: len(records)].tolist()


def _check_enough_pairs(records):
    labels = [row["label"] for row in records if "label" in row]
    if len(labels) == 1 and labels[0] in (0, 1):
        raise ValueError(
            "One pair is left to fit the reward on, and it takes at least two. Add pairs, or pass "
            "--test-size 0."
        )


def score_model(model, records):
    """Return the figures of a model on records of one or several kinds.

    Returns
    -------
    figures : dict
        Where the model and the records allow: ``perplexity`` (of completions, else texts),
        ``objective`` with its parts, ``preferences`` with ``n_pairs``, of which ``n_ties`` are
        ties, ``accuracy`` (a tie is half a point), ``log_loss`` (nats) and ``auc``, weighted as the
        pairs are.
    """
    figures: dict = {}
    read = check_records(records, subject="score")
    corpus, demonstrations, preferences = (
        read.rows(kind) for kind in ("corpus", "demonstration", "preference")
    )
    shown = demonstrations if len(demonstrations) else corpus
    if len(shown) and hasattr(model, "perplexity"):
        figures["perplexity"] = float(
            model.perplexity(documents_after_prompts(model, *read.some(shown)))
        )
        if hasattr(model, "objective"):
            rows = np.sort(np.concatenate([corpus, demonstrations]))
            parts = model.objective([records[row] for row in rows])
            figures["objective"] = {name: float(value) for name, value in parts.items()}
    if len(preferences) and hasattr(model, "reward"):
        figures["preferences"] = _judge(model, read, preferences)
    if not figures:
        raise ValueError(
            f"A {type(model).__name__} has nothing to say of these records: texts and "
            "completions need a language model, preferences a reward model."
        )
    return figures


def _judge(model, records, rows):
    a, b = (
        documents_after_prompts(model, *records.some(rows, other=other)) for other in (False, True)
    )
    label, weight = records.label[rows], records.weight[rows]
    return figures_of_margins(label, model.reward(a) - model.reward(b), weight)


def figures_of_margins(label, margin, weight):
    """Return the figures of margins of pairs, each (n_pairs,)."""
    # In both orders, so that no side is favoured.
    y = np.concatenate([label, 1 - label])
    score = np.concatenate([margin, -margin])
    probability = expit(margin)
    return {
        "n_pairs": len(label),
        "n_ties": int((label == 0.5).sum()),
        "accuracy": preference_accuracy(label, margin, sample_weight=weight),
        "log_loss": preference_log_loss(label, probability, sample_weight=weight),
        "auc": preference_auc(y, score, sample_weight=np.concatenate([weight, weight])),
    }


def stages_of(model):
    """Return the fitted stages of a model by name; a model that is no pipeline is one stage."""
    return dict(model.steps_) if hasattr(model, "steps_") else {"model": model}


def reads_vectors(model) -> bool:
    """Return whether a model is a reward of vectors, as of fit --embeddings, not of text."""
    is_reward = hasattr(model, "coef_") and hasattr(model, "n_features_in_")
    return is_reward and getattr(model, "vectorizer_", model) is None


def last_policy(model):
    """Return the last stage that is a language model, None without one."""
    found = [stage for stage in stages_of(model).values() if hasattr(stage, "_distribution")]
    return found[-1] if found else None


def order_of(stage) -> int:
    """Return the order of a language model: of one of single tokens it is 1."""
    backoff = getattr(stage, "_backoff", None)
    return 1 if backoff is None else backoff.trie.order


def frontier_of(model, n_points=50):
    """Return the exact KL-reward frontier of a fitted model as columns.

    Returns
    -------
    columns : dict of list
        ``kl_coef``, ``kl`` (nats a document) and ``expected_reward``; of policies over n-grams that
        have rules also ``expected_reward_less_rules``, which is what is greatest at each KL.
    """
    policy = last_policy(model)
    if policy is not None and order_of(policy) > 1:
        return _frontier_of_ngrams(policy, n_points)
    if policy is not None and hasattr(policy, "frontier"):
        points: Mapping = policy.frontier()
    else:
        points = _frontier_of_stages(stages_of(model), policy)
    keep = np.unique(np.linspace(0, len(points["kl"]) - 1, n_points).round().astype(int))
    return {name: points[name][keep].tolist() for name in ("kl_coef", "kl", "expected_reward")}


def _frontier_of_stages(stages, policy):
    rewards = [stage for stage in stages.values() if hasattr(stage, "coef_")]
    if policy is None or not rewards:
        raise ValueError(_NO_FRONTIER)
    reference = getattr(policy, "reference_log_prob_", policy.token_log_prob_)
    length = getattr(policy, "response_length_", None) or policy.document_length_
    return kl_reward_frontier(reference, rewards[-1].coef_[0], length=int(length))


def _frontier_of_ngrams(policy, n_points):
    """Return the frontier as columns of a policy over n-grams.

    A violation of a rule costs what it does in the fit, in units of reward, and shares of documents
    that may violate one are kept. Without a price of length, which a rule may be, most rewards
    have hardly a frontier: documents would be better for being longer.
    """
    if not hasattr(policy, "reference_log_prob_"):
        raise ValueError(_NO_FRONTIER)
    problem = policy._build_problem(warn=False)
    left_out = [rule.name for rule in problem.rules if rule.token_violations is None]
    if not problem.adds_reward or problem.objective.gap_is_bound or left_out:
        unless = f", and so do rules, which {left_out} do not" if left_out else ""
        raise ValueError(
            "The frontier of models of n-grams is known where the reward adds over n-grams and "
            f"documents are not cut{unless}: fit with a larger --kl-coef, or in Python without "
            "max_length and with rules of n-grams that the policy knows."
        )
    objective = problem.objective
    bounds = [rule for rule in problem.rules if rule.is_found]
    priced = with_penalty(objective, [rule for rule in problem.rules if not rule.is_found])
    cost = priced.penalty  # nats of the fit's KL
    less = 0.0 if cost is None else objective.kl_coef / objective.reward_coef * cost
    net = objective.having(token_reward=objective.token_reward - less, penalty=None)
    problem = replace(problem, objective=net).with_rules(bounds)
    grid = problem.objective.kl_coef_grid()
    # Each point takes a while, so that only those asked for are computed.
    grid = grid[np.unique(np.linspace(0, len(grid) - 1, n_points).round().astype(int))]
    rows = []
    for kl_coef in grid.tolist():
        at = problem.with_kl_coef(kl_coef).objective
        best = at.optimum()
        rewards = (of.expected_reward(best) + problem.reward.offset for of in (objective, at))
        rows.append((kl_coef, at.kl(best), *rewards))
    names = ("kl_coef", "kl", "expected_reward", "expected_reward_less_rules")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    if not policy.rules:
        del columns[names[-1]]
    return columns
