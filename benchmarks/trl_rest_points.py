"""Where the trainers of TRL rest on problems whose optimum is known, and how far that is from it.

    pip install -e ".[lab]"
    python benchmarks/trl_rest_points.py                    # all, about half an hour on one core
    python benchmarks/trl_rest_points.py --only grpo        # what has "grpo" in its name
    python benchmarks/trl_rest_points.py --list

Each line is one trainer, unchanged, on a TabularCausalLM. "found" is the policy read out of the
model, "predicted" where its expected update rests (trl_predictions.py), "optimum" the best policy
of the problem. Distances are total variation, half the sum of differences of probabilities, mean
over prompts; the gap is what the objective is below its greatest value, as a share of that of the
reference. kl_coef is the coefficient whose optimum has the slope of what was found; all trainers
get 0.5. "rests no" is a loss without a least value: then the distance is to where it is least
within 30 nats of the reference, and no more than a direction.
"""

import argparse
import importlib.metadata
import logging
import os
import re
import tempfile
import time
import warnings
from dataclasses import dataclass, field

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TQDM_DISABLE="1")
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import numpy as np
import torch
import transformers
import trl
import trl_predictions as predict
from datasets import Dataset

from sklearn_codex import NGramCounter, NGramLM
from sklearn_codex.exact import CandidateObjective, NGramObjective, arc_reward
from sklearn_codex.lab.torch import CandidateTask, NGramTask

BETA, GENERATIONS, BATCH, SEED = 0.5, 4, 128, 7
PAIRS, LABELS, PAIR_BATCH, STEPS = 4_096, 16_384, 256, 250
RESTS = {True: "yes", False: "no", None: "?"}


def make_tasks():
    """Return the problems by name.

    The first four have a reference from a Dirichlet distribution and rewards N(0, 1). The others
    are the smallest in which something shows: rewards hardly different, a choice after another, and
    a better answer that is longer.
    """
    rng = np.random.default_rng(SEED)

    def problem(n_rows, prompts, answers=None):
        sizes = np.bincount(prompts)
        reference = np.concatenate([rng.dirichlet(np.full(size, 2.0)) for size in sizes])
        reward = rng.normal(size=n_rows)
        objective = CandidateObjective(
            np.log(reference / len(sizes)), reward, prompts, kl_coef=BETA
        )
        return CandidateTask(objective, answers)

    def small(reference, reward, answers):
        rows = np.zeros(len(reference), int)
        return CandidateTask(
            CandidateObjective(np.log(reference), np.array(reward), rows, kl_coef=BETA), answers
        )

    one = np.zeros(6, int)
    long = ["a0", "a1", "b0 b", "b1 b", "c0 c c c", "c1 c c c"]
    forked = ["a x", "a y", "b x", "b y", "c", "d x y"]
    return {
        "one": problem(6, one),
        "lengths": problem(6, one, long),
        "prompts": problem(12, np.repeat([0, 1, 2], 4)),
        "forks": problem(6, one, forked),
        "close": small([0.5, 0.5], [0.01, 0.0], ["a", "b"]),
        "choice": small([0.25, 0.25, 0.5], [1.0, -1.0, 0.0], ["a x", "a y", "b"]),
        "longer": small([0.5, 0.5], [0.0, 1.0], ["a", "b c d e"]),
        "bigrams": make_bigrams(),
    }


def make_bigrams():
    """Return texts of any length: a bigram model of three tokens, with rewards of n-grams."""
    counter = NGramCounter(2, eos_token="<eos>")
    model = NGramLM(2, smoothing="witten-bell", vectorizer=counter)
    model.fit(["a b a", "b b", "a", "b a b a"])
    reward = arc_reward(model, {"a": -0.3, "b": -1.0, "a b": 2.0})
    return NGramTask(NGramObjective.of_model(model, reward, kl_coef=2 * BETA))


@dataclass
class Run:
    """One trainer with one setting on one problem."""

    trainer: str
    task: str
    options: dict = field(default_factory=dict)
    steps: int = 300
    lr: float = 0.06
    kind: str = "group"  # "group", "pairs", "labels", "online"
    loss: str | None = None  # of PAIR_LOSSES; None where none is predicted
    group: dict = field(default_factory=dict)  # what group_rest is told

    @property
    def name(self):
        options = " ".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.trainer} {options} [{self.task}]"


