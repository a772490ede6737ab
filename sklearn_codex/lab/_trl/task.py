"""Problems whose optimum is known, as what a trainer needs: model, tokenizer, data and reward."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._categorical import FloatArray, normalize_log_within, safe_log
from sklearn_codex.exact import CandidateObjective
from sklearn_codex.lab._trl.extra import import_extra
from sklearn_codex.lab._trl.records import CandidateRecords

PAD_WORD, EOS_WORD = "<pad>", "<eos>"
EOS = 1


class TabularTask(ABC):
    """What trainers of TRL are given, and what is read out of the model that they trained.

    Attributes
    ----------
    words : list of str
        The vocabulary, V words: ``<pad>``, ``<eos>``, and those of prompts and answers.
    moves : ndarray of int of shape (S, V)
        The state after each token; 0 is the first.
    reference : ndarray of shape (S, V)
        Log-probabilities of the next token in each state under the reference.
    """

    words: list[str]
    moves: NDArray[np.intp]
    reference: FloatArray

    def tokenizer(self) -> Any:
        """Return the tokenizer, a ``PreTrainedTokenizerFast`` of whole words."""
        return import_extra("sklearn_codex.lab._trl._tokens").word_tokenizer(self.words)

    def model(self, folder: str | Path) -> Any:
        """Save the reference policy with its tokenizer to a folder, and load it from there.

        Parameters
        ----------
        folder : str or Path
            Is made where it is missing. TRL reads the reference model from it again, so that it
            has to be there while a trainer is made.

        Returns
        -------
        TabularCausalLM
            The model to train.
        """
        cls = import_extra("sklearn_codex.lab._trl._model").TabularCausalLM
        cls.from_table(self.moves, self.reference).save_pretrained(folder)
        self.tokenizer().save_pretrained(folder)
        return cls.from_pretrained(folder)

    @abstractmethod
    def read_policy(self, model: Any) -> FloatArray:
        """Return the log-probabilities of a model's policy, in the objective's form."""

    @abstractmethod
    def gap(self, model: Any) -> float:
        """Return what the objective of a model's policy is below its greatest value."""

    def _table_of(self, model):
        """Return the log-probabilities (S, V) of a TabularCausalLM, or of such a table."""
        table = np.asarray(model.table() if hasattr(model, "table") else model, dtype=np.float64)
        if table.shape != self.reference.shape:
            raise ValueError(
                f"{type(self).__name__} needs a model of its own states and words, a table of "
                f"shape {self.reference.shape}, got {table.shape}. Train what model() returns."
            )
        return table


