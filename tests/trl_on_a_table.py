"""Train a table with a trainer of TRL, and hold it against the exact optimum. In the guide."""

import numpy as np
import torch
from datasets import Dataset
from trl import RLOOConfig, RLOOTrainer

from sklearn_codex.exact import CandidateObjective
from sklearn_codex.lab.torch import CandidateTask

torch.set_num_threads(1)
problem = CandidateObjective(
    reference_log_prob=np.log([0.1, 0.2, 0.4, 0.3]),
    token_reward=np.array([1.0, 0.5, -0.5, 0.0]),
    prompts=np.zeros(4, dtype=int),
    kl_coef=0.5,
)
task = CandidateTask(problem, ["yes", "yes indeed", "no", "perhaps"])
model = task.model("reference")
trainer = RLOOTrainer(
    model=model,
    reward_funcs=task.reward,
    args=RLOOConfig(
        output_dir="out", max_steps=150, per_device_train_batch_size=128,
        num_generations=4, beta=0.5, learning_rate=0.1, max_completion_length=4,
        bf16=False, use_cpu=True, gradient_checkpointing=False, save_strategy="no",
        report_to="none", disable_tqdm=True,
    ),
    train_dataset=Dataset.from_list(task.prompt_records(128)),
    processing_class=task.tokenizer(),
)  # fmt: skip
trainer.train()
found = np.exp(task.read_policy(model))
best = np.exp(problem.optimum())
share = task.gap(model) / task.gap(task.reference)
