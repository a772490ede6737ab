"""Records of prompts, pairs and labels, drawn from a problem whose rewards are known."""

from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.utils import check_random_state

from sklearn_codex._checks.numbers import COUNT, check_number
from sklearn_codex.exact import CandidateObjective

__all__ = ["CandidateRecords"]


class CandidateRecords:
    """Records of a problem of prompts and answers, in the columns that TRL reads."""

    objective: CandidateObjective
    answers: list[str]
    prompt_words: list[str]

    def prompt_records(self, n_records: int) -> list[dict[str, str]]:
        """Return records of a prompt, as trainers that generate read them.

        Parameters
        ----------
        n_records : int
            How many; each prompt is there as often as ``prompt_prob`` says, but for rounding.

        Returns
        -------
        records : list of dict
            With key "prompt".
        """
        shares = np.cumsum(np.asarray(self.objective.prompt_prob))
        places = (np.arange(n_records) + 0.5) / n_records
        prompts = np.minimum(np.searchsorted(shares, places), len(shares) - 1)
        return [{"prompt": self.prompt_words[prompt]} for prompt in prompts]

    def preference_records(self, n_records: int, random_state: Any = None) -> list[dict[str, str]]:
        r"""Return pairs of answers, the better one by the Bradley-Terry model of the rewards.

        Parameters
        ----------
        n_records : int
            How many pairs: a prompt as often as ``prompt_prob`` says, two of its answers, any two
            as often, and y before y' with probability :math:`\sigma(r(y) - r(y'))`.
        random_state : int, RandomState instance or None, default=None
            Source of all draws.

        Returns
        -------
        records : list of dict
            With keys "prompt", "chosen" and "rejected".

        Raises
        ------
        ValueError
            If a prompt has one answer alone.
        """
        rng = check_random_state(random_state)
        reward = self.objective.token_reward
        records = []
        for prompt in self._draw_prompts(n_records, rng):
            rows = np.flatnonzero(self.objective.prompts == prompt)
            if len(rows) < 2:
                raise ValueError(
                    "preference_records needs two answers to each prompt, got one to prompt "
                    f"{prompt}. Give it a second one, or leave it out."
                )
            first, second = rng.choice(rows, 2, replace=False)
            if rng.random_sample() > expit(reward[first] - reward[second]):
                first, second = second, first
            word = self.prompt_words[prompt]
            chosen, rejected = (" " + self.answers[row] for row in (first, second))
            records.append({"prompt": word, "chosen": chosen, "rejected": rejected})
        return records

    def unpaired_records(self, n_records: int, random_state: Any = None) -> list[dict[str, Any]]:
        r"""Return answers of the reference with a label, as KTO reads them.

        Parameters
        ----------
        n_records : int
            How many: prompt and answer from the reference, desirable with probability
            :math:`\sigma(r(y))`.
        random_state : int, RandomState instance or None, default=None
            Source of all draws.

        Returns
        -------
        records : list of dict
            With keys "prompt", "completion" and "label".
        """
        rng = check_random_state(random_state)
        prob = np.exp(self.objective.start)
        rows = rng.choice(len(prob), n_records, p=prob / prob.sum())
        labels = rng.random_sample(n_records) < expit(self.objective.token_reward[rows])
        return [
            {
                "prompt": self.prompt_words[self.objective.prompts[row]],
                "completion": " " + self.answers[row],
                "label": bool(label),
            }
            for row, label in zip(rows, labels, strict=True)
        ]

    def _draw_prompts(self, n_records, rng):
        check_number(n_records, "n_records", subject=type(self).__name__, interval=COUNT)
        shares = np.asarray(self.objective.prompt_prob)
        return rng.choice(len(shares), n_records, p=shares / shares.sum())
