"""The audit of preference data: everything that is computed, as plain figures."""

from numbers import Integral
from os import PathLike

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval

from sklearn_codex._checks.numbers import check_number
from sklearn_codex._plain import plain
from sklearn_codex._reward.held_out import as_design
from sklearn_codex._verdicts import Judgement
from sklearn_codex.health._check import run_checks
from sklearn_codex.report import _audit_policy as policy
from sklearn_codex.report import _audit_predict as predict
from sklearn_codex.report import _audit_preferred as preferred
from sklearn_codex.report._audit_authors import find_authors
from sklearn_codex.report._audit_ceiling import greatest_of, human_ceiling
from sklearn_codex.report._audit_columns import find_cuts
from sklearn_codex.report._audit_data import MIN_GROUPS, MIN_PAIRS, AuditData
from sklearn_codex.report._audit_decision import decide
from sklearn_codex.report._audit_effects import describe_item, find_droppable, try_dropping
from sklearn_codex.report._audit_embeddings import compare_embeddings, read_vectors
from sklearn_codex.report._audit_findings import describe_findings
from sklearn_codex.report._audit_histograms import describe_lengths, describe_margins
from sklearn_codex.report._audit_length import audit_length, judge_longer
from sklearn_codex.report._audit_limits import MAX_PAIRS
from sklearn_codex.report._audit_pairs import pairs_to_label
from sklearn_codex.report._audit_progress import STEPS, as_steps
from sklearn_codex.report._audit_reading import (
    check_given,
    describe_source,
    name_of,
    read_pairs,
)
from sklearn_codex.report._audit_sample import add_effect, draw_sample
from sklearn_codex.report._audit_slices import audit_slices
from sklearn_codex.report._audit_split import find_leaks
from sklearn_codex.report._audit_tastes import audit_tastes
from sklearn_codex.report._audit_units import Units
from sklearn_codex.report._audit_verdicts import reach_verdicts
from sklearn_codex.report._plural import count

__all__ = ["STEPS", "compute_audit"]

OF_MODELS = (
    "prediction",
    "embeddings",
    "learning_curve",
    "length",
    "tokens",
    "form",
    "slices",
    "examples",
    "margins",
    "policy",
    "pairs_to_label",
)
N_LISTED = 100
"""Labels to check that are listed where fewer are more likely wrong than right."""


