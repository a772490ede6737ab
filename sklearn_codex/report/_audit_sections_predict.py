"""Whether labels are predicted on prompts, groups or pairs never seen, in words."""

from sklearn_codex._verdicts import LEVEL
from sklearn_codex.report._audit_sections_embeddings import answer_of_embeddings, embeddings_blocks
from sklearn_codex.report._audit_units import Units
from sklearn_codex.report._audit_verdicts import YES
from sklearn_codex.report._audit_words import (
    NAMES,
    TOO_FEW,
    change,
    interval,
    percent,
    percent_of_few,
    shown_gains,
    turned,
    within,
)
from sklearn_codex.report._blocks import Chart, Note, Section, Series, TableBlock


def predictable_section(audit):
    """Return the section on how well labels are predicted."""
    units = Units.of(audit)
    question = f"Is it predictable on {units.never_seen}?"
    if audit["too_small"]:
        return Section(question, TOO_FEW, [Note(audit["too_small"]), _ceiling(audit)])
    verdicts, prediction = audit["verdicts"], audit["prediction"]
    best = prediction["best"]
    gains = shown_gains(audit)
    more = verdicts["more labels"]["verdict"]
    blocks = [
        _models_table(prediction, verdicts, gains["beyond length"], units),
        *embeddings_blocks(audit, units),
        _ceiling(audit),
        _curve(audit["learning_curve"], best, more, gains.get("more labels"), units),
        _calibration(prediction["calibration"], verdicts["calibrated"]["verdict"]),
    ]
    answer = answer_of_embeddings(audit, units)
    answer = answer or _answer(prediction, verdicts["predictable"]["verdict"], units)
    return Section(question, units.qualify(answer), blocks)


def _answer(prediction, verdict, units):
    best = prediction["best"]
    figure = prediction["models"][best]["accuracy"]
    if verdict in YES:
        alone = prediction["models"]["length only"]["accuracy"]["value"]
        beside = "" if best == "length only" else f", length alone on {percent(alone)}"
        says = "Yes" if units.are_known else "Within this file only"
        return (
            f"{says}: a model of {NAMES[best]} is right on {percent(figure['value'])} of the pairs "
            f"({percent(figure['low'])} to {percent(figure['high'])}){beside}, a coin on 50 %."
        )
    seen = f"the best of these models, {NAMES[best]}, is right on {within(figure)} of the pairs"
    if verdict == "too few":
        return f"The data are too few to say: {seen}, and a coin on 50 %."
    return (
        f"Not shown: {seen}, and a coin on 50 %. With so many pairs more than "
        f"{percent(figure['high'])} is ruled out for models of this kind."
    )


def _models_table(prediction, verdicts, gain, units):
    rows = [
        (
            NAMES[name],
            interval(figures["accuracy"]),
            interval(figures["log_loss"]),
            interval(figures["auc"]),
        )
        for name, figures in prediction["models"].items()
    ]
    header = ("model, 95% intervals", "accuracy", "log-loss, nats (coin .693)", "AUC")
    meaning = _models_meaning(prediction, verdicts, gain)
    if verdicts["predictable"]["verdict"] in YES:
        meaning = units.qualify(meaning)
    return TableBlock(header, rows, f"{meaning} {_measure(prediction)}")


def _measure(prediction):
    """Say what the verdict is by."""
    n_draws = prediction["n_draws_of_folds"]
    by = "The verdict is by accuracy, and by nothing else"
    if n_draws == 1:
        return f"{by}."
    return (
        f"{by}: it is averaged over {n_draws} draws of the folds, whose noise is in the interval."
    )


