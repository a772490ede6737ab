"""Random calls over the whole public API: ``run(n_cases, seed)``, or one by ``replay(seed, case)``.

Arguments are good ones, of which one or two are replaced by hostile, broken or odd values. What
comes has to be a result, or an error that says what is wrong. Of results it is checked that what
is a distribution sums to one, that nothing is NaN, that the same call gives the same again, and
that nothing given was written to.
"""

import reprlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import joblib
import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp

from fuzz import lab_values
from fuzz.mutations import mutate
from fuzz.outcomes import Outcomes, is_worded
from fuzz.subjects import Subject, discover

# Seconds after which a call of this size hangs.
LONGEST = 10.0
# NaN is an answer there, and documented.
MAY_BE_NAN = {
    *("EosObjective.covariance", "NGramObjective.covariance"),  # of documents that are cut
    *("expected_max", "stack_rankings"),  # the error of one subset; responses as given
    "FixedKLController.next_coef",  # what it is given
    "length_controlled_win_rate.interval",  # of one group
    *("TiePreferenceModel.tie_parameter_interval", "length_audit", "fleiss_kappa"),
    "author_share.share",  # of a reward that predicts nothing
    *("off_policy_value", "CandidatePolicy.off_policy_value"),  # which are refused
    "ModelRatings",  # where nothing tells which of two is better
    *("annotator_accuracy", "pairwise_agreement", "win_rate", "preference_auc"),
    *("spearman_correlation", "kendall_correlation", "accuracy_by_slice", "sectioned_accuracy"),
    *("paired_cluster_bootstrap", "PreferenceRewardModelCV.score"),
}


# So many of them may be asked for, and take for ever.
ENDLESS = {"n_estimators", "n_epochs", "max_iter", *lab_values.ENDLESS}
# Which any value can be, as it is true or false.
FLAGS = {"return_std", "show_counts"}


def _part(name):
    return name.rsplit(".", 1)[-1]


@cache
def _subjects():
    subjects = discover()
    weights = np.array([subject.weight for subject in subjects])
    return subjects, weights / weights.sum()


def run(n_cases: int, seed: int) -> Outcomes:
    """Try so many cases."""
    import matplotlib

    matplotlib.use("Agg")
    outcomes = Outcomes()
    for case in range(n_cases):
        try_case(outcomes, seed, case)
        if case % 20 == 19:
            _close_figures()
    return outcomes


def try_case(outcomes: Outcomes, seed: int, case: int) -> None:
    """Try one case, which its numbers alone decide."""
    subject, arguments, changed, rng = draw_case(seed, case)
    outcomes.try_case(
        f"calls {seed} {case}: {describe(subject, arguments, changed)}",
        lambda: _call_and_check(subject, arguments, changed, again=rng.rand() < 0.25),
        is_clear=is_worded,
        seconds=LONGEST,
    )


def replay(seed: int, case: int) -> Any:
    """Call a case again, for a debugger."""
    subject, arguments, changed, _ = draw_case(seed, case)
    print(describe(subject, arguments, changed))
    return _call_and_check(subject, arguments, changed, again=True)


def draw_case(seed: int, case: int):
    """Return what is called, with which arguments, and which of these are odd."""
    rng = np.random.RandomState([seed, case])
    subjects, weights = _subjects()
    subject = subjects[rng.choice(len(subjects), p=weights)]
    arguments = subject.draw(rng)
    names = [name for name in arguments if not name.startswith("_") and _part(name) not in FLAGS]
    n_changed = min(len(names), rng.choice([0, 1, 2], p=[0.1, 0.7, 0.2]))
    # What is long is more interesting than what is a number.
    interest = np.array([3.0 if hasattr(arguments[name], "__len__") else 1.0 for name in names])
    interest = interest / interest.sum() if names else None
    changed = list(rng.choice(names, size=n_changed, replace=False, p=interest)) if names else []
    for name in changed:
        arguments[name] = mutate(rng, arguments[name])
        if _part(name) in ENDLESS:
            arguments[name] = _few(arguments[name])
    return subject, arguments, changed, rng


