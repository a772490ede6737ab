"""Trainers of TRL and losses of torch, held against exact answers.

A :class:`TabularCausalLM` is a model of transformers whose logits are a table. A task,
:class:`CandidateTask` or :class:`NGramTask`, makes one of a problem of :mod:`sklearn_codex.exact`,
with the tokenizer, the data and the reward that a trainer wants, and reads out the policy that the
trainer found. :func:`from_torch` makes a function of numpy arrays of one of tensors.

Needs torch and transformers once something is used: ``pip install 'sklearn-codex[lab]'``, which has
trl, too. Importing this module needs none of them.
"""

from typing import TYPE_CHECKING, Any

from sklearn_codex.lab._trl.adapter import from_torch
from sklearn_codex.lab._trl.extra import import_extra
from sklearn_codex.lab._trl.ngrams import NGramTask
from sklearn_codex.lab._trl.task import CandidateTask, TabularTask

if TYPE_CHECKING:
    from sklearn_codex.lab._trl._model import TabularCausalLM, TabularConfig

__all__ = [
    "CandidateTask",
    "NGramTask",
    "TabularCausalLM",
    "TabularConfig",
    "TabularTask",
    "from_torch",
]


def __getattr__(name: str) -> Any:
    if name in ("TabularCausalLM", "TabularConfig"):
        return getattr(import_extra("sklearn_codex.lab._trl._model"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
