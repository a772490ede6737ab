"""What the words in the names of columns mean."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from sklearn_codex._conversations.cells import is_sequence
from sklearn_codex._labels.sides import tokens_of


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text, for the tables of names."""
    return tuple(text.split())


# Words for the one and the other response, the better one first where one is.
ORIENTED = tuple(
    tuple(tuple(side.split()) for side in pair.split(" / "))
    for pair in (
        "chosen / rejected", "chosen / reject", "chosen / unchosen", "chosen / not chosen",
        "choose / reject", "accepted / rejected", "accept / reject", "selected / rejected",
        "selected / unselected", "preferred / dispreferred", "preferred / rejected",
        "preferred / unpreferred", "preferred / nonpreferred", "preferred / non preferred",
        "preferred / not preferred", "winner / loser", "winning / losing", "win / lose",
        "win / loss", "won / lost", "w / l", "better / worse", "best / worst", "good / bad",
        "positive / negative", "pos / neg", "correct / incorrect", "right / wrong",
        "liked / disliked", "upvoted / downvoted",
    )
)  # fmt: skip
LABELLED = tuple(
    ((one,), (other,))
    for one, other in (
        ("a", "b"), ("1", "2"), ("0", "1"), ("left", "right"), ("first", "second"),
        ("one", "two"), ("1st", "2nd"), ("x", "y"),
    )
)  # fmt: skip
NEXT = {"b": "c", "2": "3", "1": "2", "second": "third", "two": "three"}
"""What would follow the second of two responses if there were more."""

RESPONSES = frozenset(
    words(
        """
    response answer output completion conversation text generation reply candidate summary
    solution ref assistant code continuation hypothesis translation sample message content
    story essay poem dialogue dialog trajectory chat option choice prediction pred caption
    comment explanation rewrite paraphrase argument email program snippet result version
    variant draft revision resp ans gen cand hyp msg conv convo 回答 回复 答案 回應 回覆
    """
    )
)
"""What columns of responses are called beside those words."""
BESIDE = frozenset(
    words(
        """
    model human ai llm system generated body full final input data fields bot agent of by the str
    string en zh
    """
    )
)
"""What else may stand in the name of a response."""

# Columns of labels, of which a file has one, and those that are one where there is no other.
LABELS = words(
    """
    label labels winner winners preference preferences preferred choice chosen better best
    judgment judgement verdict vote selected selection pick decision preferred_response
    better_response chosen_response winning_response selected_response best_response
    preferred_model winner_model winning_model better_model chosen_model chosen_model_name
    preferred_model_name winner_model_name winner_name human_preference
    human_label human_choice human_judgment gold_label gold_preference preference_label
    overall_preference better_response_id preferred_id winner_id chosen_id
    preferred_response_id preference_strength preference_score preferred_option
    which_is_better which_better winner_index chosen_index preferred_index preferred_idx
    chosen_idx label_winner user_preference user_choice final_label annotator_preference
    rater_preference preference_rating comparison
    """
)
WORSE_LABELS = words(
    """
    loser losers worse worst worse_response worst_response losing_response loser_response
    worse_response_id losing_response_id rejected_response_id loser_id worse_id rejected_id
    dispreferred_id loser_index worse_index rejected_index rejected_idx loser_model worse_model
    losing_model worst_model inferior inferior_response dispreferred dispreferred_response
    label_loser which_is_worse which_worse worse_option worse_answer losing_answer
    """
)
"""Columns that name the worse of two responses."""
WEAK_LABELS = words(
    """
    target outcome result annotation gt_label gt_verdict y gpt4_label gpt_label judge_label
    model_label
    """
)
WINS = frozenset(
    words(
        """
    winner win wins won winning preferred prefer prefers better best chosen superior
    """
    )
)
CHANCES = frozenset(("prob", "probability", "proba", "p"))
VOTES = frozenset(
    words(
        """
    votes count counts
    """
    )
)
TIES = frozenset(
    words(
        """
    tie ties tied draw draws equal both neither bothbad
    """
    )
)
PEOPLE = frozenset(
    words(
        """
    annotator rater judge worker labeler labeller evaluator reviewer assessor grader
    crowdworker voter expert
    """
    )
)
LISTS_OF_VOTES = frozenset(
    words(
        """
    votes labels annotations annotators judgments judgements preferences verdicts raters
    judges ratings_by_annotator human_labels human_votes human_preferences raw_labels
    individual_labels all_labels all_votes choices_by_annotator winners preference label vote
    """
    )
)
SCORES = frozenset(
    words(
        """
    score scores rating ratings grade grades reward rewards elo points upvotes likes
    """
    )
)
COUNTED = frozenset(
    words(
        """
    n num number count counts turn turns token tokens length len words chars level year version
    seed round batch annotators raters voters time seconds duration timestamp tstamp date created
    updated price ip age ref reference
    """
    )
)
"""Words in the names of what is counted or measured, and says nothing of which is better."""
OF_MODELS = frozenset(
    words(
        """
    model generator system source bot agent llm name id policy engine
    """
    )
)


_CAPITAL = re.compile(r"([A-Z])(?=[A-Z][a-z])")


def replace(tokens: list[str], words: tuple[str, ...], other: tuple[str, ...]) -> Iterator:
    """Generate a name's tokens with one run of words in place of another, and the other tokens."""
    for at in range(len(tokens) - len(words) + 1):
        if tuple(tokens[at : at + len(words)]) == words:
            rest = (*tokens[:at], *tokens[at + len(words) :])
            yield (*tokens[:at], *other, *tokens[at + len(words) :]), rest


def name_tokens(name: str) -> list[str]:
    """Return the words of a name: of "responseA", "Response A" and "response_a" the same.

    A letter that stands right after a known word is a word: "outputa" has output and a.
    """
    return list(_name_tokens(name))


@lru_cache(maxsize=8192)
def _name_tokens(name: str) -> tuple[str, ...]:
    tokens: list[str] = []
    for token in tokens_of(_CAPITAL.sub(r"\1 ", name)):
        if token[-1:] in ("a", "b", "c") and token[:-1] in RESPONSES:
            tokens += [token[:-1], token[-1]]
        else:
            tokens.append(token)
    return tuple(tokens)


def singular(token: str) -> str:
    """Return a word for responses without the s of its plural."""
    return token[:-1] if token.endswith("s") and token[:-1] in RESPONSES else token


def is_list(value: Any) -> bool:
    """Tell lists, tuples and arrays from other values; numbers of numpy are none."""
    return is_sequence(value) and getattr(value, "ndim", 1) > 0


def is_textlike(value: Any) -> bool:
    """Return whether a value can be a text or messages."""
    return isinstance(value, (str, Mapping)) or is_list(value)


def is_scalar(value: Any) -> bool:
    """Return whether a value can be one label: no list and no text of several lines."""
    if isinstance(value, str):
        return len(value) <= 200 and (value.strip()[:1] not in ("[", "{") or "[[" in value)
    return not isinstance(value, Mapping) and not is_list(value)


def flat_text(value: Any) -> str:
    """Return the texts in a value of any depth, their blanks made one."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, Mapping):
        return " ".join(filter(None, map(flat_text, value.values())))
    if is_list(value):
        return " ".join(filter(None, map(flat_text, value)))
    return ""


def lines_of(value: Any) -> list[str]:
    """Return the lines that are not blank of the texts in a value of any depth."""
    if isinstance(value, str):
        return list(filter(None, (" ".join(line.split()) for line in value.split("\n"))))
    if isinstance(value, Mapping):
        value = value.values()
    elif not is_list(value):
        return []
    return [line for item in value for line in lines_of(item)]
