"""What the parameters of a policy optimiser mean on a problem: here alone "auto" is resolved."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from sklearn_codex._policy.groups import GroupRule
from sklearn_codex._policy.ppo import Clipping
from sklearn_codex._policy.problem import PolicyProblem

# Documents of a batch at least, whatever the vocabulary.
_SMALLEST_BATCH = 256
_SMALLEST_BATCH_WITHOUT_NOISE = 4
# Tokens of a batch at least, for each token of the vocabulary: a policy that moves far before it
# has seen most tokens never sees the others again. A critic remembers earlier batches, and a token
# that is credited with its own score makes good use of many.
_TOKENS_PER_COLUMN = {"critic": 4, "sequence": 5, "token": 10}
# Where policies see contexts, few documents are hardly drawn faster, and documents may get much
# shorter on the way; more tokens than these take too long.
_SMALLEST_BATCH_OF_CONTEXTS, _MOST_TOKENS_OF_CONTEXTS = 4096, 65_536
# Tokens for each n-gram in use where steps know what all n-grams are worth, and documents need but
# tell values of contexts; such batches grow where a step by them leads to no better policy.
_TOKENS_PER_KNOWN_NGRAM = 1
# Documents of a batch that violate a rule, where its price is learned from them, if that takes a
# batch of no more documents and tokens than this.
_VIOLATING, _MOST_FOR_RATES, _MOST_TOKENS_FOR_RATES = 8.0, 8192, 65_536
# Documents, and tokens, of a batch that has grown.
_MOST_GROWN, _MOST_TOKENS_GROWN = 4096, 65_536
# Documents of a batch at least, where these get as long as they may and fewer are drawn; tokens of
# a batch at most where documents end, and get that long on the way only.
_FEWEST_LONG, _MOST_ON_THE_WAY = 64, 2**22
# Nats that the distribution of a document may move in one iteration: at most, and for each of its
# tokens. A token's own score has no noise, so that steps may be larger.
_TRUST_REGION = {"token": (4.0, 0.2), "sequence": (0.5, 0.025)}
# Shares of the way to the optimum. Where no noise is left at the optimum, more costs little.
_TOLERANCE, _TOLERANCE_WITH_NOISE = 1e-4, 1e-3
_RATE = {"token": 1.0, "sequence": 0.5}
_RATE_OF_ADAM = 0.03


@dataclass(frozen=True)
class Settings:
    """How a batch of rollouts becomes an update, and how long that goes on.

    Parameters
    ----------
    n_rollouts, n_epochs, n_minibatches : int
        Documents of a batch, passes over it and parts of a pass.
    clipping : Clipping or None
        The clipped surrogate; None means the plain policy gradient.
    target_kl : float or None
        Trust region of a batch in nats a document, at 1.5 times which the epochs end, too.
    credit : {"token", "sequence"}
        Whether a token is credited with its own part of the reward or with its whole document's.
    whitened : bool
        Whether advantages are divided by their standard deviation.
    leave_one_out : bool
        Whether the baseline of a document is the mean of the others.
    has_critic : bool
        Whether a critic credits whole documents to their tokens.
    gae_lambda : float or None
        Decay of the credit for what is to come by values of contexts; None where there are none.
    optimizer : {"natural", "adam"}
        The kind of step.
    learning_rate : float
        Size of the first steps.
    schedule : {"constant", "linear", "adaptive"}
        Whether that stays, falls to zero over ``max_iter``, or falls once only noise is left.
    tol : float
        Share of the way to the optimum at which training may stop, 0 for never.
    max_iter : int
        Iterations at most.
    grows : bool
        Whether batches may become larger where only noise is left.
    groups : GroupRule or None
        How documents that start alike are compared; None where all of a batch are.
    shrinks : bool
        Whether fewer documents are drawn as they get longer: where length explodes, all are cut in
        the end, and what was enough of those of the reference takes minutes.
    """

    n_rollouts: int
    n_epochs: int = 1
    n_minibatches: int = 1
    clipping: Clipping | None = None
    target_kl: float | None = None
    credit: str = "sequence"
    whitened: bool = False
    leave_one_out: bool = False
    has_critic: bool = False
    gae_lambda: float | None = None
    optimizer: str = "natural"
    learning_rate: float = 0.5
    schedule: str = "constant"
    tol: float = 0.0
    max_iter: int = 1
    grows: bool = False
    groups: GroupRule | None = None
    shrinks: bool = False

    def n_grown(self, length: float) -> int:
        """Return the documents of a batch twice as large, if those of a length are not too many."""
        n_rollouts = 2 * self.n_rollouts
        fits = n_rollouts * length <= _MOST_TOKENS_GROWN and n_rollouts <= _MOST_GROWN
        return n_rollouts if fits else self.n_rollouts

    def n_shrunk(self, length: float) -> int:
        """Return the documents of a batch, fewer where those of a length have too many tokens."""
        if not self.shrinks and self.n_rollouts * length <= _MOST_ON_THE_WAY:
            return self.n_rollouts
        n_rollouts = max(_FEWEST_LONG, self.n_minibatches, int(_MOST_TOKENS_OF_CONTEXTS / length))
        n_rollouts = -(-n_rollouts // self.group_size) * self.group_size
        return min(self.n_rollouts, n_rollouts)

    @property
    def group_size(self) -> int:
        """Documents that start alike, 1 where that is left to chance."""
        return 1 if self.groups is None else self.groups.size

    @property
    def settles_at(self) -> int | None:
        """Iteration from which prices that are learned are kept, None for never."""
        return None if self.tol == 0 else 3 * self.max_iter // 4


def resolve_settings(
    parameters: Mapping[str, Any], problem: PolicyProblem, *, subject: str
) -> Settings:
    """Return what parameters mean on a problem.

    Parameters
    ----------
    parameters : mapping of str to object
        Those of ``PPOPolicyOptimizer``, and ``leave_one_out`` or ``groups``. A ``clip_range`` of
        None clips nothing.
    problem : PolicyProblem
        What is optimised.
    subject : str
        The estimator that asks, for messages.

    Raises
    ------
    ValueError
        If credit goes to tokens where something does not add over these, a batch has fewer
        documents than parts, or a clip range is none.
    """
    is_natural = parameters["optimizer"] == "natural"
    credit = _credit(parameters["credit"], problem, subject)
    objective = problem.objective
    rests = credit == "token" and objective.scores_are_advantages and is_natural
    critic = parameters["critic"] and credit == "sequence" and is_natural
    critic = critic and (objective.has_every_optimum or objective.sees_contexts)
    gae_lambda = None
    if objective.sees_contexts and parameters["critic"]:
        gae_lambda = float(parameters["gae_lambda"])
    elif objective.sees_contexts:
        # Without values of contexts a token is credited with all of its document.
        credit = "sequence"
    schedule = "adaptive" if is_natural else "linear"
    shrinks = parameters["n_rollouts"] == "auto" and _gets_too_long(objective)

    def given(name, auto):
        value = parameters[name]
        return auto if isinstance(value, str) and value == "auto" else value

    tol = given("tol", _TOLERANCE if rests else _TOLERANCE_WITH_NOISE)
    return Settings(
        n_rollouts=_batch_of_groups(parameters, problem, credit, critic, subject),
        n_epochs=parameters["n_epochs"],
        n_minibatches=parameters["n_minibatches"],
        clipping=check_clipping(parameters["clip_range"], parameters["dual_clip"], subject),
        target_kl=given("target_kl", _trust_region(problem, credit)),
        credit=credit,
        whitened=given("whiten_advantages", not is_natural),
        leave_one_out=parameters.get("leave_one_out", False),
        has_critic=critic,
        gae_lambda=gae_lambda,
        optimizer=parameters["optimizer"],
        learning_rate=given("learning_rate", _RATE[credit] if is_natural else _RATE_OF_ADAM),
        schedule="constant" if parameters["lr_schedule"] == "constant" else schedule,
        tol=tol,
        max_iter=parameters["max_iter"],
        grows=parameters["n_rollouts"] == "auto" and tol != 0 and not shrinks,
        groups=parameters.get("groups"),
        shrinks=shrinks,
    )


def _gets_too_long(objective):
    """Tell whether documents of n-grams are cut that would be longer and longer."""
    is_cut = objective.sees_contexts and objective.longest is not None
    return bool(is_cut and objective.outgrows(objective.longest))


def _credit(credit, problem, subject):
    """Return what is credited with a reward."""
    adds = problem.is_additive and not problem.is_tested
    if credit == "token" and not adds:
        raise ValueError(
            f"{subject} with credit='token' needs a reward and rules that add over tokens, got "
            "at least one that does not. Use credit='sequence' or 'auto'."
        )
    if credit == "auto":
        return "token" if adds else "sequence"
    return credit


def _batch_of_groups(parameters, problem, credit, critic, subject):
    """Return the documents of a batch, in whole groups where these are compared."""
    n_rollouts = _batch_size(parameters, problem, credit, critic, subject)
    groups = parameters.get("groups")
    if groups is None:
        return n_rollouts
    return groups.whole(n_rollouts, given=parameters["n_rollouts"] != "auto", subject=subject)


def _batch_size(parameters, problem, credit, critic, subject):
    """Return the documents of a batch."""
    n_rollouts, n_minibatches = parameters["n_rollouts"], parameters["n_minibatches"]
    if n_rollouts != "auto":
        if n_rollouts < n_minibatches:
            raise ValueError(
                f"{subject} cuts each batch of n_rollouts documents into n_minibatches parts, so "
                f"it needs n_rollouts >= n_minibatches, got {n_rollouts} and {n_minibatches}."
            )
        return n_rollouts
    n_columns = problem.objective.n_parameters
    length = problem.objective.expected_length(problem.start)
    adds = problem.is_additive and not problem.is_tested
    sees_contexts = problem.objective.sees_contexts
    knows_all = sees_contexts and credit == "token" and _takes_worth(parameters, problem.objective)
    if critic and adds and parameters["kl_controller"] is None and not sees_contexts:
        # It needs a few V documents in all, over the iterations that the trust region takes, and
        # sees no noise in them.
        fewest, kind = max(_SMALLEST_BATCH_WITHOUT_NOISE, -(-n_columns // 5)), "critic"
    else:
        # What a document tells of its tokens is one number with sequence credit.
        fewest, kind = _SMALLEST_BATCH, credit
        if credit == "sequence" and not sees_contexts:
            fewest = max(fewest, -(-n_columns // 4))
        rates = [rule.rule.max_rate for rule in problem.rules if rule.is_learned]
        if rates:
            # Enough that some violate a rule at its largest rate.
            most = min(_MOST_FOR_RATES, int(_MOST_TOKENS_FOR_RATES / length))
            fewest = max(fewest, min(int(_VIOLATING / min(rates)), most))
    enough = _TOKENS_PER_COLUMN[kind] * n_columns
    if sees_contexts and knows_all:
        enough = min(_TOKENS_PER_KNOWN_NGRAM * n_columns, _MOST_TOKENS_OF_CONTEXTS)
    elif sees_contexts:
        enough = max(enough, _SMALLEST_BATCH_OF_CONTEXTS * length)
        enough = min(enough, _MOST_TOKENS_OF_CONTEXTS)
    enough = int(np.ceil(enough / length))
    return max(fewest, enough, n_minibatches)


def _takes_worth(parameters, objective):
    """Tell whether steps with token credit take what n-grams that nobody drew are worth.

    And whether nothing else is learned from documents, as a controller does.
    """
    knows = parameters["critic"] and parameters["optimizer"] == "natural"
    knows &= parameters["kl_controller"] is None
    knows &= parameters["whiten_advantages"] in ("auto", False)
    return bool(knows and objective.sft_coef == 0 and objective.max_length is None)


def _trust_region(problem, credit):
    """Return the nats that a document's distribution may move in one iteration."""
    objective = problem.objective
    most, per_token = _TRUST_REGION[credit if objective.scores_are_advantages else "sequence"]
    return min(most, per_token * objective.expected_length(problem.start))


def check_clipping(clip_range, dual_clip, subject):
    """Return the clipping of validated parameters, None where ``clip_range`` is.

    Raises
    ------
    ValueError
        If a pair is not two numbers above 0, or ``dual_clip`` is not above the band.
    """
    if clip_range is None:
        return None
    pair = clip_range if isinstance(clip_range, tuple) else (clip_range, clip_range)
    if len(pair) != 2 or not all(isinstance(part, Real) and float(part) > 0 for part in pair):
        raise ValueError(
            f"{subject}: clip_range should be a number above 0 or a pair (below, above) of "
            f"numbers above 0, got {clip_range!r}."
        )
    clipping = Clipping(clip_range, dual_clip)
    if dual_clip is not None and dual_clip <= clipping.high:
        raise ValueError(
            f"{subject}: dual_clip should be above the clip range's upper end {clipping.high:g}, "
            f"got {dual_clip}."
        )
    return clipping
