"""The audit in words: each figure with the sentence that says what it means for a decision."""

from sklearn_codex.report._audit_sections_policy import learned_section, preferred_section
from sklearn_codex.report._audit_sections_split import split_blocks
from sklearn_codex.report._blocks import Chart, Examples, Findings, Note, Section, Series, Table
from sklearn_codex.report._tables import number

N_EXAMPLES = 10
COIN = 0.6931
# What is an argument in Python is a column in a file.
_ARGUMENTS = {
    ": report.groups joins them,": ": they are joined here,",
    " Pass a better model=.": "",
}
NAMES = {
    "length only": "length only",
    "words": "word counts",
    "preset": "words, letters and form",
}


def percent(share):
    """Return a share in percent."""
    return f"{100 * share:.0f} %"


def interval(figure, digits=3):
    """Return a figure with its 95% interval."""
    return f"{figure['value']:.{digits}f} [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"


def points(share):
    """Return a difference of shares in points, with its sign."""
    return f"{100 * share:+.1f}"


def audit_sections(audit):
    """Return the sections of an audit, as from ``audit_preferences``, in reading order."""
    return [
        _clean(audit),
        _predictable(audit),
        _only_length(audit),
        preferred_section(audit),
        learned_section(audit),
        _to_do(audit),
    ]


def _clean(audit):
    findings = audit["health"]
    bad = [finding for finding in findings if finding["status"] == "look"]
    leaks = audit["leakage"] is not None and audit["leakage"]["n_leaking"] > 0
    sizes = audit["sizes"]
    n_bad = len(bad) + leaks
    what = "1 thing" if n_bad == 1 else f"{n_bad} things"
    answer = f"{what} to look at before training." if n_bad else "Nothing stands out."
    if leaks:
        answer += " The split leaks: what it holds out is in part known before."
    order = {"look": 0, "note": 1, "ok": 2, "skipped": 3}
    items = [
        (finding["status"], _finding_text(finding))
        for finding in sorted(findings, key=lambda finding: order[finding["status"]])
    ]
    table = Table(
        ("size", "number"),
        [
            ("pairs", sizes["n_pairs"]),
            ("independent prompts (similar ones joined)", sizes["n_groups"]),
            ("ties", sizes["n_ties"]),
            ("different responses", sizes["n_responses"]),
            ("characters of a response, median", sizes["characters"]),
        ],
        "The number of prompts, not that of pairs, says how much can be known: pairs of one prompt "
        "share what makes it special.",
    )
    meaning = (
        "Mend what is marked ! first: every figure below is computed from the data as they are."
        if bad
        else "No cleaning is needed before you read on."
    )
    blocks = [table, Findings(items, meaning), *_worst_rows(findings), *split_blocks(audit)]
    return Section("Is it clean?", answer, blocks)


def _worst_rows(findings):
    """Show the worst rows of each finding to look at, if any."""
    items = [
        (
            f"Row {row['row']}: {_first_sentence(finding['text'])}",
            [*_texts(row), ("Label", f"{row['label']:g} (1 is A preferred, 0.5 a tie)")],
        )
        for finding in findings
        for row in finding["worst"]
    ]
    meaning = (
        "The first rows of each finding marked !, as they are: read them before you decide whether "
        "to drop, to relabel or to keep."
    )
    return [Examples(items, meaning, "The worst rows")] if items else []


def _first_sentence(text):
    return text.partition(". ")[0].rstrip(".:")


def _texts(row, prefix=""):
    """Return the texts of a pair under their labels."""
    return [
        ("Prompt", row[f"{prefix}prompt"]),
        ("A", row[f"{prefix}response_a"]),
        ("B", row[f"{prefix}response_b"]),
    ]


def _finding_text(finding):
    text = finding["text"]
    for argument, column in _ARGUMENTS.items():
        text = text.replace(argument, column)
    rows = list(dict.fromkeys(finding["rows"]))
    if not rows:
        return text
    shown = ", ".join(map(str, rows[:8])) + (", …" if len(rows) > 8 else ".")
    name = "row" if text.endswith(":") else "Row"
    return f"{text} {name}{'s' if len(rows) > 1 else ''} {shown}"


