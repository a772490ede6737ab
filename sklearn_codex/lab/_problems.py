"""Small problems, each with a reason, and makers of others."""

from collections.abc import Callable, Mapping
from functools import wraps
from itertools import product
from numbers import Integral
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from sklearn_codex._categorical import IntArray
from sklearn_codex._checks.numbers import (
    COUNT,
    LOG_TOLERANCE,
    POSITIVE,
    PROBABILITY,
    as_floats,
    check_log_prob,
    check_number,
    check_tokens_at_once,
    check_values,
    shown,
)
from sklearn_codex.exact import CandidateObjective
from sklearn_codex.lab._preferences import PreferenceProblem
from sklearn_codex.lab._problem import CandidateProblem

_MOST_DOCUMENTS = 4096
_LARGEST = 10**8
_TINY = np.finfo(np.float64).tiny


def _check_lengths(lengths: Any, subject: str, n_responses: int | None = None) -> IntArray:
    """Return lengths of responses as integers, each at least 1."""
    shape = None if n_responses is None else (n_responses,)
    values = check_values(lengths, "lengths", subject=subject, shape=shape, low=1.0)
    if values.ndim != 1 or not values.size or (values % 1 != 0).any():
        raise ValueError(
            f"{subject} needs lengths, the tokens of each response to a prompt, whole numbers from "
            f"1, got {shown(lengths)}."
        )
    return values.astype(np.intp)


def _objective(subject, rng, lengths, n_prompts, kl_coef, reward_scale, prompt_prob):
    prompts = np.repeat(np.arange(n_prompts), len(lengths))
    given = np.full(n_prompts, 1 / n_prompts) if prompt_prob is None else prompt_prob
    shares = check_values(given, "prompt_prob", subject=subject, shape=(n_prompts,), low=_TINY)
    if abs(shares.sum() - 1) > LOG_TOLERANCE:
        raise ValueError(
            f"{subject} needs prompt_prob that sum to 1, how often each prompt comes up, got "
            f"{shown(given)}, which sum to {shares.sum():.6g}. Divide them by their sum."
        )
    reward_scale = check_number(reward_scale, "reward_scale", subject=subject)
    logits = rng.standard_normal((n_prompts, len(lengths)))
    reference = log_softmax(logits, axis=1) + np.log(shares)[:, np.newaxis]
    reward = reward_scale * rng.standard_normal(len(prompts))
    return CandidateObjective(
        reference.ravel(), reward, prompts, kl_coef=kl_coef, prompt_prob=shares
    )


def make_candidates(
    lengths: Any = (1, 1, 2, 4, 4),
    *,
    n_prompts: int = 1,
    prompt_prob: Any = None,
    kl_coef: float = 0.5,
    reward_scale: float = 1.0,
    shared_first: bool = False,
    random_state: Any = 0,
    name: str = "custom",
    reason: str = "",
) -> CandidateProblem:
    """Make a problem of rewards: prompts, responses of given lengths, rewards at random.

    Parameters
    ----------
    lengths : array-like of int of shape (n_responses,), default=(1, 1, 2, 4, 4)
        Tokens of the responses to each prompt.
    n_prompts : int, default=1
        How many prompts.
    prompt_prob : array-like of shape (n_prompts,), default=None
        How often each comes up; None means equally often.
    kl_coef : float, default=0.5
        Weight of the KL.
    reward_scale : float, default=1.0
        Standard deviation of the rewards.
    shared_first : bool, default=False
        Whether all responses of two tokens or more share their first token, so that more than one
        token of a response is uncertain. Else the first token says which response it is.
    random_state : int, RandomState instance or None, default=0
        Source of reference and rewards.
    name, reason : str
        What the problem is called, and what shows in it.

    Returns
    -------
    problem : CandidateProblem

    Raises
    ------
    ValueError
        If an argument is out of range, or responses are too many or too long to compare.

    Examples
    --------
    >>> from sklearn_codex.lab import make_candidates
    >>> make_candidates([1, 2, 2], shared_first=True).tokens
    array([[ 1, -1],
           [ 0,  2],
           [ 0,  3]])
    """
    rng = check_random_state(random_state)
    kl_coef = check_number(kl_coef, "kl_coef", subject="make_candidates", interval=POSITIVE)
    n_prompts = check_number(n_prompts, "n_prompts", subject="make_candidates", interval=COUNT)
    lengths = _check_lengths(lengths, "make_candidates")
    size = (n_prompts * len(lengths)) ** 2 * int(lengths.max())
    if size > _LARGEST:
        raise ValueError(
            f"make_candidates needs (n_prompts * len(lengths))**2 * max(lengths) of at most "
            f"{_LARGEST:,}, as each response is compared with each token by token, got {size:,}. "
            "Use fewer or shorter responses."
        )
    objective = _objective(
        "make_candidates", rng, lengths, n_prompts, kl_coef, reward_scale, prompt_prob
    )
    n_tokens = int(lengths.max())
    one = np.where(np.arange(n_tokens) < lengths[:, np.newaxis], 0, -1)
    own = np.arange(1, len(lengths) + 1)
    one[:, 0] = own
    longer = lengths > 1
    if shared_first and longer.any():
        one[longer, 0] = 0
        one[longer, 1] = own[longer]
    tokens = np.tile(one, (n_prompts, 1))
    return CandidateProblem(objective, tokens, name, reason)


