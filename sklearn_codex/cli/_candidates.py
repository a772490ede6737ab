"""What ``rerank`` does: candidates read, rewarded, and marked where as good as the best."""

import argparse
from inspect import signature
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.frozen import FrozenEstimator

from sklearn_codex import CandidatePolicy
from sklearn_codex._categorical import normalize_log_within
from sklearn_codex._files.rows import read_rows
from sklearn_codex._layouts.candidates import Candidates, read_candidates
from sklearn_codex._layouts.given import given_of
from sklearn_codex._layouts.ranking import plural
from sklearn_codex.cli._inputs import place_of_argument
from sklearn_codex.cli._models import stages_of
from sklearn_codex.cli._options import readable

# Standard errors of an interval of 95 %.
_ERRORS = 1.96


def read_candidates_of(arguments: argparse.Namespace) -> Candidates:
    """Return the candidates of the file of a command."""
    place = place_of_argument(arguments.candidates)
    with readable(arguments.candidates) as path:
        return read_candidates(
            read_rows(path, place),
            given_of(arguments),
            response=arguments.response,
            numbers={} if arguments.logprobs is None else {"logprobs": arguments.logprobs},
            place=place,
        )


def rank_candidates(
    model: Any, read: Candidates, arguments: argparse.Namespace
) -> tuple[list[dict], list[str]]:
    """Return a row for each prompt, its candidates best first, and what to say of all of them."""
    rows = np.empty((len(read.groups), 2), dtype=object)
    rows[:, 0], rows[:, 1] = read.prompts, read.responses
    groups, is_policy = np.array(read.groups), isinstance(model, CandidatePolicy)
    policy = _policy(model, rows, groups, read, arguments)
    said = (arguments.kl_coef, arguments.target_kl, arguments.logprobs)
    by_policy = is_policy or any(value is not None for value in said)
    objective = policy.objective(
        rows, groups=groups, reference_log_prob=read.numbers.get("logprobs")
    )
    reward, best, choice = objective.token_reward, objective.optimum(), None
    # What candidates are ordered by, in units of the reward, so that its errors are theirs.
    merit = reward
    if by_policy:
        merit = policy.kl_coef_ * best
        choice = np.exp(normalize_log_within(best, groups))
    of_prompt = [_best_first(own, merit) for own in _split(groups)]
    error = _errors_of(model, rows, of_prompt)
    found = []
    for own in of_prompt:
        row = {"prompt": read.prompts[own[0]]} if read.prompts[own[0]] else {}
        row["responses"] = [read.responses[i] for i in own]
        row["scores"] = reward[own].tolist()
        if not is_policy:
            row["p_best"] = softmax(reward[own]).tolist()
        if choice is not None:
            row["probability"] = choice[own].tolist()
        row["tied"] = None
        if error is not None:
            row["tied"] = (merit[own[0]] - merit[own] <= _ERRORS * error[own]).tolist()
        row["order"] = (np.searchsorted(np.sort(own), own) if read.is_list else own).tolist()
        found.append(row)
    lines = [_say_read(arguments, read, len(found)), _say_ties(found)]
    if by_policy:
        lines.append(
            f"sklearn-codex: kl_coef {policy.kl_coef_:.4g}: the policy is {objective.kl(best):.4g} "
            "nats from the reference, a mean over prompts."
        )
    return found, lines


def _policy(model, rows, groups, read, arguments):
    """Return the policy by the reward of a model, or the model where it is one."""
    if isinstance(model, CandidatePolicy):
        for option in ("kl_coef", "target_kl"):
            if getattr(arguments, option) is not None:
                raise ValueError(
                    f"{arguments.model} is a policy and has its own kl_coef, "
                    f"{model.kl_coef_:.4g}. Leave out --{option.replace('_', '-')}."
                )
        return model
    if not hasattr(model, "reward"):
        raise ValueError(
            f"{arguments.model} has no reward model. Fit records that have preferences."
        )
    kl_coef = 1.0 if arguments.kl_coef is None else arguments.kl_coef
    policy = CandidatePolicy(FrozenEstimator(model), kl_coef=kl_coef, target_kl=arguments.target_kl)
    try:
        return policy.fit(rows, groups=groups, reference_log_prob=read.numbers.get("logprobs"))
    except ValueError as error:
        said = str(error)
        if said.startswith("target_kl "):
            raise ValueError(said.replace("target_kl", "--target-kl", 1)) from error
        raise


def _split(groups):
    """Return the rows of each prompt, in the order in which prompts appear."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.cumsum(np.bincount(groups))[:-1])


def _best_first(own, merit):
    return own[np.argsort(-merit[own], kind="stable")]


def _errors_of(model, rows, of_prompt):
    """Return the standard error (n_rows,) of what the best is better by; None if unknown."""
    stage = getattr(model, "reward_model_", model)
    stage = getattr(stage, "estimator", stage) if isinstance(stage, FrozenEstimator) else stage
    if not hasattr(stage, "predict_margin"):
        stages = stages_of(model).values() if hasattr(model, "steps_") else ()
        stage = next((s for s in reversed([*stages]) if hasattr(s, "predict_margin")), None)
    # One of ties has margins, and no error of them.
    if stage is None or "return_std" not in signature(stage.predict_margin).parameters:
        return None
    best = np.empty(len(rows), dtype=np.intp)
    for own in of_prompt:
        best[own] = own[0]
    if hasattr(model, "steps_"):  # whose stages know columns, and no words
        features = model.vectorizer_.transform(rows[:, 1].tolist())
        pairs = features[best] - features
    else:
        pairs = np.column_stack([rows[:, 0], rows[best, 1], rows[:, 1]])
    try:
        return stage.predict_margin(pairs, return_std=True)[1]
    except ValueError:  # it keeps no curvature
        return None


def _say_read(arguments, read, n_prompts):
    blank = f" {plural(read.n_blank, 'row')} without any value, left out."
    return (
        f"sklearn-codex: {place_of_argument(arguments.candidates)} read as: {read.layout}; "
        f"{plural(read.n_rows, 'row')}, {plural(n_prompts, 'prompt')}, "
        f"{plural(len(read.responses), 'candidate')}.{blank * (read.n_blank > 0)}"
    )


def _say_ties(found):
    if any(row["tied"] is None for row in found):
        return (
            "sklearn-codex: ties are not marked, as the model does not know how sure it is. A "
            "RewardUncertainty does, saved by save_model."
        )
    several = [row for row in found if len(row["responses"]) > 1]
    n_tied = sum(sum(row["tied"]) > 1 for row in several)
    return (
        f"sklearn-codex: in {n_tied} of {plural(len(several), 'prompt')} with several candidates "
        "others are within the error of the best (tied)."
    )
