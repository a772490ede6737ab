"""The verdict on the data, its reason and what to do, in words."""

from sklearn_codex._plain import plain
from sklearn_codex.report._audit_data import MIN_GROUPS, MIN_PAIRS
from sklearn_codex.report._audit_decision import FIX, OPEN, STOP, TRAIN, effect_of, heaviest
from sklearn_codex.report._audit_places import name_places
from sklearn_codex.report._audit_units import Units
from sklearn_codex.report._audit_words import NAMES, percent, percent_of_few, within
from sklearn_codex.report._blocks import Decision, Task
from sklearn_codex.report._plural import count

SAYS = {
    TRAIN: ("Train on it", "good"),
    FIX: ("Fix these first", "warn"),
    STOP: ("Do not train on this", "bad"),
    OPEN: ("Cannot be decided yet", "open"),
}
N_KINDS = 3
UNCHANGED = "no prediction changes"
NAT = (
    "Nat: the unit of log-loss and KL. A coin costs 0.693 nats a pair, certainty none; reward "
    "differences are in nats of log-odds, 1 of which makes a preference 73 %."
)


def decision_block(audit):
    """Return the verdict on an audit with its reason and its tasks."""
    verdict, tone = SAYS[audit["decision"]["verdict"]]
    return Decision(verdict, tone, give_reason(audit), list_tasks(audit))


def give_reason(audit):
    """Return the one reason of the verdict, in a sentence."""
    return _REASONS[audit["decision"]["reason"]](audit)


def _accuracy(audit):
    prediction = audit["prediction"]
    return prediction["models"][prediction["best"]]["accuracy"]


def _best(audit):
    return f"{NAMES[audit['prediction']['best']]} {within(_accuracy(audit))}"


def _nothing(audit):
    figure = _accuracy(audit)
    return (
        f"No model can be told from a coin on {Units.of(audit).never_seen}: the best, of "
        f"{_best(audit)}. More than {percent(figure['high'])} is ruled out for models of this kind."
    )


def _not_shown(audit):
    units, figure = Units.of(audit), _accuracy(audit)
    if (figure["low"], figure["high"]) != (0, 1):
        return f"Too few data to tell a model from a coin: {_best(audit)} on {units.never_seen}."
    joined = ", similar ones joined," if units.one == "prompt" else ""
    said = f"A few {units.many}{joined} hold most of the pairs, so nothing is known of others."
    if not joined:
        return said
    return f"{said} If these are no one task, name a column of what belongs together (--by)."


def _embeddings_alone(audit):
    figure = audit["embeddings"]["models"]["embeddings"]["accuracy"]
    return (
        f"No model of words is told from a coin on {Units.of(audit).never_seen}: {_best(audit)}. A "
        f"reward of the embeddings is: {within(figure)}. All else here is asked of words."
    )


def _within_kinds(audit):
    said = _kinds_of(audit["slices"]["tastes"]["kinds"])
    return (
        f"No one model of all pairs can be told from a coin on {Units.of(audit).never_seen}, but "
        f"some words are preferred, or not, beyond chance where {said}: tastes that differ cancel "
        "in one model."
    )


def _kinds_of(kinds):
    """Name the first kinds, such as "style is formal, or casual"."""
    column = kinds[0]["column"]
    names = [kind["kind"] for kind in kinds if kind["column"] == column]
    return f"{plain(column)} is {', or '.join(map(plain, names[:N_KINDS]))}"


def _one_length(audit):
    test = audit["length"]["longer_wins_test"]
    if audit["verdicts"]["longer wins"]["verdict"] == "shorter":
        test = {"value": 1 - test["value"], "low": 1 - test["high"], "high": 1 - test["low"]}
        return f"the shorter response wins {within(test)}"
    return f"the longer response wins {within(test)}"


def _leakage(audit):
    leaks = audit["leakage"]
    return (
        f"The split leaks: {leaks['n_leaking']:,} of {leaks['n_held_out']:,} held-out pairs stand "
        "in another part too, so an accuracy on them measures memory."
    )


def _follows(length):
    def say(audit):
        one, other = (
            percent(audit["length"][f"where_{which}"]["value"]) for which in ("longer", "shorter")
        )
        return (
            f"A reward would pay for {length}: the best model is right on {one} of the pairs where "
            f"the longer response is better and on {other} where the shorter is. Train net of "
            "length (control_length=True)."
        )

    return say


def _wrong(audit):
    n, of = audit["labels_to_check"]["n_flagged"], audit["sizes"]["n_pairs"]
    are = "is" if n == 1 else "are"
    return f"{count(n, 'label')} of {of:,} {are} more likely wrong than right."


def _unjudged(labels):
    """Say what was not checked where the model that judges labels only ranks them."""
    if labels is None or labels["is_judged"]:
        return ""
    return " Single labels could not be judged: read the least likely ones."


def _harm(audit):
    item = next(item for item in audit["to_do"] if effect_of(item) == "raises")
    return f"{_what(item)}: without them accuracy on {Units.of(audit).never_seen} {_effect(item)}."


def _many(audit):
    item = heaviest(audit)
    share = percent_of_few(item["n_rows"] / audit["sizes"]["n_pairs"])
    return f"{_what(item)}, {share} of all."


def _scores(audit):
    item = next(item for item in audit["to_do"] if item["kind"] == "scores")
    return (
        f"{_what(item)}, which are most: a column, or the label, may be read the wrong way round."
    )