def make_documents(
    token_log_prob: Any,
    token_reward: Any,
    length: int,
    *,
    first_log_prob: Any = None,
    kl_coef: float = 0.5,
    name: str = "custom",
    reason: str = "",
) -> CandidateProblem:
    """Make a problem of all documents of a unigram or bigram model, whose reward adds over tokens.

    Parameters
    ----------
    token_log_prob : array-like of shape (V,) or (V, V)
        Log-probabilities of tokens under the reference; of the token in the column after that of
        the row, for a bigram model.
    token_reward : array-like of shape (V,) or (V, V)
        Reward of a token, or of a token after another; the first of a document has none then.
    length : int
        Tokens of a document.
    first_log_prob : array-like of shape (V,), default=None
        Log-probabilities of the first token; None means those of a unigram model, and uniform ones
        for a bigram model.
    kl_coef : float, default=0.5
        Weight of the KL.
    name, reason : str
        What the problem is called, and what shows in it.

    Returns
    -------
    problem : CandidateProblem
        Of V**length rows.

    Raises
    ------
    ValueError
        If shapes do not fit, or there are more than 4,096 documents.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.lab import make_documents
    >>> problem = make_documents(np.log([0.7, 0.3]), [0.0, 1.0], 2)
    >>> np.exp(problem.reference).round(2), problem.rewards
    (array([0.49, 0.21, 0.21, 0.09]), array([0., 1., 1., 2.]))
    """
    model = as_floats(token_log_prob, "token_log_prob", subject="make_documents")
    reward = as_floats(token_reward, "token_reward", subject="make_documents")
    length = check_number(length, "length", subject="make_documents", interval=COUNT)
    V = model.shape[-1] if model.ndim else 0
    shapes = ((V,), (V, V))
    if V == 0 or model.shape not in shapes or reward.shape not in shapes:
        raise ValueError(
            "make_documents needs token_log_prob and token_reward of shape (V,) or (V, V), got "
            f"{model.shape} and {reward.shape}."
        )
    # The power itself may be too long a number.
    if (V > 1 and length > _MOST_DOCUMENTS) or V**length > _MOST_DOCUMENTS:
        raise ValueError(
            f"make_documents lists at most {_MOST_DOCUMENTS:,} documents, but there are {V}**"
            f"{length}. Use a smaller length or fewer tokens."
        )
    check_tokens_at_once(1, length, remedy="Use a smaller length.")
    tokens = np.array(list(product(range(V), repeat=length)), dtype=np.intp)
    before, after = tokens[:, :-1], tokens[:, 1:]
    start = np.full(V, -np.log(V)) if model.ndim == 2 else model
    if first_log_prob is not None:
        start = check_log_prob(first_log_prob, "first_log_prob", subject="make_documents")
    if start.shape != (V,):
        raise ValueError(f"make_documents needs first_log_prob of shape ({V},), got {start.shape}.")
    steps = model[before, after] if model.ndim == 2 else model[after]
    paid = reward[before, after] if reward.ndim == 2 else reward[tokens]
    objective = CandidateObjective(
        start[tokens[:, 0]] + steps.sum(axis=1),
        paid.sum(axis=1),
        np.zeros(len(tokens), dtype=np.intp),
        kl_coef=kl_coef,
    )
    return CandidateProblem(objective, tokens, name, reason)