def _few(value):
    """Return a number, or all in a sequence, of 2 at most, and anything else as it is."""
    if isinstance(value, int):
        return min(value, 2)
    if isinstance(value, list | tuple | bytes | bytearray):
        return type(value)(map(_few, value))
    return value


def describe(subject: Subject, arguments: dict, changed: list[str]) -> str:
    """Return a case in words."""
    odd = ", ".join(f"{name}={_show(arguments[name])}" for name in changed)
    called = "+".join(arguments.get("_called", []))
    return f"{subject.name}{' ' + called if called else ''}({odd})"


def _show(value):
    try:
        text = reprlib.repr(value)
    except Exception as error:
        text = f"{type(error).__name__} of repr"
    shape = getattr(value, "shape", "")
    return f"{type(value).__name__}{shape if isinstance(shape, tuple) else ''} {text}"[:140]


def _call_and_check(subject, arguments, changed, *, again):
    before = _fingerprint(_data(arguments)) if again else None
    result = subject.call(arguments)
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict):
        _check_distributions(*result)
    _check_no_nan(subject.name, result[1] if isinstance(result, tuple) else result)
    if before is not None:
        assert _fingerprint(_data(arguments)) == before, "what was given is changed"
    is_spent = any(hasattr(value, "__next__") for value in arguments.values())
    is_seeded = not any("random_state" in name for name in changed)
    if again and before is not None and is_seeded and not is_spent:
        first, second = (_fingerprint(_numbers(r)) for r in (result, subject.call(arguments)))
        assert first == second, "the same call gives another result"


def _data(arguments):
    """Return the arguments that hold data; objects may remember what they computed."""
    return {name: value for name, value in arguments.items() if hasattr(value, "__len__")}


def _fingerprint(value):
    """Return a digest of values; None where they have none."""
    try:
        return joblib.hash(value)
    except Exception:
        return None


def _numbers(result):
    """Return what a call returned, without the object it was a method of."""
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict):
        subject, returned = result
        learned = {
            name: value
            for name in ("token_log_prob_", "coef_", "n_features_in_")
            if (value := getattr(subject, name, None)) is not None
        }
        return {**{k: v for k, v in returned.items() if v is not subject}, **learned}
    return result


def _check_distributions(subject, returned):
    log_prob = getattr(subject, "token_log_prob_", None)
    if log_prob is not None:
        _assert_sums(np.exp(logsumexp(log_prob)), "token_log_prob_")
    if (proba := returned.get("predict_proba")) is not None and not hasattr(proba, "compute"):
        _assert_sums(proba.sum(axis=1), "predict_proba")
    if (log_proba := returned.get("predict_log_proba")) is not None:
        _assert_sums(np.exp(logsumexp(log_proba, axis=1)), "predict_log_proba")
    if type(subject).__name__ in ("AdditiveObjective", "EosObjective") and "optimum" in returned:
        _assert_sums(np.exp(logsumexp(returned["optimum"])), "optimum")


def _assert_sums(totals, what):
    assert np.allclose(totals, 1.0, atol=1e-6), f"{what} sums to {np.ravel(totals)[:3]}"


def _check_no_nan(name, returned):
    for place, array in _arrays(returned, name):
        if not any(place.startswith(known) for known in MAY_BE_NAN):
            assert not np.isnan(array).any(), f"NaN in {place}"


def _arrays(value, place):
    """Yield the arrays of floats in what was returned."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if not str(key).startswith(("fit", "partial_fit")):
                yield from _arrays(entry, f"{place}.{key}")
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _arrays(entry, place)
    elif sp.issparse(value):
        yield from _arrays(value.data, place)
    elif isinstance(value, (float, np.ndarray, np.floating)):
        array = np.asarray(value)
        if array.dtype.kind == "f":
            yield place, array


def _close_figures():
    import matplotlib.pyplot as plt

    plt.close("all")
