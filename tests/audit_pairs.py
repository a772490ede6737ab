"""Pairs that the audit is tested on, and what it shows of them."""

import json
import re

import numpy as np

from sklearn_codex.cli import main
from sklearn_codex.report._audit_run import finite, render

WORDS = ["alpha", "beta", "gamma", "delta", "zeta", "eta", "theta", "iota", "kappa"]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def make_pairs(n_prompts=30, n_each=6, noise=0.1, seed=0):
    """Return (prompt, better, worse): "good" is preferred to "bad"."""
    rng = np.random.RandomState(seed)
    pairs = []
    for prompt in range(n_prompts):
        for _ in range(n_each):
            one, other = (
                " ".join([*rng.choice(WORDS, 9), *[word] * rng.randint(1, 4)])
                for word in ("good", "bad")
            )
            if rng.uniform() < noise:
                one, other = other, one
            pairs.append((f"question {prompt} {WORDS[prompt % 9]}", one, other))
    return pairs


def oriented(with_prompt=True, **more):
    rows = [{"prompt": p, "chosen": a, "rejected": b} for p, a, b in make_pairs(**more)]
    if not with_prompt:
        for row in rows:
            del row["prompt"]
    return rows


def labelled(seed=0, **more):
    rng = np.random.RandomState(seed)
    rows = []
    for prompt, a, b in make_pairs(**more):
        is_a = rng.uniform() < 0.5
        one, other = (a, b) if is_a else (b, a)
        label = "a" if is_a else "b"
        rows.append({"prompt": prompt, "response_a": one, "response_b": other, "winner": label})
    return rows


def run(path, capsys, *options):
    """Return what the command prints, the page, the figures and the lists, as text."""
    out = path.parent / "out"
    words = ["audit", str(path), "--out", str(out), "--force", "--no-progress", "--full", *options]
    assert main(words) == 0
    shown = {"printed": " ".join(capsys.readouterr().out.split())}
    for file in out.iterdir():
        shown[file.name] = file.read_text(encoding="utf-8")
    return shown


def figures_of(shown):
    return json.loads(shown["audit.json"])


def words_of(audit):
    """Return all sentences of a report."""
    return re.sub("<[^>]*>", " ", render(finite(audit)))
