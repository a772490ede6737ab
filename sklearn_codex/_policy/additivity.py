"""Whether a reward or a rule adds over tokens though nobody says so, told from documents."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from sklearn_codex._categorical import FloatArray, normalize_log
from sklearn_codex._policy.ending_additivity import find_values_where_documents_end
from sklearn_codex._policy.ngram_rewards import Linear
from sklearn_codex._policy.problem import PolicyProblem
from sklearn_codex._policy.rewards import same_values
from sklearn_codex._rollouts import Rollouts

# Documents of each kind that values of tokens have to explain.
_N_UNIFORM, _N_FEW_TOKENS, _N_DRAWN, _N_SAME_TOKEN = 1024, 512, 256, 512

Score = Callable[[Rollouts], FloatArray]


def recognise(
    problem: PolicyProblem,
    rng: np.random.RandomState,
    *,
    tracks_prices: bool,
    tries: bool = True,
) -> PolicyProblem:
    """Return the problem with what adds over tokens as far as documents tell.

    Of documents that end by themselves that is the reward only, and may add over n-grams.

    Parameters
    ----------
    problem : PolicyProblem
        The problem.
    rng : RandomState
        Source of the documents that are tried.
    tracks_prices : bool
        Whether training can let the price of a chance constraint on tokens follow a reward that
        does not add.
    tries : bool, default=True
        Whether documents are tried at all.
    """
    if problem.objective.length is None:
        found = None
        if tries and not problem.adds_reward:
            found = find_values_where_documents_end(problem.reward, problem, rng)
        return problem if found is None else problem.when_additive(found, problem.rules)
    if problem.is_additive:
        return problem
    tracks_prices = tracks_prices and problem.objective.has_every_optimum

    def find(score):
        return find_token_values(score, problem, rng) if tries else None

    token_reward = problem.reward.token_reward
    if token_reward is None:
        token_reward = find(problem.reward)
    rules = [_recognise_rule(priced, problem, find, tracks_prices) for priced in problem.rules]
    adds = token_reward is not None and all(rule.token_violations is not None for rule in rules)
    if not (adds or tracks_prices):
        chance = {rule.name: rule for rule in problem.rules if rule.rule.max_rate is not None}
        rules = [chance.get(rule.name, rule) for rule in rules]
    if problem.adds_reward or token_reward is None:
        changed = any(one is not other for one, other in zip(rules, problem.rules, strict=True))
        return problem.with_rules(rules) if changed else problem
    return problem.when_additive(Linear(token_reward, 0.0), rules)


def find_token_values(
    score: Score, problem: PolicyProblem, rng: np.random.RandomState
) -> FloatArray | None:
    r"""Return values (V,) of tokens whose sum is the score of any document, or None.

    One document with each token in turn in its first place tells how the values differ, and its
    own score what they are: V documents. The values then have to explain documents of all kinds:
    of the reference, of tokens drawn evenly, of two or three tokens, of one, and of the policies
    half way and all the way to what is best if the score is the reward.

    Parameters
    ----------
    score : callable
        Takes rollouts, returns (n_documents,).
    problem : PolicyProblem
        Reference, length and weights.
    rng : RandomState
        Source of the documents.

    Notes
    -----
    With a document x of L tokens and :math:`\delta_t` the score of x with t in its first place less
    that of x itself, :math:`w_t = \delta_t + (R(x) - \sum_i \delta_{x_i}) / L`.
    """
    length, n_columns = problem.objective.length, len(problem.start)
    assert length is not None
    drawn = problem.sample(problem.start, _N_DRAWN, rng)
    actual = score(drawn)
    possible = np.flatnonzero(np.isfinite(problem.start))
    document = possible[rng.randint(len(possible), size=length)]
    tokens = np.tile(document, (len(possible), 1))
    tokens[:, 0] = possible
    scores = score(_as_rollouts(tokens, problem))
    own = scores[np.searchsorted(possible, document[0])]
    values = np.zeros(n_columns)
    values[possible] = scores - own
    values[possible] += (own - values[document].sum()) / length
    if not same_values(actual, drawn.sum_over_tokens(values), values, drawn):
        return None
    for rollouts in _trials(values, problem, possible, rng):
        if not same_values(score(rollouts), rollouts.sum_over_tokens(values), values, rollouts):
            return None
    return values


def _trials(values, problem, possible, rng) -> Iterator[Rollouts]:
    """Yield documents of all kinds."""
    length = problem.objective.length
    yield _as_rollouts(possible[rng.randint(len(possible), size=(_N_UNIFORM, length))], problem)
    few = possible[rng.randint(len(possible), size=(_N_FEW_TOKENS, 3))]
    places = rng.randint(3, size=(_N_FEW_TOKENS, length))
    places[::2] %= 2
    yield _as_rollouts(np.take_along_axis(few, places, axis=1), problem)
    same = possible
    if len(same) > _N_SAME_TOKEN:
        same = rng.choice(same, _N_SAME_TOKEN, replace=False)
    yield _as_rollouts(np.repeat(same[:, np.newaxis], length, axis=1), problem)
    objective = problem.objective
    tilt = objective.reward_coef / objective.temperature * values
    for share in (0.5, 1.0):
        policy = normalize_log(problem.start + share * tilt)
        yield problem.sample(policy, _N_DRAWN, rng)


def _as_rollouts(tokens, problem):
    """Return documents, the rows of tokens (n_documents, L)."""
    lengths = np.full(len(tokens), tokens.shape[1])
    return Rollouts(tokens.ravel(), lengths, len(problem.start), problem.names)


def _recognise_rule(priced, problem, find, is_tracked):
    """Return a rule with the violations of tokens, where they add and training can use that."""
    if priced.token_violations is not None:
        return priced
    possible = np.isfinite(problem.start)
    is_chance = priced.rule.max_rate is not None
    declared = None
    if is_chance:
        declared = priced.rule.token_violations(problem.names, len(possible))
    values = declared
    if values is None:
        values = find(priced.judge)
        if values is None:
            return priced
        # Rounding leaves nothing below 0 or next to it.
        values = np.where(values < 1e-9 * max(values.max(), 1e-300), 0.0, values)
    if is_chance:
        values = (np.asarray(values) > 0).astype(np.float64)
        if np.all(values[possible]):
            return priced
    return replace(
        priced,
        token_violations=values,
        is_tested=declared is None,
        is_tracked=is_chance and is_tracked,
    )
