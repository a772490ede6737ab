"""How an estimator says what it does as a stage of ``RLHFPipeline``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

RecordKind = Literal["corpus", "demonstration", "preference", "candidates", "unpaired"]
Model = Literal["policy", "reward", "choice"]


@dataclass(frozen=True)
class Stage:
    """Declaration of a stage, the class attribute ``rlhf_stage`` of an estimator.

    A new kind of stage is a class with such an attribute, ``fit`` and what it provides.

    Parameters
    ----------
    reads : tuple of str
        Kinds of record the stage is fitted on, in order of preference: the first kind that the
        data hold is used.
    provides : {"policy", "reward", "choice"}
        What the fitted stage is to those below it: the policy so far, a language model; the reward
        so far; or a policy that chooses among candidates.
    fills : mapping of str to str, default={}
        Constructor parameters that the pipeline sets to the frozen policy or reward from above,
        where they were left at None.
    soft_labels : bool, default=False
        Whether ``fit`` takes probabilities as labels of preferences, or of unpaired documents. To a
        stage that does not, one of probability p is given as two, of either class and with the
        weights p and 1 - p.
    learns_reward : bool, default=False
        Whether ``fit`` takes scores of candidates for a reward that does not come from above.
    starts_after_prompts : bool, default=False
        Whether ``fit`` takes ``prompts``, after which the documents of its policy start. It is
        given those of the records it reads, where counts know the order of tokens.
    """

    reads: tuple[RecordKind, ...]
    provides: Model
    fills: Mapping[str, Model] = field(default_factory=dict)
    soft_labels: bool = False
    learns_reward: bool = False
    starts_after_prompts: bool = False
