"""What a policy would learn, in words."""

from sklearn_codex.report._audit_units import PROMPTS, Units
from sklearn_codex.report._audit_verdicts import YES
from sklearn_codex.report._audit_words import NAMES, RARE, TOO_FEW, within
from sklearn_codex.report._blocks import Chart, Note, Section, Series, TableBlock


def learned_section(audit):
    """Return the section on what a policy would learn."""
    units = Units.of(audit)
    question = "What would a policy learn?"
    if audit["too_small"]:
        return Section(question, TOO_FEW, [Note(audit["too_small"])])
    figures = audit["policy"]
    words = audit["prediction"]["models"]["words"]["accuracy"]
    if audit["verdicts"]["words predict"]["verdict"] not in YES:
        return Section(question, _nothing(audit, words, units), [Note(_UNLEARNED)])
    if not figures["tokens_differ"]:
        return Section(question, _ALIKE, [Note(_ALIKE_MEANS), _length(figures)])
    blocks = [
        Note(
            f"The policy here writes {figures['length']} independent tokens and is optimised "
            "exactly for the reward of word counts: no run of any algorithm can do better on it. "
            "KL is in nats a document."
        ),
        _gold(figures["gold"], units),
        _frontier(figures["frontier"]),
        *map(_budget, figures["budgets"]),
        _length(figures),
    ]
    answer = _gold_answer(figures["gold"], units)
    return Section(question, units.qualify(answer), blocks)


def _nothing(audit, words, units):
    """Answer where word counts, which the policy is optimised for, predict nothing."""
    of_new = f"of {units.never_seen}" if units.are_known else "never seen"
    answer = (
        "Nothing that can be relied on: the reward of word counts is right on "
        f"{within(words)} of the pairs {of_new}, and a coin on 50 %."
    )
    if audit["verdicts"]["predictable"]["verdict"] not in YES:
        return answer
    return f"{answer} What {NAMES[audit['prediction']['best']]} predict, a policy is not told here."


_UNLEARNED = (
    "So what a policy would learn from it, and at which KL that stops to be true, may all be "
    "chance, and is not shown; the figures are in audit.json."
)


_ALIKE = (
    "Nothing but how long to write: the reward of word counts is one and the same for all words."
)
_ALIKE_MEANS = (
    "Too few words occur often enough to have a weight of their own, as in text that is hardly "
    "split into words at all."
)


def _gold_answer(gold, units=PROMPTS):
    if gold is None:
        return (
            f"How far a learned reward can be trusted cannot be told from so few {units.many} or "
            "words."
        )
    if gold["cautious_gold"] <= 0:
        return (
            f"That cannot be told: some halves of the {units.many} see no gain in the reward that "
            "the other half teaches."
        )
    seen = "That says nothing of what such a reward cannot see."
    if not gold["is_cautious_interior"]:
        return (
            f"A reward of the same kind, of the other half of the {units.many}, does not fall up "
            f"to {nats(gold['cautious_kl'])} a document, the farthest looked at. {seen}"
        )
    return (
        f"Not beyond about {nats(gold['cautious_kl'])} from where it starts: from there a reward "
        f"of the same kind, of other {units.many}, falls in some halves, and the learned one still "
        f"rises. {seen}"
    )


def nats(kl):
    """Return a KL in words, with two significant digits."""
    shown = f"{float(f'{kl:.2g}'):g}"
    return f"{shown} nat{'' if shown == '1' else 's'}"


def _gold(gold, units):
    if gold is None:
        return Note(
            f"Gold against proxy takes two reward models of separate {units.many}, whose words "
            f"differ in reward; 20 {units.many} are needed."
        )
    series = [
        Series("learned reward (proxy)", gold["kl"], gold["proxy"], dashed=True),
        Series(
            f"reward of the other half of the {units.many} (gold), with the range of 10 halves",
            gold["kl"],
            gold["gold"],
            gold["gold_low"],
            gold["gold_high"],
        ),
    ]
    steps = _steps(len(gold["kl"]))
    table = TableBlock(
        ("KL, nats", "proxy gains", "gold gains"),
        [tuple(f"{gold[name][i]:.2f}" for name in ("kl", "proxy", "gold")) for i in steps],
    )
    marks = []
    if gold["is_cautious_interior"] and gold["cautious_gold"] > 0:
        marks = [(gold["cautious_kl"], f"not beyond {nats(gold['cautious_kl'])}")]
    return Chart(
        f"Gold against proxy: how far does one half of the {units.many} confirm the other?",
        "KL from the reference, nats a document (logarithmic)",
        "expected gain, log-odds",
        series,
        _gold_meaning(gold, units),
        table,
        log_x=True,
        marks=marks,
    )