def _models_meaning(prediction, verdicts, gain):
    if verdicts["predictable"]["verdict"] not in YES:
        if verdicts.get("embeddings predict", {}).get("verdict") in YES:
            return "No model of words, letters and form can be told from a coin."
        return (
            "No model here can be told from a coin: before money is spent on these labels, more of "
            "them, a stronger model or a second look has to show that there is something to learn."
        )
    verdict = verdicts["beyond length"]["verdict"]
    name = NAMES[prediction["beyond_length"]]
    if verdict != "more" and verdicts["net of length"]["verdict"] in YES:
        seen = (
            f"Length alone does better than {name}, by {change(turned(gain))}"
            if verdict == "less"
            else f"That the model of {name} is right more often than length alone is not shown: it "
            f"differs from it by {change(gain)}"
        )
        return (
            f"{seen}. Still there is more in the labels than length, as words predict net of "
            "length too (below)."
        )
    if verdict == "more":
        return (
            f"The model of {name} beats length by {change(gain)}: there is more in the labels than "
            "length, so training a reward model can pay."
        )
    if verdict == "less":
        return (
            f"Length alone does better than {name}, by {change(turned(gain))}: what else is in the "
            "labels, these models do not learn from so many."
        )
    if verdict == "too few":
        return (
            f"Whether there is more than length cannot be told from so few: the model of {name} "
            f"differs from length by {change(gain)}."
        )
    return (
        f"More than length is not shown: the model of {name} differs from length by "
        f"{change(gain)}, which may be chance. Do not pay for a large reward model on this "
        "evidence alone."
    )


def _ceiling(audit):
    ceiling = audit["human_ceiling"]
    if ceiling is None:
        return Note(
            "How far people agree is unknown: no column holds the votes of three or more "
            "annotators. Have a hundred pairs labelled again to know how good is good enough."
        )
    return Note(" ".join(filter(None, [_reachable(ceiling["of_majority"]), _single(ceiling)])))


def _reachable(bounds):
    """Say how far the best model of majorities can agree with them."""
    if bounds is None:
        return ""
    ends = f"{_share(bounds['least'])} to {_share(bounds['greatest'])}"
    return (
        f"Two annotators of a pair disagree in {percent_of_few(bounds['disagreement'])} of cases. "
        f"If labels are the majority of such votes, the best model there can be agrees with {ends} "
        f"of them, by whether pairs are clear or a coin, or all in some doubt "
        f"({_share(bounds['low'])} to {_share(bounds['high'])} with the noise of so few votes): "
        "that is the ceiling, and it takes the annotators of a pair to be independent."
    )


def _share(share):
    return f"{100 * share:.1f} %"


def _single(ceiling):
    """Say what one vote is worth, which is no ceiling."""
    if ceiling["agreement"] is None:
        return ""
    return (
        f"One of the {ceiling['n_annotators']} annotators agrees with the majority of the others "
        f"on {percent(ceiling['agreement'])} of the pairs: so far can a single vote be relied on. "
        "It is no limit for a model of majorities."
    )


_CURVE = {
    "not asked": "Nothing is shown to be learned, so nothing is said of more labels.",
    "rising": "more labels would help.",
    "flat": "less than 2 points, and the next is foreseen to bring no more, so a better model "
    "helps more than more labels.",
    "unclear": "whether more labels help cannot be told from these.",
}


def _curve(curve, best, verdict, gain, units):
    if curve is None:
        return Note(f"Too few {units.many} for a learning curve: 40 are needed.")
    meaning = _CURVE[verdict]
    if verdict != "not asked":
        brought = f"brought {change(gain)}: {meaning}"
        if curve["last_doubling"]["value"] == curve["last_doubling"]["detectable"] == 0:
            brought = "turned no prediction round: half of them teach this model the same."
        meaning = f"The last doubling of {units.many} {brought}"
        meaning += _foreseen(curve["budget"], units)
    if curve["n_folds"] < curve["of_folds"]:
        meaning += (
            f" The curve is of {curve['n_folds']} of the {curve['of_folds']} parts of the "
            f"{units.many}, so its last point is not quite the accuracy above."
        )
    steps = curve["points"]
    series = Series(
        f"{NAMES[best]}, with 95% interval",
        [step["n_groups"] for step in steps],
        [step["value"] for step in steps],
        [step["low"] for step in steps],
        [step["high"] for step in steps],
        dots=True,
    )
    table = TableBlock(
        (f"{units.many} learned from", "accuracy"),
        [(step["n_groups"], interval(step)) for step in steps],
    )
    return Chart(
        "Learning curve: would more labels help?",
        f"{units.many} learned from (logarithmic)",
        f"accuracy on {units.never_seen}",
        [series],
        meaning,
        table,
        log_x=True,
    )