def _predictable(audit):
    question = "Is it predictable on prompts never seen?"
    if audit["too_small"]:
        blocks = [Note(audit["too_small"])]
        _add_ceiling(blocks, audit)
        return Section(question, "The data are too few to say.", blocks)
    prediction = audit["prediction"]
    best = prediction["best"]
    figure = prediction["models"][best]["accuracy"]
    better = prediction["models"][best]["log_loss"]["high"] < COIN
    if better:
        alone = prediction["models"]["length only"]["accuracy"]["value"]
        beside = "" if best == "length only" else f", length alone on {percent(alone)}"
        sure = "Yes" if figure["low"] > 0.5 else "Barely"
        answer = (
            f"{sure}: a model of {NAMES[best]} is right on {percent(figure['value'])} of the pairs "
            f"({percent(figure['low'])} to {percent(figure['high'])}){beside}, a coin on 50 %."
        )
    else:
        answer = (
            f"Not by these models: the best, {NAMES[best]}, is right on "
            f"{percent(figure['value'])} ({percent(figure['low'])} to {percent(figure['high'])}), "
            "and its log-loss cannot be told from a coin's."
        )
    blocks = [_models_table(prediction, best)]
    _add_ceiling(blocks, audit)
    blocks.append(_curve(audit["learning_curve"], best))
    blocks.append(_calibration(prediction["calibration"]))
    return Section(question, answer, blocks)


def _models_table(prediction, best):
    rows = [
        (
            NAMES[name],
            interval(figures["accuracy"]),
            interval(figures["log_loss"]),
            interval(figures["auc"]),
        )
        for name, figures in prediction["models"].items()
    ]
    gain = prediction["gain_over_length"]
    bounds = f"{points(gain['low'])} to {points(gain['high'])}"
    if prediction["models"][best]["log_loss"]["high"] >= COIN:
        meaning = (
            "No model here can be told from a coin: do not train on these labels before a stronger "
            "model, or a second look at them, shows that there is something to learn."
        )
    elif best == "length only":
        meaning = "Nothing beats length: a reward model of such data would learn to write longer."
    elif gain["low"] > 0:
        meaning = (
            f"The best model beats length by {points(gain['value'])} points ({bounds}): there is "
            "more in the labels than length, so training a reward model can pay."
        )
    else:
        meaning = (
            f"The best model differs from length by {points(gain['value'])} points ({bounds}), "
            "which may be chance: do not pay for a large reward model on this evidence alone."
        )
    header = ("model, 95% intervals", "accuracy", "log-loss, nats (coin .693)", "AUC")
    return Table(header, rows, meaning)


def _add_ceiling(blocks, audit):
    ceiling = audit["human_ceiling"]
    if ceiling is None:
        blocks.append(
            Note(
                "The human ceiling is unknown: no column holds the votes of three or more "
                "annotators. Have a hundred pairs labelled again to know how good is good enough."
            )
        )
        return
    blocks.append(
        Note(
            f"Human ceiling: one of the {ceiling['n_annotators']} annotators agrees with the "
            f"majority of the others on {percent(ceiling['agreement'])} of the pairs. No reward "
            "model can be expected to do better; the distance to it is what a better model may win."
        )
    )


def _curve(curve, best):
    if curve is None:
        return Note("Too few prompts for a learning curve: 40 are needed.")
    steps = curve["points"]
    last = curve["last_doubling"]
    change = f"{points(last['value'])} points ({points(last['low'])} to {points(last['high'])})"
    if last["low"] > 0:
        meaning = f"The last doubling of prompts brought {change}: more labels would help."
    elif last["high"] < 0.02:
        meaning = (
            f"The last doubling of prompts brought {change}: this kind of model has learned what "
            "it can; a better model helps more than more labels."
        )
    else:
        meaning = (
            f"The last doubling of prompts brought {change}: whether more labels help cannot be "
            "told from these."
        )
    x = [step["n_groups"] for step in steps]
    series = Series(
        f"{NAMES[best]}, with 95% interval",
        x,
        [step["value"] for step in steps],
        [step["low"] for step in steps],
        [step["high"] for step in steps],
        dots=True,
    )
    table = Table(
        ("prompts learned from", "accuracy"), [(step["n_groups"], interval(step)) for step in steps]
    )
    return Chart(
        "Learning curve: would more labels help?",
        "prompts learned from (logarithmic)",
        "accuracy on new prompts",
        [series],
        meaning,
        table,
        log_x=True,
    )


def _calibration(figures):
    if figures is None:
        return Note("Too few pairs for a calibration curve: 200 are needed.")
    predicted, observed = figures["predicted"], figures["observed"]
    error = figures["error"]
    verdict = (
        "can be read as they are"
        if error < 0.05
        else "must be recalibrated before a threshold is put on them"
    )
    meaning = (
        f"Predicted and observed preference differ by {100 * error:.1f} points on average: the "
        f"probabilities of this model {verdict}."
    )
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
    table = Table(
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
        meaning,
        table,
    )