def compute_audit(
    path_or_frame,
    *,
    given=None,
    groups=None,
    split=None,
    slices=None,
    reference=None,
    embeddings=None,
    max_pairs=MAX_PAIRS,
    seed=0,
    step=None,
    place=None,
):
    """Answer what somebody with preference data has to know before a reward is learned from them.

    Parameters
    ----------
    path_or_frame : str, path-like, DataFrame, list of dict, or Bunch
        As for :func:`sklearn_codex.datasets.read_preferences`, or what it returned.
    given : Given, default=None
        What the caller says of columns and labels, and in which terms the report names a remedy.
    groups : str, default=None
        Column of what belongs together, as ``given`` has it too. None means the prompts, similar
        ones joined.
    split : str or path-like, default=None
        Column that names the part of each pair, such as "train" and "test", or a file of held-out
        pairs, to be searched for what stands on both sides. None means the column ``split``, if
        there is one.
    slices : list of str, default=None
        Columns whose values cut the pairs into kinds that are compared; one of two columns of the
        two sides, such as model_a and model_b, stands for both. None means those of 2 to 20 values.
        Topics of prompts are compared in any case.
    reference : list of str, default=None
        Texts that the policy to be trained writes; None means the responses.
    embeddings : str, path-like, array of shape (n_pairs, 2, d) or (2 n_pairs, d), default=None
        Vectors of the responses, or the .npy file of them, in the order of the pairs and in that in
        which the file has the two responses: chosen before rejected, or A before B. Of pairs that
        were read before it is always A before B. None asks nothing of them.
    max_pairs : int or None, default=20000
        Of more pairs than this, models learn from a sample of about so many, drawn by prompt; 0 and
        None mean all. Sizes, checks, leakage, labels to check and how often the longer response
        wins are always of all pairs.
    seed : int, default=0
        Reproduces every figure.
    step : callable, default=None
        Called with the name of each step, one of ``STEPS``, when it begins. What is of the class
        ``Steps`` also hears how far each is.
    place : str, default=None
        What errors call the file; None means its path.

    Returns
    -------
    audit : dict
        Numbers, text and lists only, so that it can be written as JSON: ``source``, ``read`` (as
        what, see ``describe_reading``), ``prompts`` (and what is kept together, see
        ``describe_prompts``), ``seed``, ``sizes``, ``health``, ``leakage`` (None without a split),
        ``too_small`` (None, or why nothing is said of data not seen), ``sampled`` (None, or of how
        many pairs, and which figures are computed on them), ``prediction``,
        ``embeddings`` (None without any, else as of ``compare_embeddings``), ``learning_curve``,
        ``human_ceiling``, ``length``, ``tokens``, ``form``, ``slices``, ``examples``, ``policy``,
        ``labels_to_check``, ``pairs_to_label``, ``lengths`` and ``margins`` (histograms); None
        where the data do not carry the answer. ``to_do`` has what could be dropped, with what that
        changes (see ``try_dropping``), ``decision`` the ``verdict`` on all of it and its
        ``reason``.
        ``verdicts`` has, for each question that chance could answer, the verdict and the test it
        follows from.
    """
    step = as_steps(step)
    max_pairs = _check_max_pairs(max_pairs)
    step("read")
    given = check_given(given, groups)
    pairs = read_pairs(path_or_frame, given, place)
    pairs = _with_vectors(pairs, embeddings, given, place, isinstance(path_or_frame, Bunch))
    cuts = find_cuts(pairs, given, slices)
    step.know_size(pairs.n, min(pairs.n, max_pairs or pairs.n))
    report, data = _check_health(pairs, given, seed, step)
    leakage = find_leaks(pairs, split, report.groups, given)
    ceiling = human_ceiling(pairs.columns, data.groups)
    audit = {"source": name_of(pairs), **describe_source(pairs, given, split, ceiling)}
    audit |= {"seed": seed, "sizes": _sizes(data)}
    units = Units.of(audit)
    audit |= {
        "health": describe_findings(data, report, units, pairs.scores),
        "leakage": leakage,
        "too_small": _too_small(data, units),
        "sampled": None,
        "human_ceiling": ceiling,
        "labels_to_check": None,
    }
    audit |= dict.fromkeys(OF_MODELS)
    items = find_droppable(report, pairs.scores)
    audit |= {"to_do": list(map(describe_item, items)), "lengths": describe_lengths(data)}
    if audit["too_small"] is None:
        audit["labels_to_check"] = _labels_to_check(data, report)
        sample, sampled = draw_sample(data, max_pairs)
        authors = find_authors(pairs)
        audit |= _learn(sample, data, reference, step, cuts, authors, greatest_of(ceiling))
        audit["sampled"] = add_effect(sampled, audit["prediction"])
        step("what to drop")
        audit["to_do"] = try_dropping(sample, items, audit["prediction"], step.advance)
    elif data.decided.any():
        audit["length"] = {**judge_longer(data), "n_pairs": len(data.y)}
    for item in audit["to_do"]:
        item["where"] = [data.where[row] for row in item["rows"]]
    audit["verdicts"] = reach_verdicts(audit, report, units)
    audit["decision"] = decide(audit)
    return audit


def _check_health(pairs, given, seed, step):
    """Return what checks found, and the data with the groups that are kept together."""
    step("health")
    has_groups = given.groups is not None
    features = AuditData(pairs, np.arange(pairs.n), seed)  # which no groups are needed for
    report = run_checks(
        pairs.X,
        pairs.y,
        pairs.groups if has_groups else None,
        oriented=pairs.oriented,
        random_state=seed,
        sample_weight=pairs.sample_weight,
        keeps_groups=has_groups,
        advance=step.advance,
        preset=lambda: features.preset,
    )
    joined = pairs.groups if has_groups or report.groups is None else report.groups
    return report, AuditData(pairs, joined, seed).with_preset_of(features)


def _with_vectors(pairs, embeddings, given, place, as_read):
    """Return pairs with the vectors of their responses, where there are some."""
    if embeddings is None:
        return pairs
    name = "embeddings"
    if given.command and isinstance(embeddings, (str, PathLike)):
        name = f"--embeddings {plain(str(embeddings))}"
    place = place or name_of(pairs)
    vectors = read_vectors(embeddings, pairs, name=name, place=place, as_read=as_read)
    return Bunch(**pairs, vectors=vectors)


