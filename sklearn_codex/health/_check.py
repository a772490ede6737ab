"""The health report on preference data."""

import numpy as np
from sklearn.utils._param_validation import HasMethods, validate_params

from sklearn_codex.health._comparisons import check_comparisons
from sklearn_codex.health._data import check_data, check_oriented
from sklearn_codex.health._judgements import check_length, check_position, check_ties
from sklearn_codex.health._prompts import check_prompts
from sklearn_codex.health._repeats import check_repeats
from sklearn_codex.health._report import PreferenceReport
from sklearn_codex.health._responses import check_responses
from sklearn_codex.health._sizes import check_sizes
from sklearn_codex.health._split import check_split
from sklearn_codex.health._wrong_labels import check_wrong_labels


@validate_params(
    {
        "X": "no_validation",
        "y": ["array-like"],
        "groups": ["array-like", None],
        "split": ["array-like", None],
        "oriented": ["array-like", None],
        "model": [
            HasMethods(["fit", "predict_proba"]),
            HasMethods(["fit", "decision_function"]),
            None,
        ],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def check_preferences(
    X, y, groups=None, *, split=None, oriented=None, model=None, random_state=None
):
    r"""Report on the health of preference data, before any reward is learned from them.

    Parameters
    ----------
    X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
        Pairs: rows `(response_a, response_b)` or `(prompt, response_a, response_b)`, a data frame
        with these columns, of text or of vectors, or feature differences phi(A) - phi(B), dense or
        sparse. What needs text is not checked on numbers.
    y : array-like of shape (n_pairs,)
        Probability that A is preferred: 1, 0, 0.5 for a tie, or a soft label between.
    groups : array-like of shape (n_pairs,), default=None
        What belongs together: pairs of a group depend on each other and must not be torn apart by
        a split. None means the prompts.
    split : array-like of shape (n_pairs,), default=None
        Which part each pair is in, such as "train" and "test", or booleans. None leaves the split
        unchecked.
    oriented : array-like of bool of shape (n_pairs,), default=None
        Which pairs were a chosen and a rejected response, as `oriented` of
        :func:`~sklearn_codex.datasets.read_preferences` has it: which of the two was shown first is
        not known, so a preference for a position is not looked for in them. None means that A was
        shown first in every pair.
    model : estimator, default=None
        A classifier of pairs of the form of `X`, to find wrong labels; clones of it are fitted.
        None means a :class:`PreferenceRewardModel` of
        :func:`~sklearn_codex.features.preference_features`, some seconds for 1,000 pairs; of log
        word counts for more than 20,000 pairs, and of the scaled columns of differences.
    random_state : int, RandomState instance or None, default=None
        Draws the folds of the cross-fit.

    Returns
    -------
    report : PreferenceReport
        Print it to read it. A :class:`~sklearn.utils.Bunch` with the attributes below; a table is
        a Bunch of columns that can be printed or made a frame, `pandas.DataFrame(report.cycles)`.
        `row` and other rows are positions in `X`. A table is None where its check was not possible.

        findings : list of Finding
            What is printed: `section`, `status` ("look", "note", "ok" or "skipped"), `text`,
            `rows`, and the name of the `table` with the details; and what the text is made of: the
            `kind` of finding and its `facts`.
        sizes : Bunch
            `n_pairs`, `n_groups`, `pairs_per_group`, `n_responses`.
        duplicates : table
            Pairs that repeat an earlier one: `row`, `first`, `swapped` (A and B exchanged).
        contradictions : table
            Pairs with opposite labels in different rows: `row`, `first` (the first row of that
            pair), `label` (of the pair in the order it has there).
        identical : table
            Pairs of two equal responses: `row`.
        empty : table
            Blank responses: `row`, `side`.
        truncated : table
            Responses that may be cut off: `row`, `side`, `reason`.
        cycles : table
            Prompts with a circle of preferences: `row` (the first of the prompt), `n_in_cycle`,
            `n_triples`, `n_circular`.
        components : table
            Prompts whose responses are not all connected by comparisons: `row`, `n_responses`,
            `n_components`.
        n_parts : int or None
            Parts into which the responses of all prompts fall.
        near_duplicates : table
            Similar prompts: `row`, `other`, `similarity`.
        continued : table
            Conversations that continue another prompt: the `row` of that, the `other` of theirs.
        groups : ndarray of shape (n_pairs,) or None
            The groups with those of similar prompts, and of conversations that continue one
            another, joined: what to split by.
        prompt_leaks : table
            Pairs whose prompt is in more than one part of the split: `row`, `group`, `part`,
            `exact` (False where only a similar prompt is).
        ties : table
            Labels that are neither 0 nor 1: `row`, `label`.
        position, length : Bunch
            How often A (of pairs that are not `oriented`; None without such), and how often the
            longer response (in characters), is preferred: `n_pairs`,
            `n_groups`, `share`, `low`, `high` (95%), the `p_value` of one half, and the distance
            from one half that is `detectable`: seen in four data sets of five.
        predictability : Bunch
            Of the model on groups it was not fitted on: `accuracy`, its `low` and `high` (95%, with
            the noise of the folds), whether that tells it from a coin (`is_predictable`), its
            standard error `se` without the noise of the folds; whether its margins fit the labels
            (`is_calibrated`); `flip_rate`, its `flip_low` and `flip_high` (95%), and the `p_value`
            of a rate of 0.
        wrong_labels : table
            All pairs that are no tie, the least likely label first: `row`, `label`, `probability`
            (that A is preferred, cross-fitted), `p_wrong`, `flagged`. A ranking only where
            not `is_calibrated`.

    See Also
    --------
    sklearn_codex.datasets.read_preferences : Reads preferences from files.
    PreferenceRewardModel : What the data are for.

    Notes
    -----
    *Truncated.* A response is said to be cut off if it has an odd number of code fences; if it has
    200 characters or more and its last line is prose that ends on a word or a comma, below a line
    that does not, and not on an answer that its prompt demands (words that the prompt quotes or
    tells it to end with, or an answer behind "the answer is"), while at least 80% of the responses
    of that length end otherwise; or if it has
    the greatest length of all, in words or in characters, 50 or more, and at least 5 different
    responses do, 3 times as many as have any length up to a tenth below. These are heuristics: read
    before you drop.

    *Similar prompts.* Prompts that are equal but for case, spaces and punctuation have similarity
    1. Of longer prompts (10 words or more) it is the Jaccard index of their sets of three words in
    a row; those of 0.5 or more are listed. A prompt is all that a response answers, which of a
    conversation are all turns before it. One that has the first turns of another, or is its first
    question, is joined with it, but for beginnings of fewer than three words, such as a greeting.

    *Wrong labels.* Each pair gets a margin m from a model fitted on four fifths of the groups (the
    joined ones) that do not hold its own. The labels are explained as
    :math:`P(A) = e + (1 - 2 e)\,\sigma(g(m))`: a preference, written down the wrong way round with
    probability e, at most 0.3, by maximum likelihood. With :math:`g(m) = s \sinh^{-1}(t m / s)`,
    :math:`s \ge 1`, tails may be heavier than those of Bradley and Terry. By Bayes' rule a label of
    probability q before the flip is wrong with probability e (1 - q) / (e (1 - q) + (1 - e) q).
    Labels are flagged where that exceeds 1/2, and only if the model is told from a coin, its curve
    fits (a chi-square of up to ten bins of margins, by group, at the level of 1%), and e = 0 is
    rejected
    at the level of 1% by the likelihood ratio, corrected for groups that err together, against the
    better of the same without flips and of :math:`g(m) = b \tanh(t m / b)`, :math:`b \le 2`: people
    who are never sure. A constant share of honest dissent of more than one in eight cannot be told
    from flips, so that nothing is flagged then, and the interval of e begins at 0. The expected
    number of right labels among the flagged is the sum of 1 - p_wrong. A flagged label is one to
    read.

    *What may be chance.* Position, length, the skill of the model and the share of circular triples
    are tested at the level of 5%, by group (similar prompts joined): each sentence on them is wrong
    in at most one of twenty data sets in which it does not hold. With values v of pairs, 1/2 or
    another null :math:`\mu` and :math:`u_g = \sum_{i \in g} (v_i - \mu)`,

    .. math:: T = \frac{\sum_g u_g}{\sqrt{\kappa \max(\sum_g u_g^2, \sum_i (v_i - \mu)^2)}}

    is held against the normal law and, with up to 16 groups, against all flips of signs [3]_;
    :math:`\kappa` is 1, and 2 for the skill of a cross-fitted model, for which each two groups are
    used twice. The interval holds what is not rejected. Nothing is called
    absent: where a share is not told from one half, the report says which one would have been in
    four data sets of five, and that the data are too few where that is 70% or more.

    References
    ----------
    .. [1] C. G. Northcutt, L. Jiang and I. L. Chuang, "Confident Learning: Estimating Uncertainty
       in Dataset Labels", Journal of Artificial Intelligence Research 70, 2021.
    .. [2] M. G. Kendall and B. Babington Smith, "On the Method of Paired Comparisons", Biometrika
       31 (3/4), 1940 (circular triples).
    .. [3] I. A. Canay, J. P. Romano and A. M. Shaikh, "Randomization Tests under an Approximate
       Symmetry Assumption", Econometrica 85 (3), 2017.

    Examples
    --------
    >>> from sklearn_codex.datasets import make_preferences
    >>> from sklearn_codex.health import check_preferences
    >>> data = make_preferences(500, n_prompts=100, text=True, random_state=0)
    >>> data.X[7] = data.X[3][[0, 2, 1]]  # a pair twice, with A and B exchanged,
    >>> data.y[7] = data.y[3]  # and with the opposite label
    >>> report = check_preferences(data.X, data.y, random_state=0)
    >>> report.contradictions.row
    array([3, 7])
    >>> [finding.text[:44] for finding in report.findings if finding.status == "look"]
    ['2 pairs have opposite labels on 1 comparison']
    """
    return run_checks(
        X, y, groups, split=split, oriented=oriented, model=model, random_state=random_state
    )


def run_checks(
    X,
    y,
    groups=None,
    *,
    split=None,
    oriented=None,
    model=None,
    random_state=None,
    sample_weight=None,
    keeps_groups=False,
    advance=lambda share: None,
    preset=None,
):
    """Return the report of valid arguments; ``advance`` is called with the share that is done.

    With ``sample_weight`` position and length are of weighted pairs; a caller that ``keeps_groups``
    has them tested by the given groups, not by those of similar prompts joined. ``preset`` returns
    the preset's differences of the pairs, where they are made for others too.
    """
    data = check_data(X, y, groups, subject="check_preferences")
    oriented = check_oriented(oriented, len(data))
    advance(0.05)
    prompt_findings, prompt_tables = check_prompts(data)
    joined = prompt_tables["groups"]
    units = data.units if joined is None or keeps_groups else joined
    weight = None if sample_weight is None or np.all(sample_weight == 1) else sample_weight
    advance(0.2)
    parts = [check_sizes(data), check_repeats(data, oriented), check_responses(data)]
    advance(0.35)
    parts += [
        check_comparisons(data),
        (prompt_findings, prompt_tables),
        check_split(data, split, joined),
        check_ties(data),
        check_position(data, units, oriented, weight),
        check_length(data, units, weight),
    ]
    advance(0.4)
    parts.append(
        check_wrong_labels(
            data, joined, model, random_state, lambda share: advance(0.4 + 0.6 * share), preset
        )
    )
    report = PreferenceReport(findings=[finding for findings, _ in parts for finding in findings])
    for _, tables in parts:
        report.update(tables)
    return report