def _only_length(audit):
    question = "Is it only length?"
    length = audit["length"]
    if length is None:
        return Section(question, "All pairs are ties: there is nothing to explain.", [])
    wins = length["longer_wins"]
    if audit["too_small"]:
        answer = (
            f"The data are too few to say: the longer response wins {percent(wins)} of these "
            f"{length['n_pairs']:,} pairs."
        )
        return Section(question, answer, [Note(audit["too_small"])])
    rows = [
        ("the longer is better", length["n_longer_preferred"], length["accuracy_longer_preferred"]),
        (
            "the shorter is better",
            length["n_shorter_preferred"],
            length["accuracy_shorter_preferred"],
        ),
    ]
    shorter = length["accuracy_shorter_preferred"]
    trust = (
        "it sees more than length."
        if shorter is not None and shorter > 0.5
        else "where the shorter is better it is worse than a coin, so it would reward padding."
    )
    split = Table(
        ("pairs where", "pairs", "accuracy of the best model"),
        [(name, n, "none" if value is None else f"{value:.3f}") for name, n, value in rows],
        f"The best model prefers the longer response in {percent(length['model_prefers_longer'])} "
        f"of the pairs; {trust}",
    )
    return Section(question, _length_answer(audit), [split, _net_of_length(audit)])


def _length_answer(audit):
    wins, (low, high) = audit["length"]["longer_wins"], audit["length"]["longer_wins_interval"]
    which = "longer"
    if high < 0.5:
        which, wins, low, high = "shorter", 1 - wins, 1 - high, 1 - low
    seen = (
        f"the {which} response wins {percent(wins)} of the pairs ({percent(low)} to "
        f"{percent(high)})"
    )
    if low <= 0.5 <= high:
        return f"No sign of it: {seen}."
    if audit["prediction"]["gain_over_length"]["low"] <= 0:
        return f"It may be: {seen}, and no model here surely does better than length alone."
    return f"Not only, but length is part of it: {seen}, and words say more than length alone."


def _net_of_length(audit):
    net, words = audit["length"]["words_net_of_length"], audit["prediction"]["models"]["words"]
    if net is None:
        return Note("Length tells every label, so nothing is left of a reward net of length.")
    left = (
        "what is left of the reward still predicts, so train it net of length (control_length=True)"
        if net["low"] > 0.5
        else "nothing sure is left of this reward when length is taken out"
    )
    return Table(
        ("reward of word counts", "accuracy"),
        [("with length", interval(words["accuracy"])), ("net of length", interval(net))],
        f"Net of length the reward is right on {percent(net['value'])}: {left}.",
    )


def _to_do(audit):
    labels, pairs = audit["labels_to_check"], audit["pairs_to_label"]
    question = "Which labels to check, which pairs to label next?"
    blocks: list = []
    if labels is None:
        blocks.append(Note("No model is good enough here to doubt a label."))
    elif not labels["rows"]:
        blocks.append(Note("The model agrees with every label: none is worth a second look."))
    else:
        blocks.append(_labels(labels))
    if pairs is None or not pairs["rows"]:
        blocks.append(Note("Too few data to say which pair would teach more than another."))
    else:
        blocks.append(_next_pairs(pairs))
    return Section(question, _to_do_answer(labels, pairs), blocks)


def _to_do_answer(labels, pairs):
    if labels is None and pairs is None:
        return "The data are too few to say."
    n = 0 if labels is None else labels["n_flagged"]
    if n:
        which = "1 label is" if n == 1 else f"{number(n)} labels are"
        return f"{which} more likely wrong than right; read first what is below."
    return "No label is surely wrong; the least likely ones and the most telling pairs are below."


def _labels(labels):
    items = [
        (
            f"Row {row['row']}: labelled {_preferred(row['label'])}, the model gives that "
            f"{_chance(row)}",
            _texts(row),
        )
        for row in labels["rows"][:N_EXAMPLES]
    ]
    meaning = (
        "These are the labels a model that never saw the prompt finds least likely; an hour of "
        "reading them tells whether it is the label or the model that errs. All are in "
        "labels_to_check.csv."
    )
    return Examples(items, meaning, "Labels to check")


def _preferred(label):
    return "A better" if label > 0.5 else "B better"


def _chance(row):
    chance = row["probability"] if row["label"] > 0.5 else 1 - row["probability"]
    return "under 1 %" if chance < 0.01 else percent(chance)


def _next_pairs(pairs):
    items = [
        (
            f"P(A preferred) = {row['probability']:.2f}, {row['information']:.2f} nats to learn",
            _texts(row),
        )
        for row in pairs["rows"][:N_EXAMPLES]
    ]
    which = (
        "Responses to one prompt that nobody has compared yet"
        if pairs["are_new"]
        else "Every two responses to one prompt are compared already; these pairs are worth a "
        "second annotator"
    )
    meaning = (
        f"{which}, chosen one after another for what a label would tell the reward, as if those "
        "before were labelled: labels spent here teach most. All are in pairs_to_label.csv."
    )
    return Examples(items, meaning, "Pairs to label next")