def group_runs():
    """Return runs of the trainers that generate."""
    plain = {"scale": "none", "per_token": False, "kl": "token"}
    for task in ("one", "lengths", "prompts", "forks"):
        yield Run("RLOOTrainer", task, kind="optimum")
    for task in ("one", "lengths", "prompts", "forks"):
        options = {"loss_type": "dapo", "scale_rewards": "none"}
        yield Run("GRPOTrainer", task, options, group=plain)
    for loss in ("grpo", "bnpo", "dr_grpo", "sapo", "vespo", "luspo", "cispo"):
        own = {**plain, "per_token": loss in ("grpo", "sapo")}
        if loss == "cispo":
            own["gain"] = 0.2
        yield Run("GRPOTrainer", "lengths", {"loss_type": loss, "scale_rewards": "none"}, group=own)
    cispo = {"loss_type": "cispo", "scale_rewards": "none", "epsilon_high": 5.0}
    yield Run("GRPOTrainer", "lengths", cispo, group=plain)
    for scale in ("group", "batch"):
        yield Run("GRPOTrainer", "one", {"scale_rewards": scale}, group={**plain, "scale": scale})
    yield Run(
        "GRPOTrainer", "prompts", {"scale_rewards": "group"}, group={**plain, "scale": "group"}
    )
    yield Run("GRPOTrainer", "forks", {}, group={**plain, "scale": "group"})
    none = {"scale_rewards": "none", "use_bias_correction_kl": False}
    yield Run("GRPOTrainer", "one", none, group={**plain, "kl": "none"})
    for loss in ("grpo", "luspo"):
        options = {
            "loss_type": loss,
            "scale_rewards": "none",
            "importance_sampling_level": "sequence",
        }
        own = {**plain, "kl": "sequence", "per_token": loss == "grpo"}
        yield Run("GRPOTrainer", "lengths", options, group=own)
    own = {"scale": "none", "per_token": True, "kl": "none"}
    yield Run("GMPOTrainer", "lengths", {"scale_rewards": "none"}, group=own)
    pair = {"num_generations": 2}
    yield Run("GRPOTrainer", "close", pair, group={**plain, "scale": "group"})
    bare = {**pair, "scale_rewards": "none"}
    yield Run("GRPOTrainer", "choice", bare, group=plain)
    yield Run("RLOOTrainer", "choice", pair, kind="optimum")
    per_token = {**plain, "per_token": True}
    yield Run("GRPOTrainer", "longer", {**bare, "loss_type": "grpo"}, group=per_token)
    yield Run("GRPOTrainer", "longer", bare, group=plain)
    yield Run(
        "RLOOTrainer", "bigrams", {"beta": 2 * BETA, "max_completion_length": 40}, kind="texts"
    )
    yield Run("RLOOTrainer", "one", {"normalize_advantages": True}, kind="optimum")
    yield Run("OnlineDPOTrainer", "one", {"loss_type": "ipo"}, kind="online")
    yield Run("OnlineDPOTrainer", "one", {"loss_type": "sigmoid"}, kind="best")


def pair_runs():
    """Return runs of the trainers on preferences and labels."""
    smooth = {"label_smoothing": predict.EPS}
    for loss in (
        "sigmoid", "ipo", "hinge", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard",
        "apo_zero", "apo_down", "sigmoid_norm", "sft", "discopop", "aot", "aot_unpaired",
    ):  # fmt: skip
        options = {"loss_type": loss} | (smooth if loss in ("exo_pair", "robust") else {})
        known = None if loss == "discopop" else loss  # which has several least values
        steps = 4 * STEPS if loss == "sigmoid_norm" else STEPS  # which goes far
        for task in ("one", "lengths") if loss in ("sigmoid", "ipo", "sigmoid_norm") else ("one",):
            yield Run("DPOTrainer", task, options, steps, kind="pairs", loss=known)
    yield Run("DPOTrainer", "forks", {"loss_type": "sigmoid"}, STEPS, kind="pairs", loss="sigmoid")
    yield Run(
        "DPOTrainer", "prompts", {"loss_type": "sigmoid"}, STEPS, kind="pairs", loss="sigmoid"
    )
    for loss in ("kto", "apo_zero_unpaired"):
        yield Run("KTOTrainer", "one", {"loss_type": loss}, 2 * STEPS, kind="labels", loss="kto")
    for loss in ("sigmoid", "hinge", "ipo"):
        yield Run(
            "CPOTrainer", "lengths", {"loss_type": loss}, STEPS, kind="pairs", loss=f"cpo_{loss}"
        )
    options = {"loss_type": "simpo", "simpo_gamma": 0.0, "cpo_alpha": 0.0}
    yield Run("CPOTrainer", "lengths", options, 4 * STEPS, kind="pairs", loss="simpo")
    yield Run("ORPOTrainer", "lengths", {}, STEPS, kind="pairs", loss="orpo")
    yield Run("SFTTrainer", "lengths", {}, STEPS, kind="demonstrations")


def find_classes(name):
    """Return a trainer's class and that of its configuration."""
    config = name.replace("Trainer", "Config")
    if hasattr(trl, name):
        return getattr(trl, name), getattr(trl, config)
    folder = {"CPOTrainer": "cpo", "ORPOTrainer": "orpo", "GMPOTrainer": "gmpo",
              "OnlineDPOTrainer": "online_dpo"}[name]  # fmt: skip
    module = __import__(f"trl.experimental.{folder}", fromlist=[name])
    return getattr(module, name), getattr(module, config)


def make_records(run, task):
    """Return the records that a run is trained on."""
    if run.kind in ("pairs", "demonstrations"):
        return task.preference_records(PAIRS, random_state=SEED)
    if run.kind == "labels":
        return task.unpaired_records(LABELS, random_state=SEED)
    return task.prompt_records(BATCH * 3)


