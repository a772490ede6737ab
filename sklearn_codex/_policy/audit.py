"""A second look, before training ends, at what a policy's own documents cannot show."""

from copy import copy
from dataclasses import replace

import numpy as np

from sklearn_codex._categorical import normalize_log
from sklearn_codex._policy.critic import LinearCritic
from sklearn_codex._policy.iteration_record import Evaluation
from sklearn_codex._policy.local_gap import substitution_gains
from sklearn_codex._policy.noise_schedule import NoiseSchedule
from sklearn_codex._policy.training import Trainer
from sklearn_codex._policy.updates import DualUpdate
from sklearn_codex._rollouts import Rollouts

# A token of fewer expected occurrences since the last look is rare; documents tried for it.
_RARE = 100.0
_N_SUBSTITUTED, _MOST_SUBSTITUTED = 32, 16_384
# Most of the probability that a rare token is given before its documents are drawn.
_LARGEST_BOOST = 0.05
# Documents from which starts are made, starts whose documents are drawn, and those followed.
_N_SEEDS, _N_SCREENED, _N_FOLLOWED = 768, 24, 3
# Rounds in which the best of them have a token changed, how many, and how often each.
_N_CLIMBS, _N_CLIMBED, _N_CHANGES = 3, 8, 128
# What the policy of a document keeps of the reference.
_REFERENCE_SHARE = 0.2
_N_SCREEN_DOCUMENTS = 32
_SCOUT_ITERATIONS = 40
# Documents that rank the policies found, and how many of these are compared with that of training.
_N_RANKED, _N_COMPARED_SCOUTS = 8192, 2
# Documents that decide between two policies, at first and at most.
_N_COMPARED, _MOST_COMPARED = 4096, 65_536
_MAX_LOOKS = 8


