"""From tests to verdicts: one word a question, which the sentences are made of.

Each question is asked at the level of 5 %. One that takes a yes to an earlier one is "not asked"
without it, so that what is said of a model is said only where labels are predicted at all.
"""

from sklearn_codex._plain import plain
from sklearn_codex._verdicts import LEVEL, WRONG_LABEL_LEVEL, Judgement
from sklearn_codex.report._audit_units import PROMPTS

ENOUGH_SHARE = 0.2
"""Shares: data that would miss .7 in more than one case of five, or do not rule it out, are too few
to tell."""
ENOUGH_GAIN = 0.1
WORTH = 0.02
"""A gain in accuracy below this is not worth a doubling of the prompts."""
CLOSE = 0.05
"""Probabilities within this of the calibrated ones, on average, can be read as they are."""
NOT_ASKED = "not asked"
YES = ("yes", "of pairs only")
"""What is said where labels are predicted, the second where nothing keeps pairs together."""


def reach_verdicts(audit, report, units):
    """Return a dict of the verdicts by question.

    Parameters
    ----------
    audit : dict
        The other figures, as in ``audit_preferences``.
    report : PreferenceReport
        Of the same pairs.
    units : Units
        What the audit keeps together.

    Returns
    -------
    verdicts : dict of dict
        Each has the ``verdict``, what the ``figure`` is of and, where one was asked, the fields of
        the test: ``value``, ``low``, ``high``, ``null``, ``p_value``, ``level``, ``detectable``,
        ``n_pairs``, ``n_groups``.
    """
    verdicts = {
        "position": _position(report.position),
        "wrong labels": _wrong_labels(report),
        "longer wins": _longer(audit["length"]),
    }
    yes = YES[0] if units.are_known else YES[1]
    if audit["too_small"]:
        return verdicts
    prediction, length = audit["prediction"], audit["length"]
    verdicts["predictable"] = _skill(
        prediction["models"][prediction["best"]], "the best model", yes
    )
    is_predictable = verdicts["predictable"]["verdict"] in YES
    verdicts["words predict"] = _skill(prediction["models"]["words"], "word counts", yes)
    verdicts |= {
        "form": _weights(audit["form"], "form"),
        "tokens": _weights(audit["tokens"], "tokens"),
        "slices": _slices(audit["slices"]),
        "authors": _authors(audit["slices"]["authors"]),
        "within kinds": _tastes(audit["slices"]["tastes"]),
    }
    if audit["embeddings"] is not None:
        verdicts |= _embeddings(audit["embeddings"], yes, is_predictable)
    asked = {
        "beyond length": _beyond(prediction),
        "treats length": _treats(length),
        "net of length": _net(length["words_net_of_length"], yes),
        "more labels": _more_labels(audit["learning_curve"], units),
        "calibrated": _calibrated(prediction["calibration"]),
    }
    return verdicts | (
        asked if is_predictable else {name: {"verdict": NOT_ASKED} for name in asked}
    )


def shows_more_than_length(verdicts):
    """Tell whether a test shows that something besides length predicts.

    It is a gain in accuracy over length, or a reward net of length that is told from a coin. Where
    length decides most pairs the second shows with fewer of them.
    """
    names = ("beyond length", "net of length")
    beyond, net = (verdicts.get(name, {}).get("verdict") for name in names)
    return beyond == "more" or net in YES


def _entry(verdict, figure, test):
    return {"verdict": verdict, "figure": figure, **test}


def _position(share):
    if share is None:
        return {"verdict": NOT_ASKED}
    names = ("low", "high", "p_value", "detectable", "n_pairs", "n_groups")
    test = {name: share[name] for name in names}
    test |= {"value": share["share"], "null": 0.5, "level": LEVEL}
    return _entry(
        Judgement(**test).pick("A", "B", ENOUGH_SHARE), "share of pairs that A wins", test
    )


def _wrong_labels(report):
    found = report.predictability
    if found is None or not (found.is_predictable and found.is_calibrated):
        return {"verdict": NOT_ASKED}
    return {
        "value": found.flip_rate,
        "low": found.flip_low,
        "high": found.flip_high,
        "null": 0.0,
        "n_pairs": found.n_pairs,
        "n_groups": found.n_groups,
        "verdict": "some" if report.wrong_labels.flagged.any() else "none shown",
        "figure": "share of wrong labels, by the errors of a model",
        "p_value": found.p_value,
        "level": WRONG_LABEL_LEVEL,
    }


def _longer(length):
    if length is None or length["longer_wins_test"] is None:
        return {"verdict": NOT_ASKED}
    test = length["longer_wins_test"]
    verdict = Judgement(**test).pick("longer", "shorter", ENOUGH_SHARE)
    return _entry(verdict, "share of pairs that the longer wins", test)


def _skill(figures, name, yes="yes"):
    test = figures["accuracy"]
    verdict = Judgement(**test).pick(yes, None, ENOUGH_SHARE)
    return _entry(verdict, f"accuracy of {name}", test)


