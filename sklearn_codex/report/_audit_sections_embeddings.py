"""Whether embeddings predict, alone and beside words, in words."""

from sklearn_codex.report._audit_verdicts import YES
from sklearn_codex.report._audit_words import NAMES, change, interval, turned, within
from sklearn_codex.report._blocks import TableBlock


def embeddings_blocks(audit, units):
    """Return the table of the models of embeddings with what it means, nothing without any."""
    found = audit["embeddings"]
    if found is None:
        return []
    header = (
        f"embeddings of {found['n_features']:,} numbers, 95% intervals",
        "accuracy",
        "gain over words, letters and form",
        "log-loss, nats (coin .693)",
        "AUC",
    )
    rows = [
        (
            NAMES[name],
            interval(figures["accuracy"]),
            change(found["gains"][name]),
            interval(figures["log_loss"]),
            interval(figures["auc"]),
        )
        for name, figures in found["models"].items()
    ]
    meaning = " ".join(
        [
            _predict(audit, units),
            *_gain(audit, "embeddings beyond words", "embeddings", "Embeddings alone"),
            *_gain(
                audit,
                "embeddings beside words",
                "embeddings and preset",
                "Embeddings beside words, letters and form",
            ),
        ]
    )
    return [TableBlock(header, rows, meaning)]


def answer_of_embeddings(audit, units):
    """Return the answer where embeddings predict what words do not, None elsewhere."""
    verdicts = audit["verdicts"]
    if audit["embeddings"] is None or verdicts["predictable"]["verdict"] in YES:
        return None
    if verdicts["embeddings predict"]["verdict"] not in YES:
        return None
    prediction = audit["prediction"]
    best = prediction["best"]
    figure = audit["embeddings"]["models"]["embeddings"]["accuracy"]
    says = "Not by words, but by embeddings"
    if not units.are_known:
        says = "By embeddings, and within this file only"
    return (
        f"{says}: a reward of these is right on {within(figure)} of the pairs, the best of the "
        f"others, {NAMES[best]}, on {within(prediction['models'][best]['accuracy'])}, a coin on "
        "50 %."
    )


def _predict(audit, units):
    verdict = audit["verdicts"]["embeddings predict"]["verdict"]
    if verdict in YES:
        return f"A reward of the embeddings is told from a coin on {units.never_seen}."
    high = audit["embeddings"]["models"]["embeddings"]["accuracy"]["high"]
    if verdict == "too few":
        return "The data are too few to tell a reward of the embeddings from a coin."
    return (
        f"A reward of the embeddings is not told from a coin: more than {100 * high:.0f} % is "
        "ruled out for it."
    )


_SAYS = {
    "better": "{who} do better than without them, by {by}.",
    "worse": "{who} do worse than without them, by {by}.",
    "not shown": "{who} are not shown to do better, nor worse: {by}, which may be chance.",
    "too few": "Whether {who} do better cannot be told from so few: {by}.",
}


def _gain(audit, question, name, who):
    """Return what is said of a gain over words, nothing where it is not asked."""
    verdict = audit["verdicts"][question]["verdict"]
    if verdict not in _SAYS:
        return []
    gain = audit["embeddings"]["gains"][name]
    said = _SAYS[verdict]
    if name == "embeddings":
        said = said.replace("without them", "words, letters and form")
    if verdict == "too few":
        who = who[0].lower() + who[1:]
    return [said.format(who=who, by=change(turned(gain) if verdict == "worse" else gain))]
