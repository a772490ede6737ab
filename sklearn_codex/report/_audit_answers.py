"""One word, one colour and one line a question, from the verdicts."""

from dataclasses import dataclass

from sklearn_codex.report._audit_units import Units
from sklearn_codex.report._audit_verdicts import YES
from sklearn_codex.report._audit_words import percent, within
from sklearn_codex.report._plural import count

GOOD, WARN, BAD, OPEN, PLAIN = "good", "warn", "bad", "open", "plain"
"""What colours mean: as one would hope, to be looked at, against training, not known, a fact."""
ONE_LENGTH = ("longer", "shorter")


@dataclass(frozen=True)
class Answer:
    """The answer to a question in one word and one line.

    Parameters
    ----------
    name : str
        What the question is called.
    word : str
        The answer.
    tone : {"good", "warn", "bad", "open", "plain"}
        Its colour.
    line : str
        What it rests on, in a few words.
    rests_on : tuple of str
        Names of the verdicts behind it.
    """

    name: str
    word: str
    tone: str
    line: str
    rests_on: tuple[str, ...] = ()


def short_answers(audit):
    """Return a dict of the answers of an audit by section."""
    return {name: answer(audit) for name, answer in _ANSWERS.items()}


def _verdict(audit, question):
    return audit["verdicts"].get(question, {"verdict": "not asked"})["verdict"]


def _clean(audit):
    checks = audit["health"]
    n_bad = sum(found["status"] == "look" for found in checks)
    leaks = audit["leakage"]
    n_bad += leaks is not None and leaks["n_leaking"] > 0
    n = len(checks) + (leaks is not None)
    word, tone = ("mend", WARN) if n_bad else ("clean", GOOD)
    line = f"{n_bad} of {n} checks" if n_bad else f"none of {n} checks"
    return Answer("clean", word, tone, f"{line} found something to look at", ("position",))


OF_VECTORS = ("embeddings predict", "embeddings beyond words", "embeddings beside words")
NO_MODEL = "no model is fitted to these pairs"  # the reason of the verdict says why
_PREDICTED = {
    "yes": ("yes", GOOD),
    "of pairs only": ("in this file", WARN),
    "not shown": ("not shown", BAD),
    "too few": ("too few", OPEN),
    "not asked": ("too few", OPEN),
}


def _predictable(audit):
    word, tone = _PREDICTED[_verdict(audit, "predictable")]
    rests_on: tuple[str, ...] = ("predictable", "words predict", "more labels", "calibrated")
    if audit["prediction"] is None:
        return Answer("predictable", word, tone, NO_MODEL, rests_on)
    prediction = audit["prediction"]
    models = prediction["models"]
    figure = models[prediction["best"]]["accuracy"]
    line = f"right on {within(figure)}"
    if audit["embeddings"] is not None:
        rests_on += OF_VECTORS
        vectors = audit["embeddings"]["models"]["embeddings"]["accuracy"]
        line += f", embeddings {percent(vectors['value'])}"
        if _verdict(audit, "predictable") not in YES and _verdict(audit, OF_VECTORS[0]) in YES:
            word, tone = "by vectors", WARN
            line = f"embeddings right on {within(vectors)}, words {percent(figure['value'])}"
    elif prediction["best"] != "length only":
        line += f", length alone {percent(models['length only']['accuracy']['value'])}"
    return Answer("predictable", word, tone, line, rests_on)


_ONE_LENGTH = {"more": ("partly", WARN), "not asked": ("partly", WARN), "too few": ("maybe", OPEN)}


def _length(audit):
    length = audit["length"]
    rests_on = ("longer wins", "beyond length", "treats length", "net of length")
    if length is None or length["longer_wins_test"] is None:
        line = "no pair that has a winner differs in length"
        return Answer("only length", "no", PLAIN, line, rests_on)
    line = f"the longer response wins {within(length['longer_wins_test'])}"
    word, tone = _length_word(audit)
    return Answer("only length", word, tone, line, rests_on)


def _length_word(audit):
    beyond, treats = _verdict(audit, "beyond length"), _verdict(audit, "treats length")
    wins = _verdict(audit, "longer wins")
    if treats in ("padding", "brevity"):
        return "largely", BAD
    if wins in ONE_LENGTH and _verdict(audit, "net of length") in YES:
        return "partly", WARN
    if wins in ONE_LENGTH:
        return _ONE_LENGTH.get(beyond, ("maybe", BAD))
    if wins == "too few":
        return "too few", OPEN
    return ("no", GOOD) if beyond == "more" else ("not shown", PLAIN)