class CandidateTask(CandidateRecords, TabularTask):
    r"""Prompts with a few answers each, whose best policy is known exactly.

    The states of the table are the prefixes of answers, so that every policy over them is one: a
    model that is trained has no error of its own, only its trainer has.

    Parameters
    ----------
    objective : CandidateObjective
        Reference, rewards and prompts of the rows, and ``kl_coef``. Its rules and ``reward_coef``
        play no part in training, but in what is read out.
    answers : sequence of str of length n_rows, default=None
        The answer of each row, words joined by a blank, different from those of the same prompt;
        None makes answers of one word, :math:`a_0, a_1, \ldots`

    Attributes
    ----------
    words, moves, reference
        As of all tasks: the vocabulary, the states after each token, log-probabilities (S, V).
    answers : list of str
        The answer of each row.
    prompt_words : list of str
        The text of each prompt: p0, p1 and so on.
    lengths : ndarray of int of shape (n_rows,)
        Tokens of each answer, ``<eos>`` included.
    paths : list of ndarray of int of shape (length, 2)
        State and token of each token of each answer.

    Raises
    ------
    ValueError
        If there are not as many answers as rows, one is empty or has a word that is kept for
        prompts or for ends, or two of a prompt are the same.
    ImportError
        If transformers or torch are not installed, once the model or the tokenizer is asked for.

    Notes
    -----
    With :math:`q(y | x)` the reference, the row of a prefix u holds
    :math:`\log q(w | x, u) = \log \sum_{y \ge u w} q(y | x) - \log \sum_{y \ge u} q(y | x)`, the
    sums over the answers that begin so; ``<eos>`` follows an answer. It counts as a token, as in
    TRL. With :math:`J^*` the greatest value of the objective and :math:`\pi^*` its optimum,
    :meth:`gap` is :math:`J^* - J(\pi) = b\, KL(\pi \| \pi^*)`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import CandidateObjective
    >>> from sklearn_codex.lab.torch import CandidateTask
    >>> problem = CandidateObjective(
    ...     np.log([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0]), np.array([0, 0, 0]), kl_coef=0.5
    ... )
    >>> task = CandidateTask(problem, ["no", "no but", "yes"])
    >>> np.exp(task.read_policy(task.reference)).round(3)
    array([0.5, 0.3, 0.2])
    >>> print(f"{task.gap(task.reference):.3f}")
    0.606
    >>> task.reward(["p0", "p0"], ["yes", "no"])
    [2.0, 0.0]
    """

    def __init__(self, objective: CandidateObjective, answers: Sequence[str] | None = None):
        self.objective = objective
        n_rows = len(objective.reference_log_prob)
        given = [f"a{row}" for row in range(n_rows)] if answers is None else answers
        self.answers = [" ".join(answer.split()) for answer in given]
        prompts = [f"p{number}" for number in range(int(objective.prompts.max()) + 1)]
        self.prompt_words = prompts
        kept = {PAD_WORD, EOS_WORD, *prompts}
        _check_answers(self.answers, objective.prompts, kept)
        own = sorted({word for answer in self.answers for word in answer.split()})
        self.words = [PAD_WORD, EOS_WORD, *prompts, *own]
        asked = [prompts[prompt] for prompt in objective.prompts]
        self._rows = {text: row for row, text in enumerate(zip(asked, self.answers, strict=True))}
        self.lengths = np.array([len(answer.split()) + 1 for answer in self.answers])
        self._build_states()

    def _build_states(self):
        """Set the states, the moves between them, and what the reference says in each."""
        numbers = {word: number for number, word in enumerate(self.words)}
        states: dict[tuple[int, ...], int] = {(): 0}
        after: list[tuple[int, int, int]] = []  # state, token, state after it
        self.paths = []
        for prompt, answer in self._rows:
            path, state = [], 0
            prefix: tuple[int, ...] = ()
            for word in [prompt, *answer.split()]:
                prefix = (*prefix, numbers[word])
                following = states.setdefault(prefix, len(states))
                after.append((state, numbers[word], following))
                path.append((state, numbers[word]))
                state = following
            self.paths.append(np.array([*path[1:], (state, EOS)]))
        end = len(states)  # after <eos>, and after what is no answer
        shape = (end + 1, len(self.words))
        self.moves = np.full(shape, end, dtype=np.intp)
        mass = np.zeros(shape)
        for state, token, following in after:
            self.moves[state, token] = following
        own = normalize_log_within(self.objective.reference_log_prob, self.objective.prompts)
        for steps, log_prob in zip(self.paths, own, strict=True):
            mass[steps[:, 0], steps[:, 1]] += np.exp(log_prob)
        mass[mass.sum(axis=1) == 0, EOS] = 1.0
        self.reference = safe_log(mass / mass.sum(axis=1, keepdims=True))

    def read_policy(self, model: Any) -> FloatArray:
        """Return the log-probabilities (n_rows,) of prompt and answer under a model.

        Parameters
        ----------
        model : TabularCausalLM, or array-like of shape (S, V)
            One that :meth:`model` returned, before or after training, or its table.

        Returns
        -------
        log_prob : ndarray of shape (n_rows,)
            A policy as :class:`~sklearn_codex.exact.CandidateObjective` has it: rows of a prompt
            share its probability. An answer that cannot come is at ``-inf``.
        """
        table = self._table_of(model)
        own = np.array([table[path[:, 0], path[:, 1]].sum() for path in self.paths])
        # Below this a table in single precision says never.
        own[own < LOG_NEVER] = -np.inf
        n_prompts = len(self.prompt_words)
        mass = np.bincount(self.objective.prompts, np.exp(own), n_prompts)
        if not (np.abs(mass - 1.0) <= MASS_TOLERANCE).all():
            prompt = int(np.argmax(np.abs(mass - 1.0)))
            raise ValueError(
                "CandidateTask needs a policy that gives answers and nothing else, got one whose "
                f"answers to prompt {prompt} have probability {mass[prompt]:.6g}. Start from what "
                "model() returns, without weight decay, which moves what can never come."
            )
        return self.objective.moved(own, np.zeros(len(own)))

    def gap(self, model: Any) -> float:
        """Return what the objective of a model's policy is below its greatest value.

        Parameters
        ----------
        model : TabularCausalLM, or array-like of shape (S, V)
            As of :meth:`read_policy`.

        Returns
        -------
        gap : float
            In units of reward.
        """
        return self.objective.gap(self.read_policy(model))

    def effective_kl_coef(self, model: Any) -> float:
        r"""Return the ``kl_coef`` whose optimum has the slope of a model's policy.

        Parameters
        ----------
        model : TabularCausalLM, or array-like of shape (S, V)
            As of :meth:`read_policy`.

        Returns
        -------
        kl_coef : float
            :math:`\rho\, Var(r) / Cov(r, \log \pi / ref)` over reference and prompts, within
            prompts: b for the optimum of the objective, in units of reward a nat. ``inf`` where
            the policy does not follow the reward at all, and negative where it flees it.
        """
        problem = self.objective
        possible = problem.possible
        weight = np.exp(problem.start[possible])
        prompts = problem.prompts[possible]
        shift = (self.read_policy(model) - problem.start)[possible]

        def center(values):
            total = np.bincount(prompts, weight)
            return values - (np.bincount(prompts, weight * values) / total)[prompts]

        reward = problem.reward_coef * center(problem.token_reward[possible])
        covariance = float(weight @ (reward * center(shift)))
        spread = float(weight @ reward**2)
        # A slope of no more than rounding of the log-probabilities is none.
        return spread / covariance if abs(covariance) > FLAT * np.sqrt(spread) else np.inf

    def reward(
        self, prompts: Sequence[str], completions: Sequence[str], **kwargs: Any
    ) -> list[float]:
        """Return the rewards of answers, as TRL calls a function of ``reward_funcs``.

        Parameters
        ----------
        prompts, completions : sequence of str
            Prompts and answers, one of each for a text.
        **kwargs
            What else TRL passes: columns of the data set and the like.

        Returns
        -------
        rewards : list of float

        Raises
        ------
        ValueError
            If a text is no answer of its prompt, as one that was cut.
        """
        rows = [self.row(*text) for text in zip(prompts, completions, strict=True)]
        return [float(self.objective.token_reward[row]) for row in rows]

    def row(self, prompt: str, answer: str) -> int:
        """Return the row of an answer to a prompt.

        Parameters
        ----------
        prompt, answer : str
            The prompt as in the records, p0 for that of number 0, and words.

        Raises
        ------
        ValueError
            If it is no answer to the prompt.
        """
        row = self._rows.get((prompt.strip(), " ".join(answer.split())))
        if row is None:
            raise ValueError(
                f"CandidateTask got {answer!r}, which is no answer to {prompt!r}. Let answers be "
                f"finished: max_completion_length of {self.lengths.max()} or more."
            )
        return row


# The logarithm below which single precision knows no positive number, less than any real answer's.
LOG_NEVER = -1e3
FLAT = 1e-12
# How far from 1 the probabilities of the answers of a prompt may be, in single precision.
MASS_TOLERANCE = 1e-3


def _check_answers(answers, prompts, kept):
    """Raise where answers are not those of rows, cannot be read back, or are the same."""
    if len(answers) != len(prompts):
        raise ValueError(
            f"CandidateTask needs an answer of each of {len(prompts)} rows, got {len(answers)}."
        )
    seen = set()
    for prompt, answer in zip(prompts, answers, strict=True):
        taken = kept.intersection(answer.split())
        if not answer or taken:
            what = f"the word {min(taken)!r}" if taken else "no word"
            raise ValueError(
                f"CandidateTask needs answers of words of their own, got {answer!r}, which has "
                f"{what}. Call it otherwise: {', '.join(sorted(kept))} are kept."
            )
        if (prompt, answer) in seen:
            raise ValueError(
                f"CandidateTask needs different answers to a prompt, got {answer!r} twice for "
                f"prompt {prompt}. Join the rows, with the sum of their probabilities."
            )
        seen.add((prompt, answer))