class Audit:
    """Looks where the documents of a policy do not: rare tokens, and other places to begin."""

    def __init__(self, trainer: Trainer, schedule: NoiseSchedule):
        self._trainer, self._schedule = trainer, schedule
        # It puts tokens in the place of others, and moves a reward that is learned.
        self._length = trainer.problem.objective.length
        self._update = trainer.update if isinstance(trainer.update, DualUpdate) else None
        self._n_looks = 0
        self._has_scouted = False

    def scouts(self) -> bool:
        """Tell whether training from another place, tried once, led to a better policy."""
        if self._length is None or self._update is None or self._has_scouted:
            return False
        self._has_scouted = True
        return self._finds_better(self._length, np.random.RandomState([self._trainer.seed, 6]))

    def passes(self) -> bool:
        """Tell whether rare tokens are worth no more than they got; else training goes on."""
        if self._length is None or self._update is None or self._n_looks >= _MAX_LOOKS:
            return True
        self._n_looks += 1
        rng = np.random.RandomState([self._trainer.seed, 5, self._n_looks])
        return not self._boosts_rare_tokens(self._update, self._length, rng)

    def _boosts_rare_tokens(self, update, length, rng):
        """Give rare tokens what they are worth; tell whether that gains anything."""
        trainer, log_prob = self._trainer, self._trainer.log_prob
        kl_coef = trainer.problem.temperature
        prob = np.exp(log_prob)
        seen = trainer.drift.n_documents * length * prob
        rare = np.flatnonzero((seen < _RARE) & np.isfinite(log_prob))
        if not len(rare):
            return False
        if len(rare) > _MOST_SUBSTITUTED // 2:
            rare = rng.choice(rare, _MOST_SUBSTITUTED // 2, replace=False)
        n_documents = min(_N_SUBSTITUTED, _MOST_SUBSTITUTED // len(rare))
        gains, errors = substitution_gains(trainer.problem, log_prob, rare, n_documents, rng)
        trainer.n_sequences += n_documents * (len(rare) + 1)
        # As for a token reward: pi_t e^{a / b} is best, and brings L b (e^x - 1 - x) pi_t.
        most = np.log(_LARGEST_BOOST) - log_prob[rare]
        step = np.minimum((gains - 2.0 * errors) / kl_coef, most)
        step[step < 0] = 0.0
        missing = length * kl_coef * float(prob[rare] @ (np.exp(step) - 1.0 - step))
        if missing <= 0.1 * trainer.settings.tol * self._schedule.improvement():
            return False
        learned = update.learned_reward.copy()
        learned[rare] += kl_coef * step
        update.learned_reward = learned
        trainer.restart()
        return True

    def _finds_better(self, length, rng):
        """Follow other starts for some iterations; go on from the best where it is better."""
        trainer, found = self._trainer, []
        for number, start in enumerate(self._starts(length, rng)):
            scout = _scout(trainer, start, number)
            for _ in range(_SCOUT_ITERATIONS):
                scout.iterate()
            trainer.n_sequences += scout.n_sequences
            found.append((trainer.value_of(scout.log_prob, _N_RANKED, rng)[0], scout))
        trainer.others = [scout.log_prob for _, scout in found]
        found.sort(key=lambda pair: pair[0], reverse=True)
        for _, scout in found[:_N_COMPARED_SCOUTS]:
            if self._is_better(scout.log_prob, length, rng):
                trainer.update.restore(scout.update.state())
                trainer.restart()
                return True
        return False

    def _is_better(self, log_prob, length, rng):
        """Compare a policy with that of training, from as many documents as it takes."""
        trainer, n_documents = self._trainer, _N_COMPARED
        apart = length * float(np.exp(log_prob) @ (log_prob - np.maximum(trainer.log_prob, -700.0)))
        if apart < 0.05:
            return False
        while True:
            value, error = trainer.value_of(log_prob, n_documents, rng)
            own, own_error = trainer.value_of(trainer.log_prob, n_documents, rng)
            noise = 2.0 * np.hypot(error, own_error)
            if abs(value - own) > noise or 4 * n_documents > _MOST_COMPARED:
                return value > own
            n_documents *= 4

    def _starts(self, length, rng):
        """Return policies (V,) to begin from: a flatter reference, and those of good documents."""
        trainer, problem = self._trainer, self._trainer.problem
        possible = np.flatnonzero(np.isfinite(problem.start))
        seeds = possible[rng.randint(len(possible), size=(_N_SEEDS, length))]
        third = _N_SEEDS // 3
        few = possible[rng.randint(len(possible), size=(third, 2))]
        seeds[:third] = np.take_along_axis(few, rng.randint(2, size=(third, length)), axis=1)
        seeds[third : 2 * third] = few[:, :1]
        worth = self._worth(seeds)
        for _ in range(_N_CLIMBS):
            # Each of the best with one token changed.
            best = seeds[np.argsort(-worth, kind="stable")[:_N_CLIMBED]]
            changed = np.repeat(best, _N_CHANGES, axis=0)
            rows = np.arange(len(changed))
            changed[rows, rng.randint(length, size=len(rows))] = rng.choice(possible, len(rows))
            seeds = np.concatenate([seeds, changed])
            worth = np.concatenate([worth, self._worth(changed)])
        seeds, first = np.unique(np.sort(seeds, axis=1), axis=0, return_index=True)
        screened = []
        for place in np.argsort(-worth[first], kind="stable")[:_N_SCREENED]:
            candidate = _policy_of(seeds[place], problem.start)
            value = trainer.value_of(candidate, _N_SCREEN_DOCUMENTS, rng)[0]
            screened.append((value, place))
        screened.sort(reverse=True)
        chosen = [place for _, place in screened[:_N_FOLLOWED]]
        # What a document of one token is worth is J of the policy that draws nothing else, while
        # others may be worth more than any policy that draws them.
        alone = np.flatnonzero(seeds[:, 0] == seeds[:, -1])
        if len(alone):
            best = alone[np.argmax(worth[first][alone])]
            if best not in chosen and worth[first][best] > trainer.history[-1]["objective/value"]:
                chosen.append(best)
        followed = [_policy_of(seeds[place], problem.start) for place in chosen]
        return [normalize_log(0.3 * problem.start), *followed]

    def _worth(self, documents):
        """Return the shaped reward (n,) of documents (n, L), less the KL of their own tokens."""
        trainer, problem = self._trainer, self._trainer.problem
        n, length = documents.shape
        reference = problem.start
        rollouts = Rollouts(documents.ravel(), np.full(n, length), len(reference), problem.names)
        trainer.n_sequences += n
        ordered = np.sort(documents, axis=1)
        begins = np.ones((n, length), dtype=bool)
        begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        runs = np.diff(np.append(np.flatnonzero(begins.ravel()), n * length))
        own = np.add.reduceat(np.repeat(np.log(runs / length), runs), np.arange(n) * length)
        paid = own - rollouts.sum_over_tokens(reference)
        shaped = problem.assess(reference, rollouts).shaped
        return shaped - problem.objective.kl_coef * paid


def _policy_of(document, reference):
    """Return a policy (V,) that mostly draws the tokens of a document, and else the reference."""
    drawn = np.bincount(document, minlength=len(reference)) / len(document)
    mixed = (1.0 - _REFERENCE_SHARE) * drawn + _REFERENCE_SHARE * np.exp(reference)
    with np.errstate(divide="ignore"):
        return normalize_log(np.log(mixed))


def _scout(trainer, start, number):
    """Return a trainer that begins at another policy (V,), with draws of its own."""
    update = copy(trainer.update)
    update.move_to(start)
    update.restart()
    scout = replace(
        trainer,
        update=update,
        evaluation=Evaluation(),
        critic=None if trainer.critic is None else LinearCritic(len(start)),
        seed=trainer.seed + 7919 * (number + 1),
        history=[],
        n_sequences=0,
        n_batches=0,
        drift=type(trainer.drift)(),
    )
    scout.begin_at_update()
    return scout