def _preferred(audit):
    rests_on = ("form", "tokens")
    form, tokens = audit["form"], audit["tokens"]
    if form is None:
        return Answer("preferred", "too few", OPEN, NO_MODEL, rests_on)
    n = form["n_certain"] + tokens["n_certain"]
    line = (
        f"{form['n_certain']:,} of {form['n_candidates']:,} properties of form, "
        f"{tokens['n_certain']:,} of {tokens['n_candidates']:,} words"
    )
    word, tone = ("shown", PLAIN) if n else ("not shown", OPEN)
    return Answer("preferred", word, tone, line, rests_on)


def _learned(audit):
    rests_on = ("words predict",)
    if audit["policy"] is None:
        return Answer("a policy", "too few", OPEN, NO_MODEL, rests_on)
    words = audit["prediction"]["models"]["words"]["accuracy"]
    line = f"the reward of words is right on {within(words)}"
    predicted = _verdict(audit, "words predict")
    if predicted not in YES:
        word, tone = ("too few", OPEN) if predicted == "too few" else ("nothing", BAD)
        return Answer("a policy", word, tone, line, rests_on)
    word, tone = ("words", PLAIN) if audit["policy"]["tokens_differ"] else ("length", WARN)
    gold = audit["policy"]["gold"]
    if word == "words" and (gold is None or gold["cautious_gold"] <= 0):
        word, tone = "not told", OPEN
    return Answer("a policy", word, tone, line, rests_on)


def _labels(audit):
    labels, pairs = audit["labels_to_check"], audit["pairs_to_label"]
    n_pairs = 0 if pairs is None else len(pairs["rows"])
    rests_on = ("wrong labels",)
    to_label = f"{count(n_pairs, 'pair')} to label {'is' if n_pairs == 1 else 'are'} listed"
    if labels is None:
        line = f"not judged; {to_label}" if n_pairs else "no model to judge them by"
        return Answer("labels", "unjudged", OPEN, line, rests_on)
    n = labels["n_flagged"]
    if n:
        return Answer("labels", "check", WARN, f"{n:,} are more likely wrong than right", rests_on)
    if not labels["is_judged"]:
        line = f"a ranking, none judged; {to_label}"
        return Answer("labels", "unjudged", OPEN, line, rests_on)
    return Answer("labels", "not shown", PLAIN, f"none shown wrong; {to_label}", rests_on)


def _tests(audit):
    tested = [found for found in audit["verdicts"].values() if "p_value" in found]
    n_told = sum(found["p_value"] < found["level"] for found in tested)
    if not tested:
        return Answer("tests", "none", PLAIN, "nothing here could be tested", ())
    line = "tests tell their figure from chance, at 5 % each"
    if not Units.of(audit).are_known:
        line = "tests tell it from chance, if pairs are independent"
    return Answer("tests", f"{n_told} of {len(tested)}", PLAIN, line, ())


def _slices(audit):
    slices = audit["slices"]
    if slices is None:
        return Answer("slices", "too few", OPEN, NO_MODEL, ("slices",))
    if not slices["n_tests"]:
        return Answer("slices", "not asked", PLAIN, "no kind of pair has pairs enough", ("slices",))
    if slices["tastes"] and (kinds := slices["tastes"]["kinds"]):
        n = len(kinds)
        line = f"some words are preferred, or not, in {count(n, 'kind')} of pair"
        return Answer("slices", "differ", WARN, line, ("slices", "within kinds"))
    n, of = slices["n_differing"], slices["n_slices"]
    rests_on = ("slices", "authors")
    word, tone = ("differ", WARN) if n else ("not shown", PLAIN)
    differ = "differs" if 1 in (n, of) else "differ"
    line = f"{n:,} of {count(of, 'kind')} of pair {differ} from the others"
    authors = slices["authors"]
    if authors is not None and authors["n_differing"]:
        line = f"{n:,} of {count(of, 'kind')} of pair {differ}; rate tells {authors['name']}s apart"
    return Answer("slices", word, tone, line, rests_on)


_ANSWERS = {
    "clean": _clean,
    "predictable": _predictable,
    "length": _length,
    "preferred": _preferred,
    "learned": _learned,
    "slices": _slices,
    "labels": _labels,
    "tests": _tests,
}
