"""``sklearn-codex info``: what a model file holds."""

import argparse
import math

from sklearn_codex.cli._options import new_command, open_model
from sklearn_codex.report._json import json_text
from sklearn_codex.report._terminal import show

_FIGURES = (
    "n_tokens_",
    "C_",
    "loss_",
    "kl_coef_",
    "kl_",
    "expected_reward_",
    "expected_length_",
    "optimality_gap_",
)


def add_parser(commands) -> None:
    """Add the command."""
    parser = new_command(
        commands,
        "info",
        run,
        summary="what a model file holds",
        description=(
            "Stages, vocabulary, parameters, figures of the fit and the tokens preferred most. "
            "Nothing in the file is run."
        ),
        examples=(
            "  sklearn-codex info model.skops\n  sklearn-codex info model.skops --json | jq .stages"
        ),
    )
    parser.add_argument("model", metavar="MODEL", help="model file of fit or demo")
    parser.add_argument("--json", action="store_true", help="JSON instead of tables")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sklearn_codex.report._console import Console

    facts = _describe(open_model(arguments.model))
    if arguments.json:
        show(json_text(facts, indent=2) + "\n")
        return 0
    console = Console()
    size, unit = facts["vocabulary"], "tokens of vocabulary"
    if "features" in facts:
        size, unit = facts["features"], "features"
    order = f", of order {facts['order']}" if facts["order"] else ""
    console.title(facts["type"], f"{size or 0:,} {unit}{order}")
    rows = [
        (name, stage["type"], key, value)
        for name, stage in facts["stages"].items()
        for key, value in {**stage["parameters"], **stage["figures"]}.items()
    ]
    console.table(("stage", "type", "what", "value"), [(*row[:3], _show(row[3])) for row in rows])
    for name, stage in facts["stages"].items():
        for label, tokens in stage["tokens"].items():
            console.sample(f"{name}, {label}", "  ".join(tokens))
    return 0


def _show(value) -> str:
    from sklearn_codex.report._numbers import number

    if value is None:
        return "not known"
    return number(value) if isinstance(value, float) else str(value)


def _describe(model) -> dict:
    from sklearn_codex.cli._models import last_policy, order_of, reads_vectors, stages_of

    stages = {name: _describe_stage(stage) for name, stage in stages_of(model).items()}
    policy = last_policy(model)
    if policy is not None:
        size: int | None = policy._distribution.n_tokens
    else:
        sizes = [s.coef_.shape[1] for s in stages_of(model).values() if hasattr(s, "coef_")]
        size = max(sizes, default=None)
    facts = {
        "type": type(model).__name__,
        "vocabulary": size,
        "order": None if policy is None else order_of(policy),
    }
    if reads_vectors(model):
        facts |= {"vocabulary": None, "features": model.n_features_in_}
    return {**facts, "stages": stages}


def _describe_stage(stage) -> dict:
    from sklearn_codex._renames import current_parameters

    parameters = {
        name: value
        for name, value in current_parameters(stage).items()
        if isinstance(value, (int, float, str, bool))
    }
    if parameters.get("smoothing", "dirichlet") != "dirichlet":
        parameters.pop("prior_strength", None)  # of an NGramLM, which has no use for it then
    figures = {
        # JSON has no nan, which says that something is not known.
        name.rstrip("_"): None if math.isnan(getattr(stage, name)) else float(getattr(stage, name))
        for name in _FIGURES
        if isinstance(getattr(stage, name, None), (int, float))
    }
    backoff = getattr(stage, "_backoff", None)
    if backoff is not None and backoff.trie.order > 1:
        figures["n_ngrams"] = float(backoff.trie.n_arcs)
    tokens: dict[str, list[str]] = {}
    if hasattr(stage, "top_features"):
        top = stage.top_features(8)
        tokens = {
            "in favour": [str(name) for name, _ in top.in_favor],
            "against": [str(name) for name, _ in top.against],
        }
    return {
        "type": type(stage).__name__,
        "parameters": parameters,
        "figures": figures,
        "tokens": tokens,
    }