_SAME_CLASS = (
    "Both are rewards of word counts, so this is the noise of which {units.many} were labelled and "
    "nothing else: what such a reward cannot see, that the true one saturates, say, neither half "
    "can tell, and how much of the gain is real is not known."
)
SHOWN_SHARE = 0.95
"""A greater share than this is not given as a figure: what is left is less than is not seen."""


def _gold_meaning(gold, units):
    kl, same_class = gold["cautious_kl"], _SAME_CLASS.format(units=units)
    low, high = nats(gold["peaks"][0]), nats(gold["peaks"][-1])
    if gold["cautious_gold"] <= 0:
        return (
            f"At no KL do all halves of the {units.many} gain: do not optimise this reward before "
            "there are more labels, or better ones."
        )
    confirmed = (
        f"of what this class of model can see, other {units.many} confirm "
        f"{_confirmed(gold['cautious_share'])} of the promised gain"
    )
    if gold["is_cautious_interior"]:
        return (
            f"Go no farther than about {nats(kl)}, where the worst half gains most (single halves "
            f"peak at {low} to {high}): there, {confirmed}. {same_class}"
        )
    return (
        f"No fall up to {nats(kl)} (single halves peak at {low} to {high}): there, {confirmed}. "
        f"Set the KL budget by other means, such as reading samples. {same_class}"
    )


def _confirmed(share):
    """Return a share of a gain, never as all of it."""
    return "nearly all" if share > SHOWN_SHARE else f"{100 * share:.0f} %"


def _steps(n):
    """Return the places of some nine of n points, the last among them."""
    return [*range(0, n - 1, max(1, n // 8)), n - 1]


def _frontier(frontier):
    kl, gain, coefs = frontier["kl"], frontier["gain"], frontier["kl_coef"]
    # Weak weights may leave no trace in a KL near 0, which has no place on a logarithmic axis.
    first = next(i for i, value in enumerate(kl) if value > 0)
    kl, gain, coefs = kl[first:], gain[first:], coefs[first:]
    steps = _steps(len(kl))
    half = next((i for i, value in enumerate(gain) if value >= 0.5 * gain[-1]), len(gain) - 1)
    return Chart(
        "The KL-reward frontier",
        "KL from the reference, nats a document (logarithmic)",
        "expected gain, log-odds",
        [Series("the best any policy can do", kl, gain)],
        f"Half of the gain shown costs {nats(kl[half])} (kl_coef {coefs[half]:.2g}); a training "
        "run below this line has something left to gain, one above it is measured wrongly.",
        TableBlock(
            ("kl_coef", "KL, nats", "gain"),
            [(f"{coefs[i]:.3g}", f"{kl[i]:.2f}", f"{gain[i]:.2f}") for i in steps],
        ),
        log_x=True,
    )


def _budget(budget):
    rows = [
        (*_shift(up), *_shift(down))
        for up, down in zip(budget["risen"], budget["fallen"], strict=True)
    ]
    return TableBlock(
        ("token that rises", "in a document", "token that falls", "in a document"),
        rows,
        f"At {nats(budget['kl'])} the policy is this: if you would not want to read it, spend "
        "less KL or mend the reward.",
        f"Tokens at a KL of {nats(budget['kl'])} (kl_coef {budget['kl_coef']:.2g}, gain "
        f"{budget['gain']:+.2f})",
    )


def _shift(row):
    return RARE.get(row["token"], row["token"]), f"{row['before']:.2f} → {row['after']:.2f}"


def _length(figures):
    """Say at which kl_coef length explodes; from there on is advised where halves agree."""
    safe, gold = figures["safe_kl_coef"], figures["gold"]
    if safe == 0:
        return Note("Length cannot explode: no token has a positive reward.")
    explodes = (
        f"Where documents end by themselves, length explodes at a kl_coef of {safe:.3g} and below "
        "(in units of this reward)"
    )
    if gold is None or gold["cautious_gold"] <= 0:
        return Note(f"{explodes}; that any above it is safe is not shown.")
    return Note(
        f"{explodes}: start above it, at {2 * safe:.2g} say, limit the length, or train the reward "
        "net of length. Safe from that is not safe from the rest."
    )