def _foreseen(budget, units):
    """Say what more prompts would bring, nothing where it is not foreseen."""
    if not budget["predicted"]:
        return ""
    said = [
        f"{step['n_prompts']:,} {units.many} ({step['n_new_pairs']:,} pairs more): "
        f"{percent(step['accuracy'])} ({percent(step['accuracy_low'])} to "
        f"{percent(step['accuracy_high'])}), {step['log_loss']:.2f} nats{_price(step)}"
        for step in budget["predicted"]
    ]
    ceiling = budget["ceiling"]
    bound = "" if ceiling is None else f", and none above {_share(ceiling)}, the most votes allow"
    return f" Foreseen with {'; with '.join(said)}. Nothing is foreseen past that{bound}."


def _price(step):
    # A price of what may be no gain at all is none.
    if step["gain_low"] <= 0 or step["pairs_per_point"] is None:
        return ""
    return f", {step['pairs_per_point']:,.0f} pairs a point"


_CALIBRATED = {
    "not asked": "Nothing is shown to be predicted, so probabilities are not to be read at all.",
    "close": "none that fits moves probabilities by more than 5 points on average, and the bins "
    "differ by no more than chance makes them, so that the probabilities of this model can be read "
    "as they are, to within 5 points",
    "uneven": "no slope is told from 1, but the bins differ by more than chance makes them, so the "
    "probabilities of this model are off in a way that one slope does not mend, and must be "
    "recalibrated, bin by bin or by an isotonic curve, before a threshold is put on them",
    "too sure": "this model is too sure, and its probabilities must be recalibrated before a "
    "threshold is put on them",
    "too careful": "this model is too careful, and its probabilities must be recalibrated before a "
    "threshold is put on them",
    "unclear": "these pairs do not tell whether the probabilities are right to within 5 points, "
    "and nothing says that they are off",
}


def _calibration(figures, verdict):
    if figures is None:
        return Note("Too few pairs for a calibration curve: 200 are needed.")
    predicted, observed = figures["predicted"], figures["observed"]
    width = [1.96 * error for error in figures["standard_error"]]
    series = [
        Series(
            "observed, 95% interval",
            predicted,
            observed,
            [max(0.0, y - w) for y, w in zip(observed, width, strict=True)],
            [min(1.0, y + w) for y, w in zip(observed, width, strict=True)],
            dots=True,
        ),
        Series("perfect calibration", [0.5, 1.0], [0.5, 1.0], dashed=True),
    ]
    table = TableBlock(
        ("predicted", "observed", "pairs"),
        [
            (f"{p:.2f}", f"{o:.2f}", n)
            for p, o, n in zip(predicted, observed, figures["n"], strict=True)
        ],
    )
    return Chart(
        "Calibration: does 80 % mean 80 %?",
        "predicted share, where the model prefers",
        "share that was preferred",
        series,
        _calibration_meaning(figures, verdict),
        table,
    )


def _calibration_meaning(figures, verdict):
    if verdict == "not asked":
        return _CALIBRATED[verdict]
    slope = figures["slope"]
    best = f"are {interval(slope, 2)} times the model's"
    if slope["value"] is None and slope["low"] is not None:
        least = f"{slope['low']:.2f} times its own fit"
        best = f"have no bound, as no pair is against the model, and {least}"
    return (
        f"Predicted and observed preference differ by {100 * figures['error']:.1f} points on "
        f"average, {100 * figures['error_by_chance']:.1f} where calibration is perfect "
        f"(p {_p_value(figures['error_p_value'])}, level {LEVEL:g}). "
        f"The log-odds that fit best {best} ({_tested(slope)}): "
        f"{_CALIBRATED[verdict]}."
    )


def _tested(test):
    """Return the p-value and the level of a test of calibration."""
    return f"1 where calibrated; p {_p_value(test['p_value'])}, level {test['level']:g}"


def _p_value(p_value):
    return "< .001" if p_value < 0.001 else f"= {p_value:.3f}"