_REASONS = {
    "no preference": lambda audit: audit["too_small"],
    "too few": lambda audit: audit["too_small"],
    "embeddings alone": _embeddings_alone,
    "within kinds": _within_kinds,
    "nothing predictable": _nothing,
    "nothing shown": _not_shown,
    "no prompts": lambda audit: (
        f"Labels are predicted within this file only, {_best(audit)}: without prompts, pairs of "
        "one prompt may stand on both sides."
    ),
    "against scores": _scores,
    "leakage": _leakage,
    "only length": lambda audit: (
        f"It may be only length: {_one_length(audit)}, and nothing else is shown to predict: no "
        "model does better than length alone, and none net of length is told from a coin."
    ),
    "length or more": lambda audit: (
        f"Too few data to tell more than length: {_one_length(audit)}, and whether words say more "
        "is not shown."
    ),
    "padding": _follows("padding"),
    "brevity": _follows("brevity"),
    "wrong labels": _wrong,
    "rows that harm": _harm,
    "many rows": _many,
    "nothing against it": lambda audit: (
        f"Labels are predicted on {Units.of(audit).never_seen}, {_best(audit)}, and no check found "
        f"a reason to wait.{_unjudged(audit['labels_to_check'])}"
    ),
}
REASONS = tuple(_REASONS)


def list_tasks(audit):
    """Return what to do, as tasks: first what no dropping mends, then rows in their order."""
    tasks = [*_first_tasks(audit)]
    for item in audit["to_do"]:
        action = _ACTIONS[item["kind"]].format(names=item["names"])
        where = name_places(item["where"])
        where += "" if where.endswith("…") else "."
        effect = item["effect"]
        numbers = _change(effect, ",") if effect is not None and effect["n_changed"] else ""
        tasks.append(Task(action, item["n_rows"], _effect(item), where, effect_of(item), numbers))
    return tasks


def _first_tasks(audit):
    prompts, leaks = audit["prompts"], audit["leakage"]
    if not Units.of(audit).are_known:
        n, warning = prompts["n_pairs_without"], prompts["warning"] or ""
        yield Task("Say which pairs belong together", n, "", warning)
    if leaks is not None and leaks["n_leaking"]:
        yield Task(
            "Drop held-out pairs that leak",
            leaks["n_leaking"],
            "an accuracy on this split is no memory then",
            "All are in split_leaks.csv."
            if leaks["n_leaking"] <= len(leaks["rows"])
            else f"The first {len(leaks['rows'])} are in split_leaks.csv.",
        )
    if audit["decision"]["reason"] == "within kinds":
        kinds = audit["slices"]["tastes"]["kinds"]
        column = kinds[0]["column"]
        yield Task(
            f"Audit the pairs of each {plain(column)} alone",
            sum(kind["n_pairs"] for kind in kinds if kind["column"] == column),
            "",
            " ".join(
                f"{plain(kind['kind'])}: {', '.join(map(plain, kind['words'][:N_KINDS]))}."
                for kind in kinds
                if kind["column"] == column
            ),
        )
    more = _more_needed(audit)
    if more:
        yield Task(more, 0, "", "")
    if audit["verdicts"].get("more labels", {}).get("verdict") == "rising":
        yield Task(
            "Label more: the last doubling helped",
            0,
            "",
            "The most telling pairs are in pairs_to_label.csv.",
        )


def _more_needed(audit):
    """Return what to label where the data are too few, "" where they are not."""
    units, reason = Units.of(audit), audit["decision"]["reason"]
    if reason == "too few":
        of_units = f", {MIN_GROUPS} {units.many}" if units.are_known else ""
        return f"Label more: {MIN_PAIRS} pairs{of_units} at least"
    if reason == "nothing shown":
        return f"Label more pairs, of new {units.many}" if units.are_known else "Label more pairs"
    return ""


_ACTIONS = {
    "contradictions": "Decide or drop pairs with opposite labels",
    "repeats": "Drop pairs that repeat an earlier one",
    "identical": "Drop pairs of two equal responses",
    "empty": "Drop pairs with an empty response",
    "truncated": "Drop pairs with a cut-off response",
    "wrong labels": "Read the labels that may be wrong",
    "scores": "Read labels against {names}",
}
_KINDS = {
    "contradictions": "have the opposite label of an equal pair",
    "repeats": "repeat an earlier one",
    "identical": "have two equal responses",
    "empty": "have an empty response",
    "truncated": "have a response that may be cut off",
    "wrong labels": "have a label that may be wrong",
    "scores": "have a label against {names}",
}


def _what(item):
    return f"{count(item['n_rows'], 'pair')} {_KINDS[item['kind']].format(names=item['names'])}"


def _effect(item):
    effect = item["effect"]
    if effect is None:
        return "not tested"
    if not effect["n_changed"]:
        return UNCHANGED
    change = f"{_change(effect, ' to')} points"
    if effect["verdict"] == "raises":
        return f"rises by {change}"
    if effect["verdict"] == "lowers":
        return f"falls: {change}; keep them"
    return f"no change shown: {change}"


def _change(effect, joint):
    low, high = _points(effect["low"]), _points(effect["high"])
    return f"{_points(effect['value'])} ({low}{joint} {high})"


def _points(share):
    return f"{100 * share:+.1f}" if abs(share) < 0.1 else f"{100 * share:+.0f}"
