"""What every rule has: a name, a price, and a count of violations."""

from collections.abc import Sequence
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from sklearn_codex._categorical import FloatArray
from sklearn_codex._rollouts import Rollouts
from sklearn_codex._rule_amounts import check_violations
from sklearn_codex._rule_entries import Entries, Vocabulary, check_spelling
from sklearn_codex.text import check_texts


class Rule(BaseEstimator):
    """Base of all rules: a name, a price, and a count of violations per document.

    A new rule defines ``__init__`` and :meth:`violations`; it may define :meth:`token_violations`
    where its violations add over tokens, or :meth:`ngram_violations` where they add over n-grams.
    With ``max_rate`` the rule is a chance constraint: at most
    this share of documents may violate it, and its price is found, not given. With ``hard`` no
    document may.
    """

    name: str
    penalty: float
    max_rate: float | None = None
    hard: bool = False

    _parameter_constraints: dict = {
        "penalty": [Interval(Real, 0, None, closed="left")],
        "name": [str],
        "max_rate": [Interval(Real, 0, 1, closed="neither"), None],
        "hard": ["boolean"],
    }

    def violations(self, rollouts: Rollouts) -> FloatArray:
        """Return the number of violations (n_documents,) in each document."""
        raise TypeError(f"{type(self).__name__} defines no violations(rollouts).")

    def token_violations(self, names: np.ndarray | None, n_columns: int) -> FloatArray | None:
        """Return the violations (V,) of each token, or None where they do not add over tokens."""
        return None

    def ngram_violations(
        self, names: np.ndarray | None, n_columns: int
    ) -> tuple[np.ndarray, FloatArray] | None:
        """Return n-grams (n, k) and the violations (n,) that each occurrence of one is, or None.

        N-grams are their tokens, behind -1 where they are shorter; -2 is the start of a document.
        None where violations do not add over n-grams, or :meth:`token_violations` says all.
        """
        return None

    def _read_by(self, vocabulary: Vocabulary) -> "tuple[Rule, Entries]":
        """Return the rule in tokens of a vocabulary, and what its entries are to that."""
        return self, Entries(n_known=1)

    def _spelled(self) -> list[list[str]]:
        """Return the entries that are looked for in texts, each as its tokens."""
        return []

    def __call__(self, documents: Sequence[str]) -> FloatArray:
        """Return the violations (n_documents,) of texts whose tokens are separated by spaces.

        Raises or warns, as a rule of a policy does, where an entry as "os.system" is in a text,
        but in none between blanks.
        """
        return self._judge(documents, words=False)

    def _judge(self, documents, *, words):
        self._validate_params()
        texts = check_texts(documents, subject=type(self).__name__)
        if texts is None:
            raise TypeError(
                f"{type(self).__name__} expected texts, a sequence of str, got a "
                f"{type(documents).__name__} of numbers. Turn counts into texts with "
                "TokenCounter.decode."
            )
        check_spelling(self, texts, words=words)
        rows = [text.split() for text in texts]
        names, tokens = np.unique(
            np.array([word for row in rows for word in row], dtype=str), return_inverse=True
        )
        lengths = np.array([len(row) for row in rows])
        counts = np.zeros(len(rows))
        full = lengths > 0
        if full.any():
            rollouts = Rollouts(tokens.ravel(), lengths[full], len(names), names.astype(object))
            counts[full] = check_violations(self.violations(rollouts), self.name, rollouts)
        return counts

    @property
    def _is_strict(self) -> bool:
        """Whether the rule is to be kept, not paid for."""
        return self.hard or self.max_rate is not None