def _embeddings(found, yes, is_predictable):
    """Tell whether embeddings predict, and whether they, or they and the preset, do it better."""
    models, gains = found["models"], found["gains"]
    skill = _skill(models["embeddings"], "embeddings", yes)
    beside = _skill(models["embeddings and preset"], "embeddings beside the preset", yes)
    verdicts = {"embeddings predict": skill}
    for name, key, asked in (
        ("embeddings beyond words", "embeddings", skill),
        ("embeddings beside words", "embeddings and preset", beside),
    ):
        verdicts[name] = {"verdict": NOT_ASKED}
        if is_predictable or asked["verdict"] in YES:
            verdict = Judgement(**gains[key]).pick("better", "worse", ENOUGH_GAIN)
            verdicts[name] = _entry(verdict, f"gain in accuracy of {key} over preset", gains[key])
    return verdicts


def _beyond(prediction):
    test = prediction["gain_over_length"]
    verdict = Judgement(**test).pick("more", "less", ENOUGH_GAIN)
    return _entry(verdict, "gain in accuracy over length alone", test)


def _treats(length):
    """Tell whether the model is right in both kinds of pair, or in one and wrong in the other."""
    longer, shorter = length["where_longer"], length["where_shorter"]
    if longer is None or shorter is None:
        return {"verdict": "one kind"}
    a, b = Judgement(**longer), Judgement(**shorter)
    verdict = "not shown"
    if a.is_above and b.is_above:
        verdict = "both"
    elif a.is_above and b.is_below:
        verdict = "padding"
    elif a.is_below and b.is_above:
        verdict = "brevity"
    # Both have to hold, so the weaker of the two is the evidence.
    name, weaker = max(
        (("longer", longer), ("shorter", shorter)), key=lambda pair: pair[1]["p_value"]
    )
    return _entry(verdict, f"accuracy where the {name} is better", weaker)


def _net(test, yes="yes"):
    if test is None:
        return {"verdict": "nothing left"}
    test = {name: value for name, value in test.items() if name != "change"}
    verdict = Judgement(**test).pick(yes, None, ENOUGH_SHARE)
    return _entry(verdict, "accuracy of word counts net of length", test)


def _more_labels(curve, units=PROMPTS):
    if curve is None:
        return {"verdict": NOT_ASKED}
    test = curve["last_doubling"]
    verdict = "unclear"
    if Judgement(**test).is_above:
        verdict = "rising"
    elif max(test["high"], _gain_foreseen(curve)) < WORTH:
        verdict = "flat"
    return _entry(verdict, f"gain in accuracy, last doubling of {units.many}", test)


def _gain_foreseen(curve):
    """Return the most that the next doubling is foreseen to bring."""
    predicted = curve["budget"]["predicted"]
    return predicted[0]["gain_high"] if predicted else float("inf")


def _calibrated(calibration):
    if calibration is None:
        return {"verdict": NOT_ASKED}
    test = Judgement(**calibration["slope"])
    verdict = "unclear"
    is_uneven = calibration["error_p_value"] < LEVEL
    if calibration["farthest"] <= CLOSE and not is_uneven:
        verdict = "close"
    elif test.is_below:
        verdict = "too sure"
    elif test.is_above:
        verdict = "too careful"
    elif is_uneven:  # which one slope does not show
        return {
            "verdict": "uneven",
            "figure": "mean gap of predicted and observed preference",
            "p_value": calibration["error_p_value"],
            "level": LEVEL,
        }
    return _entry(verdict, "slope of the calibration, in log-odds", calibration["slope"])


def _weights(figures, name):
    return {
        "verdict": "some" if figures["n_certain"] else "none shown",
        "figure": f"the surest of {figures['n_candidates']:,} weights of {name}",
        "p_value": figures["p_value"],
        "level": LEVEL,
    }


def _slices(slices):
    if not slices["n_tests"]:
        return {"verdict": NOT_ASKED}
    return {
        "verdict": "some" if slices["n_differing"] else "none shown",
        "figure": f"the surest of {slices['n_tests']:,} differences of a kind of pair",
        "p_value": slices["adjusted"],
        "level": slices["level"],
    }


def _authors(authors):
    if authors is None:
        return {"verdict": NOT_ASKED}
    two = " and ".join(map(plain, authors["columns"]))
    return {
        "verdict": "differ" if authors["n_differing"] else "none shown",
        "figure": f"the surest of {authors['n_tests']:,} differences of two of {two}",
        "p_value": authors["p_value"],
        "level": authors["level"],
    }


def _tastes(tastes):
    if tastes is None:
        return {"verdict": NOT_ASKED}
    return {
        "verdict": "some" if tastes["kinds"] else "none shown",
        "figure": f"the surest of {tastes['n_candidates']:,} words within a kind of pair",
        "p_value": tastes["p_value"],
        "level": LEVEL,
    }