def _check_max_pairs(max_pairs):
    if max_pairs is None:
        return 0
    return check_number(
        max_pairs,
        "max_pairs",
        subject="audit_preferences",
        interval=Interval(Integral, 0, None, closed="left"),
        remedy="0 and None mean all pairs.",
    )


def _learn(data, whole, reference, step, cuts, authors, ceiling):
    """Return the figures that need models, of a sample of the whole data or all of them."""
    step("choose the penalty")
    prediction, draws = predict.predict(data, step)
    embeddings = compare_embeddings(data, draws["preset"], step.advance)
    best, C = prediction["best"], prediction["C_of_words"]
    step("learning curve")
    D = as_design({"length only": data.length, "words": data.words, "preset": data.preset}[best])
    penalty = predict.penalty_of(best, C)
    curve = predict.learn(data, draws[best], D, penalty, step.advance, ceiling)
    step("reward net of length")
    length = audit_length(data, draws, best, C, whole)
    step("what is preferred")
    reward = preferred.fit_reward(data, data.words, C)
    tokens, form = preferred.describe_tokens(data, reward), preferred.describe_form(data)
    step("slices")
    slices = audit_slices(data, draws[best][0], cuts, authors)
    if not Judgement(**prediction["models"][best]["accuracy"]).is_above:
        slices["tastes"] = audit_tastes(data, cuts)
    step("halves of the data")
    halves = policy.fit_halves(data, data.words, C)
    step("policy")
    model = policy.fit_reference(data, reference)
    learned = policy.optimise(data, reward, halves, model)
    step("pairs to label")
    return {
        "prediction": prediction,
        "embeddings": embeddings,
        "learning_curve": curve,
        "length": length,
        "tokens": tokens,
        "form": form,
        "slices": slices,
        "examples": preferred.example_pairs(data, draws[best].mean(axis=0)),
        "margins": describe_margins(data, draws[best][0]),
        "policy": learned,
        "pairs_to_label": pairs_to_label(data, reward),
    }


audit_preferences = compute_audit  # as it was called before there was a result of this name


def _sizes(data):
    return {
        "n_pairs": len(data.y),
        "n_groups": data.n_groups,
        "n_ties": int((data.y == 0.5).sum()),
        "n_telling": int(data.tells.sum()),
        "n_responses": len(set(data.responses[:, 1])),
        "characters": float(np.median([len(text) for text in data.responses[:, 1]])),
    }


def _too_small(data, units):
    if data.is_large_enough:
        return None
    n_groups, n_pairs = len(np.unique(data.groups[data.tells])), int(data.tells.sum())
    if not n_pairs:
        what = "No pair is of two responses"
        if not data.decided.any():
            what = "All pairs are ties" if data.sample_weight.any() else "All weights are 0"
        return f"{what}, so there is no preference to learn or to judge a model by."
    pairs = count(n_pairs, "pair")
    there, needed = pairs, f"{MIN_PAIRS} such pairs"
    if units.are_known:
        there = f"{units.count(n_groups)} and {pairs}"
        needed = f"{MIN_GROUPS} {units.many} and {needed}"
    verb = "is" if there == "1 pair" else "are"
    return (
        f"{there} with a preference between two different responses {verb} too few to say what "
        f"holds on {units.never_seen}: at least {needed} are needed."
    )


def _labels_to_check(data, report):
    """Return the labels that a cross-fitted model finds least likely, None without such a model.

    A model whose errors do not follow its margins ranks them, but judges none.
    """
    table = report.wrong_labels
    found = report.predictability
    if table is None or not found.is_predictable:
        return None
    rows = [
        {
            **data.pair(row),
            "probability": data.named_probability(row, probability),
            "p_wrong": float(p_wrong) if found.is_calibrated else None,
            "flagged": bool(flagged),
        }
        for row, probability, p_wrong, flagged in zip(
            table.row, table.probability, table.p_wrong, table.flagged, strict=True
        )
        if (data.y[row] > 0.5) != (probability > 0.5)
    ]
    n_flagged = sum(row["flagged"] for row in rows)
    return {
        "n_flagged": n_flagged,
        "n_unlikely": len(rows),
        "n_judged": len(table.row),
        "is_judged": found.is_calibrated,
        "rows": rows[: max(n_flagged, N_LISTED)],
    }
