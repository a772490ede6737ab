"""What ``RLHFPipeline.objective`` is made of: losses of a policy and their weights."""

from sklearn.utils import Bunch

from sklearn_codex._categorical import cross_entropy
from sklearn_codex._data.records import COLUMNS_OF_KIND, check_records
from sklearn_codex._pipeline.composition import is_passthrough
from sklearn_codex._pipeline.counting import check_no_empty, count_again


def find_sft_loss(pipeline, policy, X):
    """Return the cross-entropy per token of the demonstrations in X, else of its corpus."""
    subject = type(pipeline).__name__
    records = check_records(X, subject=subject)
    for kind in ("demonstration", "corpus"):
        rows = records.rows(kind)
        if len(rows):
            break
    else:
        raise ValueError(
            f"{subject}.objective needs demonstration or corpus records to measure L_SFT, and X "
            f"has none: {records.describe()}. Add records with the columns "
            f"{COLUMNS_OF_KIND['demonstration']}, or {COLUMNS_OF_KIND['corpus']}. In "
            "cross-validation use cv=RecordKFold() (sklearn_codex.model_selection)."
        )
    texts, prompts = records.some(rows)
    counts = count_again(pipeline, texts, prompts)
    check_no_empty(pipeline.vectorizer_, counts, texts, subject=subject)
    total = counts.sum(axis=0)  # (n_columns,)
    distribution = policy._distribution
    return cross_entropy(total / distribution.count_tokens(total), distribution.event_log_prob)


def weigh_losses(pipeline, policy, sft_loss):
    """Return the parts of the objective of a policy, whose L_SFT is known, as the last judge says.

    A judge is a stage that evaluates policies; its reference, reward, rules and coefficients count.
    """
    stages = [step for _, step in pipeline.steps_ if not is_passthrough(step)]
    judges = [s for s in stages if s.rlhf_stage.provides == "policy" and hasattr(s, "evaluate")]
    if not judges:
        return Bunch(
            sft_loss=sft_loss, rlhf_loss=0.0, omega=0.0,
            alpha=1.0, beta=0.0, gamma=0.0, total=sft_loss,
        )  # fmt: skip
    judge = judges[-1]
    value = judge.evaluate(policy)
    losses = (sft_loss, -float(value["expected_reward"]), _regularisation(judge, value))
    reward_coef = float(judge.reward_coef) / getattr(judge, "reward_scale_", 1.0)
    weights = (float(getattr(judge, "sft_coef", 0.0)), reward_coef, float(judge.kl_coef_))
    # A weight of zero leaves a part out, even one that is infinite.
    total = sum(weight * loss for weight, loss in zip(weights, losses, strict=True) if weight)
    return Bunch(
        **dict(zip(("sft_loss", "rlhf_loss", "omega"), losses, strict=True)),
        **dict(zip(("alpha", "beta", "gamma"), weights, strict=True)),
        total=float(total),
    )


def _regularisation(judge, value):
    """Return Omega of a policy: all of the judge's objective but reward and demonstrations."""
    besides = -getattr(judge, "entropy_coef", 0.0) * value["entropy"]
    besides += getattr(judge, "missing_eos_penalty", 0.0) * value["missing_eos_rate"]
    return float(value["kl"] + value["penalty"] + besides / judge.kl_coef_)