def make_preferences(
    n_responses: int = 5,
    *,
    lengths: Any = None,
    n_prompts: int = 1,
    kl_coef: float = 0.5,
    reward_scale: float = 1.0,
    flip_rate: float = 0.0,
    weights: Any = None,
    random_state: Any = 0,
    name: str = "custom",
    reason: str = "",
) -> PreferenceProblem:
    r"""Make a problem of preferences that follow a reward, by Bradley and Terry.

    Parameters
    ----------
    n_responses : int, default=5
        Responses to each prompt.
    lengths : array-like of int of shape (n_responses,), default=None
        Their tokens; None means 1 for all.
    n_prompts : int, default=1
        How many prompts.
    kl_coef : float, default=0.5
        Weight of the KL.
    reward_scale : float, default=1.0
        Standard deviation of the rewards.
    flip_rate : float, default=0.0
        Share of labels turned round at random.
    weights : array-like of shape (n_responses,), default=None
        How often each response comes up; both of a pair come from it, independently, and pairs of
        one response with itself are left out. None means equally often.
    random_state : int, RandomState instance or None, default=0
        Source of reference and rewards.
    name, reason : str
        What the problem is called, and what shows in it.

    Returns
    -------
    problem : PreferenceProblem

    Examples
    --------
    >>> from sklearn_codex.lab import make_preferences
    >>> make_preferences(3, flip_rate=0.5).probability
    array([[0.5, 0.5, 0.5],
           [0.5, 0.5, 0.5],
           [0.5, 0.5, 0.5]])
    """
    rng = check_random_state(random_state)
    kl_coef = check_number(kl_coef, "kl_coef", subject="make_preferences", interval=POSITIVE)
    n_prompts = check_number(n_prompts, "n_prompts", subject="make_preferences", interval=COUNT)
    two = Interval(Integral, 2, None, closed="left")
    n_responses = check_number(n_responses, "n_responses", subject="make_preferences", interval=two)
    flip_rate = check_number(
        flip_rate, "flip_rate", subject="make_preferences", interval=PROBABILITY
    )
    lengths = np.ones(n_responses) if lengths is None else lengths
    lengths = _check_lengths(lengths, "make_preferences", n_responses)
    objective = _objective("make_preferences", rng, lengths, n_prompts, kl_coef, reward_scale, None)
    reward = objective.token_reward
    probability = expit(reward[:, np.newaxis] - reward)
    probability = (1 - flip_rate) * probability + flip_rate * (1 - probability)
    often = check_values(
        np.ones(n_responses) if weights is None else weights,
        "weights",
        subject="make_preferences",
        shape=(n_responses,),
        low=0.0,
    )
    often = np.tile(often, n_prompts)
    same = objective.prompts[:, np.newaxis] == objective.prompts
    wins = np.where(same, probability * often[:, np.newaxis] * often, 0.0)
    np.fill_diagonal(wins, 0.0)
    return PreferenceProblem(objective, wins, np.tile(lengths, n_prompts), name=name, reason=reason)


def _from_wins(wins: Any, name: str, reason: str, lengths: Any = None) -> PreferenceProblem:
    wins = np.asarray(wins, dtype=np.float64)
    n = len(wins)
    reference = log_softmax(np.linspace(0.5, -0.5, n))
    objective = CandidateObjective(reference, np.zeros(n), np.zeros(n, dtype=int), kl_coef=0.5)
    lengths = np.ones(n, dtype=int) if lengths is None else lengths
    return PreferenceProblem(objective, wins, lengths, name=name, reason=reason)


def _as_it_is(make: Callable[[], Any]) -> Callable[[], Any]:
    """Return a maker of a problem that says, where it is given arguments, that it has none."""

    @wraps(make)
    def as_it_is(*args: Any, **options: Any) -> Any:
        if args or options:
            name = make.__name__[1:].replace("_", "-")
            given = next(iter(options), None) or shown(args[0])
            raise TypeError(
                f'problems["{name}"] takes no argument, got {given}. Make a problem of your own '
                f'by make_candidates or make_preferences, or take this, problem = problems["{name}'
                '"](), with another kl_coef: dataclasses.replace(problem, objective=problem.'
                "objective.having(kl_coef=0.1))."
            )
        return make()

    return as_it_is


@_as_it_is
def _standard() -> CandidateProblem:
    """All at once: lengths of 1 to 4 tokens, tokens that are shared, a rare good response."""
    tokens = np.array(
        [[1, -1, -1, -1], [2, -1, -1, -1], [3, 4, -1, -1], [3, 5, 6, -1], [7, 8, 9, 9]]
    )
    reference = np.log([0.3, 0.24, 0.2, 0.2, 0.06])
    reward = np.array([0.2, -0.9, 0.5, -0.3, 1.1])
    objective = CandidateObjective(reference, reward, np.zeros(5, dtype=int), kl_coef=0.5)
    return CandidateProblem(objective, tokens, "standard", _standard.__doc__ or "")


@_as_it_is
def _lengths() -> CandidateProblem:
    """Length bias shows: responses of 1, 1, 2, 4 and 4 tokens, told apart by their first."""
    return make_candidates(name="lengths", reason=_lengths.__doc__ or "")


