"""Problems over n-gram models, as what a trainer needs."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex.exact import NGramObjective
from sklearn_codex.lab._trl.task import EOS, EOS_WORD, LOG_NEVER, PAD_WORD, TabularTask

__all__ = ["NGramTask"]

START_WORD = "<go>"
# A table is dense and so are the moves: beyond this a trainer would be slow, and the file large.
MOST_CELLS = 2_000_000


class NGramTask(TabularTask):
    r"""Texts of an n-gram model, whose best policy is known exactly.

    The states of the table are the contexts of the model, and each has a probability of every token
    of its own. The best policy of the objective is such a table, and also the best of all policies.

    Parameters
    ----------
    objective : NGramObjective
        Reference, rewards and ``kl_coef``. Its documents begin where the trie says and end by the
        end-of-sequence token: ``max_length``, ``initial`` and the coefficients of demonstrations
        and of entropy are left at their defaults.
    tokens : sequence of str of length V, default=None
        The name of each token of the trie, without blanks, no two the same; that of the
        end-of-sequence token is not used. None names them :math:`w_0, w_1, \ldots`

    Attributes
    ----------
    words, moves, reference
        As of all tasks: the vocabulary, the states after each token, log-probabilities (S, V + 2).
        State 0 is that before the prompt, ``<go>``, and the last that after the end; c + 1 is
        context c of the trie.

    Raises
    ------
    ValueError
        If the objective has another kind of document or of goal, the trie has no end-of-sequence
        token, names do not fit, or the table would have more than two million cells.

    Notes
    -----
    With :math:`n_c` how often a document of a policy comes to context c, the gap is

    .. math:: J^* - J(\pi) = b \sum_c n_c \sum_w \pi(w|c) \log \frac{\pi(w|c)}{\pi^*(w|c)},

    exact for any table, where n solves :math:`n_c = 1[c\text{ is first}] + \sum_{c'} n_{c'}
    \pi(c' \to c)`.

    Examples
    --------
    >>> from sklearn_codex import NGramCounter, NGramLM
    >>> from sklearn_codex.exact import NGramObjective, arc_reward
    >>> from sklearn_codex.lab.torch import NGramTask
    >>> counter = NGramCounter(2, eos_token="<eos>")
    >>> lm = NGramLM(2, smoothing="witten-bell", vectorizer=counter).fit(["a b a", "b b", "a"])
    >>> reward = arc_reward(lm, {"b": -1.0, "a b": 2.0})
    >>> task = NGramTask(NGramObjective.of_model(lm, reward, kl_coef=2.0))
    >>> print(f"{task.gap(task.reference):.3f}")
    0.247
    >>> print(f"{task.gap(task.best):.3f}")
    0.000
    """

    def __init__(self, objective: NGramObjective, tokens: Sequence[str] | None = None):
        _check_objective(objective)
        self.objective = objective
        trie = objective.trie
        names = [f"w{token}" for token in range(trie.n_tokens)] if tokens is None else list(tokens)
        own = [name for token, name in enumerate(names) if token != trie.eos]
        if (
            len(names) != trie.n_tokens
            or len({*own, PAD_WORD, EOS_WORD, START_WORD}) < len(own) + 3
        ):
            raise ValueError(
                f"NGramTask needs different names of {trie.n_tokens} tokens, none of them "
                f"{PAD_WORD}, {EOS_WORD} or {START_WORD}, got {len(names)}, {len(set(names))} "
                "different. Leave tokens out to have them numbered."
            )
        if any(len(name.split()) != 1 for name in own):
            wrong = next(name for name in own if len(name.split()) != 1)
            raise ValueError(f"NGramTask needs names without blanks, got {wrong!r}. Replace them.")
        self.words = [PAD_WORD, EOS_WORD, START_WORD, *own]
        # The column of each token of the trie.
        is_eos = np.arange(trie.n_tokens) == trie.eos
        self._columns = np.where(is_eos, EOS, np.cumsum(~is_eos) + 2)
        self._tokens = {word: token for token, word in enumerate(names)}
        self._following = _next_contexts(trie)
        n_contexts, start = trie.n_contexts, len({PAD_WORD, EOS_WORD})
        self.moves = np.full((n_contexts + 2, len(self.words)), n_contexts + 1, dtype=np.intp)
        self.moves[0, start] = 1 + trie.first_context
        rows = self._following
        self.moves[1:-1, self._columns] = np.where(rows < 0, n_contexts + 1, rows + 1)
        self.reference = self._as_table(objective.policy_model(objective.start))
        self.best = self._as_table(objective.policy_model(objective.optimum()))

    def _as_table(self, model: BackoffModel) -> FloatArray:
        """Return the table (S, V + 2) of a back-off model."""
        table = np.full(self.moves.shape, -np.inf)
        table[[0, -1], EOS] = 0.0
        rows = model.next_log_prob(np.arange(self.objective.trie.n_contexts))
        table[1:-1, self._columns] = rows
        # What no document comes to may have no token that can come.
        table[np.isneginf(table).all(axis=1), EOS] = 0.0
        return table

    def read_policy(self, model: Any) -> FloatArray:
        """Return the log-probabilities (C, V) of tokens after each context of the trie.

        Parameters
        ----------
        model : TabularCausalLM, or array-like of shape (S, V + 2)
            One that :meth:`model` returned, before or after training, or its table.

        Returns
        -------
        log_prob : ndarray of shape (C, V)
            In the order of the trie.
        """
        return self._table_of(model)[1:-1, self._columns]

    def gap(self, model: Any) -> float:
        """Return what the objective of a model's policy is below its greatest value.

        Parameters
        ----------
        model : TabularCausalLM, or array-like of shape (S, V + 2)
            As of :meth:`read_policy`.

        Returns
        -------
        gap : float
            In units of reward a document; ``inf`` where the policy writes without end, or what the
            best policy never does.
        """
        own, best = self.read_policy(model), self.read_policy(self.best)
        prob = np.exp(own)
        prob[own < LOG_NEVER] = 0.0
        n_contexts = len(prob)
        contexts, tokens = np.nonzero((prob > 0) & (self._following >= 0))
        moves = np.zeros((n_contexts, n_contexts))
        np.add.at(moves, (self._following[contexts, tokens], contexts), prob[contexts, tokens])
        if np.abs(np.linalg.eigvals(moves)).max() >= 1.0:
            return np.inf
        first = np.zeros(n_contexts)
        first[self.objective.trie.first_context] = 1.0
        visits = np.linalg.solve(np.eye(n_contexts) - moves, first)
        with np.errstate(invalid="ignore"):
            terms = np.where(prob > 0, prob * (own - best), 0.0)
        kl = np.where(visits > 0, visits, 0.0) @ np.where(visits > 0, terms.sum(axis=1), 0.0)
        return float(self.objective.kl_coef * kl)

    def reward(
        self, prompts: Sequence[str], completions: Sequence[str], **kwargs: Any
    ) -> list[float]:
        """Return the rewards of texts, as TRL calls a function of ``reward_funcs``.

        Parameters
        ----------
        prompts, completions : sequence of str
            ``<go>``, and texts.
        **kwargs
            What else TRL passes. By ``completion_ids`` a text that was cut is told from one that
            ended; without them all have ended.

        Returns
        -------
        rewards : list of float
            ``reward_coef`` times the sum over the events of each text.

        Raises
        ------
        ValueError
            If a text has a word that is no token.
        """
        trie = self.objective.trie
        ids: Sequence[Any] = kwargs.get("completion_ids") or [[EOS]] * len(completions)
        texts = []
        for completion, own in zip(completions, ids, strict=True):
            unknown = [word for word in completion.split() if word not in self._tokens]
            if unknown:
                raise ValueError(
                    f"NGramTask got {unknown[0]!r} in {completion!r}, which is no token. Use the "
                    "tokenizer of the task."
                )
            ends = [trie.eos] if EOS in list(own) else []
            texts.append([*(self._tokens[word] for word in completion.split()), *ends])
        starts = np.cumsum([0, *map(len, texts)])
        events = trie.events(np.array([*chain.from_iterable(texts)], dtype=np.int64), starts)
        values = events @ (self.objective.reward_coef * self.objective.token_reward)
        return [float(value) for value in values]

    def prompt_records(self, n_records: int) -> list[dict[str, str]]:
        """Return records of the one prompt, as trainers that generate read them.

        Parameters
        ----------
        n_records : int
            How many.

        Returns
        -------
        records : list of dict
            With key "prompt".
        """
        return [{"prompt": START_WORD}] * n_records


def _check_objective(objective):
    """Raise where a table cannot hold the best policy, or the reward is not that of a document."""
    trie = objective.trie
    wrong = [
        name
        for name, default in (("max_length", None), ("sft_coef", 0.0), ("entropy_coef", 0.0))
        if getattr(objective, name) != default
    ]
    first = np.zeros(trie.n_contexts)
    first[trie.first_context] = 1.0
    if not np.array_equal(objective.initial, first):
        wrong.append("initial")
    if wrong:
        raise ValueError(
            f"NGramTask needs an objective of whole documents and their reward, got one with "
            f"{', '.join(wrong)}. Leave that out: objective.having({wrong[0]}=...)."
        )
    if trie.eos < 0:
        raise ValueError(
            "NGramTask needs a trie with an end-of-sequence token, got one without. Count with "
            "NGramCounter(eos_token=...)."
        )
    n_cells = (trie.n_contexts + 2) * (trie.n_tokens + 2)
    if n_cells > MOST_CELLS:
        raise ValueError(
            f"NGramTask needs a table of at most {MOST_CELLS} cells, got {n_cells}: "
            f"{trie.n_contexts} contexts of {trie.n_tokens} tokens. Prune the n-grams, or take "
            "a lower order."
        )


def _next_contexts(trie):
    """Return the context (C, V) after each token in each context; -1 after the end."""
    contexts = np.repeat(np.arange(trie.n_contexts), trie.n_tokens)
    tokens = np.tile(np.arange(trie.n_tokens), trie.n_contexts)
    arcs = trie.find(contexts, tokens)
    while (lost := np.flatnonzero(arcs < 0)).size:
        contexts[lost] = trie.suffix[contexts[lost]]
        arcs[lost] = trie.find(contexts[lost], tokens[lost])
    return trie.next[arcs].reshape(trie.n_contexts, trie.n_tokens).astype(np.intp)
