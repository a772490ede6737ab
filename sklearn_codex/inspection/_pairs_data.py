"""What displays ask of pairs: who is preferred, and the rewards of both."""

import numpy as np

from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._data.responses import stack_prompts
from sklearn_codex._data.text_pairs import check_text_pairs
from sklearn_codex._data.vectorizers import wants_prompt
from sklearn_codex._reward.targets import check_labels


def preference_target(estimator, y, subject):
    """Return the probability (n_pairs,) that A is preferred, by the classes of the estimator."""
    if not hasattr(estimator, "classes_"):
        raise TypeError(
            f"{subject} needs a fitted classifier of pairs, one with classes_, got a "
            f"{type(estimator).__name__}."
        )
    labels = check_labels(y, subject=subject)
    if labels.soft:
        return labels.target
    classes = estimator.classes_
    given = labels.classes[labels.target.astype(np.intp)]
    unknown = sorted(set(given.tolist()) - set(np.asarray(classes).tolist()), key=str)
    if unknown:
        raise ValueError(
            f"{subject} got the labels {unknown} in y, which are not among the classes "
            f"{np.asarray(classes).tolist()} of the {type(estimator).__name__}."
        )
    return (given == classes[-1]).astype(np.float64)


def text_pairs(X, subject):
    """Return pairs as text; raise where they are numbers, which have no single responses."""
    pairs = check_text_pairs(X, subject=subject)
    if pairs is None:
        raise ValueError(
            f"{subject} needs pairs of texts: differences of features do not tell the two "
            "responses of a pair. Use from_predictions with what you know of them."
        )
    return pairs


def response_rewards(estimator, X, subject):
    """Return the rewards (n_pairs,) of A and of B."""
    pairs = text_pairs(X, subject)
    if not hasattr(estimator, "reward"):
        raise ValueError(
            f"{subject} needs a reward model with reward(documents), got a "
            f"{type(estimator).__name__}. Of a search, pass best_estimator_."
        )
    sides = [pairs.responses_a, pairs.responses_b]
    if pairs.prompts is not None and wants_prompt(getattr(unwrap(estimator), "vectorizer_", None)):
        sides = [stack_prompts(pairs.prompts, responses) for responses in sides]
    return [np.asarray(estimator.reward(responses), dtype=np.float64) for responses in sides]


def refuse_wordless(texts, subject):
    """Raise where no response has a word, and a run of three characters, to be told by."""
    for text in {*texts.responses_a, *texts.responses_b}:
        if len(" ".join(text.split())) >= 3 and any(map(str.isalnum, text)):
            return
    raise ValueError(
        f"{subject} tells what is preferred by words and runs of three characters, and none of the "
        f"responses of the {len(texts.responses_a)} pairs has both: the first is "
        f"{texts.responses_a[0]!r:.60}. Pass the responses themselves as texts."
    )