@_as_it_is
def _one_token() -> CandidateProblem:
    """Formulas by hand: three responses of one token, the smallest there is."""
    return make_candidates([1, 1, 1], name="one-token", reason=_one_token.__doc__ or "")


@_as_it_is
def _shared_tokens() -> CandidateProblem:
    """Costs of later tokens show: responses that begin alike, and part at the second token."""
    return make_candidates(
        [1, 2, 2, 3],
        shared_first=True,
        random_state=1,
        name="shared-tokens",
        reason=_shared_tokens.__doc__ or "",
    )


@_as_it_is
def _prompts() -> CandidateProblem:
    """Prompts of unequal shares: one prompt must not pay for another."""
    return make_candidates(
        [1, 2, 3],
        n_prompts=2,
        prompt_prob=[0.7, 0.3],
        random_state=2,
        name="prompts",
        reason=_prompts.__doc__ or "",
    )


@_as_it_is
def _unigram() -> CandidateProblem:
    """Documents of three tokens show: a good token is as good wherever it stands."""
    return make_documents(
        np.log([0.7, 0.3]), [-0.2, 0.6], 3, name="unigram", reason=_unigram.__doc__ or ""
    )


@_as_it_is
def _bigram() -> CandidateProblem:
    """Order shows: what a token is worth depends on the one before, and on what it leads to."""
    return make_documents(
        np.log([[0.3, 0.7], [0.9, 0.1]]),
        [[0.2, -0.5], [0.0, 1.0]],
        3,
        first_log_prob=np.log([0.6, 0.4]),
        name="bigram",
        reason=_bigram.__doc__ or "",
    )


@_as_it_is
def _two_sided() -> PreferenceProblem:
    """Every pair is decided both ways, by Bradley and Terry: DPO has one finite answer."""
    return make_preferences(
        lengths=[1, 1, 2, 4, 4], name="two-sided", reason=_two_sided.__doc__ or ""
    )


@_as_it_is
def _one_sided() -> PreferenceProblem:
    """One response never loses: what DPO fits is infinite, what IPO fits is not."""
    return _from_wins([[0, 3, 2], [0, 0, 2], [0, 1, 0]], "one-sided", _one_sided.__doc__ or "")


@_as_it_is
def _intransitive() -> PreferenceProblem:
    """Rock, paper, scissors, and one that loses: no score explains it, a game has a solution."""
    wins = [[0, 0.8, 0.2, 0.9], [0.2, 0, 0.7, 0.8], [0.8, 0.3, 0, 0.7], [0.1, 0.2, 0.3, 0]]
    return _from_wins(wins, "intransitive", _intransitive.__doc__ or "")


@_as_it_is
def _unpaired() -> PreferenceProblem:
    """Responses that are good in more than half of the cases, and in less: KTO shows."""
    wins = [[0, 5, 3, 6], [2, 0, 4, 5], [1, 3, 0, 4], [1, 1, 2, 0]]
    return _from_wins(wins, "unpaired", _unpaired.__doc__ or "")


@_as_it_is
def _noisy() -> PreferenceProblem:
    """Noise of labels shows: a fifth is turned round, what smoothing is for."""
    return make_preferences(
        flip_rate=0.2, random_state=3, name="noisy", reason=_noisy.__doc__ or ""
    )


problems: Mapping[str, Callable[[], CandidateProblem | PreferenceProblem]] = MappingProxyType(
    {
        "standard": _standard,
        "lengths": _lengths,
        "one-token": _one_token,
        "shared-tokens": _shared_tokens,
        "prompts": _prompts,
        "unigram": _unigram,
        "bigram": _bigram,
        "two-sided": _two_sided,
        "one-sided": _one_sided,
        "intransitive": _intransitive,
        "unpaired": _unpaired,
        "noisy": _noisy,
    }
)
"""Makers of small problems, by name; ``problems[name]().reason`` says what shows in one."""


def find_problem(problem: Any) -> Any:
    """Return a problem, looked up where it is a name.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if isinstance(problem, CandidateProblem | PreferenceProblem):
        if not np.isfinite(problem.reference).all():
            row = int(np.argmin(problem.reference))
            raise ValueError(
                "A problem should have a reference that leaves every response possible, got "
                f"{problem.reference[row]} at row {row}. Leave that response out."
            )
        return problem
    if not isinstance(problem, str) or problem not in problems:
        raise ValueError(
            f"A problem should be one of {', '.join(problems)}, a CandidateProblem or a "
            f"PreferenceProblem, got {shown(problem)}."
        )
    return problems[problem]()