def train(run, task, folder):
    """Train a model and return it."""
    trainer_class, config_class = find_classes(run.trainer)
    known = {item.name for item in config_class.__dataclass_fields__.values()}
    generates = run.kind not in ("pairs", "labels", "demonstrations")
    settings = {
        "output_dir": os.path.join(folder, "out"),
        "per_device_train_batch_size": BATCH if generates else PAIR_BATCH,
        "max_steps": run.steps, "learning_rate": run.lr, "beta": BETA,
        "num_generations": GENERATIONS, "max_completion_length": 5, "max_new_tokens": 5,
        "max_length": 12, "bf16": False, "use_cpu": True, "seed": SEED, "report_to": "none",
        "logging_strategy": "no", "save_strategy": "no", "disable_tqdm": True,
        "gradient_checkpointing": False, "lr_scheduler_type": "linear", "warmup_ratio": 0.0,
        "missing_eos_penalty": None, "temperature": 1.0, "train_sampling_strategy": None,
    }  # fmt: skip
    if run.trainer == "KTOTrainer":
        settings["train_sampling_strategy"] = "sequential"
    else:
        del settings["train_sampling_strategy"]
    settings = {key: value for key, value in settings.items() if key in known} | run.options
    model = task.model(os.path.join(folder, "model"))
    records = make_records(run, task)
    if run.kind == "demonstrations":
        records = [{"prompt": r["prompt"], "completion": r["chosen"]} for r in records]
    arguments = {"reward_funcs": task.reward} if generates else {}
    trainer = trainer_class(
        model=model, args=config_class(**settings), train_dataset=Dataset.from_list(records),
        processing_class=task.tokenizer(), **arguments,
    )  # fmt: skip
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return model, make_records(run, task)


def predicted(run, task, records):
    """Return the policy a run should rest at, None if not known, and whether it rests."""
    if run.kind == "optimum":
        return task.objective.optimum(), True
    if run.kind == "group":
        size = run.options.get("num_generations", GENERATIONS)
        return predict.group_rest(task, size=size, beta=BETA, **run.group), True
    if run.kind == "online":
        return predict.online_ipo_rest(task, BETA), True
    if run.kind == "best":
        best = np.full(len(task.answers), -np.inf)
        best[np.argmax(task.objective.token_reward)] = 0.0
        return best, False
    if run.kind == "demonstrations":
        chosen = predict.pair_counts(task, records).sum(axis=1)
        return np.log(chosen / chosen.sum()), True
    if run.kind == "labels":
        counts = predict.label_counts(task, records)
        return predict.minimise(task, lambda policy: predict.kto_loss(task, counts, BETA, policy))
    if run.loss is None:
        return None, None
    counts = predict.pair_counts(task, records)
    return predict.minimise(
        task,
        lambda policy: predict.pair_loss(task, counts, run.loss, BETA, policy),
    )


def distance(policy, other):
    """Return the total variation distance of two policies (n_rows,)."""
    return 0.5 * np.abs(np.exp(policy) - np.exp(other)).sum()


def shown(policy, task):
    """Return the probabilities of the answers to the first prompt as text."""
    own = np.exp(predict.conditional(task.objective, policy))[task.objective.prompts == 0]
    return " ".join(f"{value:.3f}".removeprefix("0") for value in own)


def measure(run, task):
    """Return the lines of a run."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model, records = train(run, task, folder)
        found = task.read_policy(model)
        share = task.gap(model) / task.gap(task.reference)
        if run.kind == "texts":
            return f"{run.name:<86} gap {share:8.2%} {time.perf_counter() - began:4.0f} s"
        kl_coef = task.effective_kl_coef(model)
    seconds = time.perf_counter() - began
    goal, rests = predicted(run, task, records)
    off = "   - " if goal is None else f"{distance(found, goal):.3f}"
    best = task.objective.optimum()
    line = (
        f"{run.name:<86} rests {RESTS[rests]:<3} from predicted {off} from optimum "
        f"{distance(found, best):.3f} gap {share:6.1%} kl_coef {kl_coef:6.3f} {seconds:4.0f} s"
    )
    rows = [("found", found), ("predicted", goal), ("optimum", best)]
    parts = [f"    {name:<10} {shown(policy, task)}" for name, policy in rows if policy is not None]
    return "\n".join([line, *parts])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only", default="", help="regular expression of names of runs, in any case"
    )
    parser.add_argument("--list", action="store_true", help="print the names of runs alone")
    parser.add_argument("--steps", type=int, help="steps of every run")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    versions = [
        f"{name} {importlib.metadata.version(name)}" for name in ("trl", "transformers", "torch")
    ]
    print(", ".join(versions), flush=True)
    tasks = make_tasks()
    only = re.compile(arguments.only, re.IGNORECASE)
    runs = [run for run in (*group_runs(), *pair_runs()) if only.search(run.name)]
    for run in runs:
        if arguments.list:
            print(run.name)
            continue
        run.steps = arguments.steps or run.steps
        try:
            print(measure(run, tasks[run.task]), flush=True)
        except Exception as error:
            print(f"{run.name:<86} failed: {type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    main()
