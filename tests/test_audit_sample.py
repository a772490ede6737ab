"""The audit of more pairs than models learn from: what is drawn, what is told, what sees all."""

import contextlib
import io
import json

import numpy as np
import pytest
from sklearn.utils import Bunch

from sklearn_codex.cli import main
from sklearn_codex.datasets import read_preferences
from sklearn_codex.report import _audit_pairs
from sklearn_codex.report._audit_data import AuditData
from sklearn_codex.report._audit_limits import MAX_PAIRS
from sklearn_codex.report._audit_pairs import uncompared_pairs
from sklearn_codex.report._audit_predict import predict
from sklearn_codex.report._audit_progress import as_steps
from sklearn_codex.report._audit_run import finite, render
from sklearn_codex.report._audit_sample import draw_rows, draw_sample
from sklearn_codex.report._audit_sections import audit_sections
from sklearn_codex.report.audit import compute_audit

WORDS = np.array([f"{'bdfgk'[i % 5]}{'aeiou'[i // 5 % 5]}n{i}" for i in range(60)])
N_WANTED = 300


def make_rows(n_prompts=150, n_each=6, *, seed=0):
    """Preferences for the word "good", one in five the other way round, prompts of all sizes."""
    rng = np.random.RandomState(seed)
    rows = []
    for prompt in range(n_prompts):
        for i in range(1 + rng.randint(2 * n_each)):
            good, bad = (
                " ".join([*rng.choice(WORDS, rng.randint(6, 14)), word, f"{prompt}x{i}"])
                for word in ("good", "so")
            )
            if rng.uniform() < 0.2:
                good, bad = bad, good
            rows.append({"prompt": f"question {prompt}", "chosen": good, "rejected": bad})
            rows[-1] |= {"votes": [1, 1, int(rng.uniform() < 0.8)], "task": int(rng.randint(400))}
            rows[-1]["part"] = "test" if prompt % 10 == 0 else "train"
    rows[10] = dict(rows[3])  # a repetition
    rows[20] = {**rows[4], "chosen": rows[4]["rejected"], "rejected": rows[4]["chosen"]}
    rows[30]["rejected"] = rows[30]["chosen"]
    return rows


ROWS = make_rows()


@pytest.fixture(scope="module")
def of_all():
    return finite(compute_audit(ROWS, split="part", max_pairs=None))


@pytest.fixture(scope="module")
def of_sample():
    return finite(compute_audit(ROWS, split="part", max_pairs=N_WANTED))


def test_nothing_is_drawn_up_to_the_limit(of_all):
    assert len(ROWS) < MAX_PAIRS
    assert finite(compute_audit(ROWS, split="part", max_pairs=len(ROWS))) == of_all
    pairs = read_preferences(ROWS)
    data = AuditData(pairs, pairs.groups, 0)
    for max_pairs in (len(ROWS), 0, MAX_PAIRS):
        assert draw_sample(data, max_pairs) == (data, None)
    assert of_all["sampled"] is None
    assert "drawn by prompt" not in render(of_all)
    assert compute_audit(ROWS, max_pairs=len(ROWS) - 1)["sampled"] is not None


def test_what_is_drawn_is_about_as_large_as_wanted_and_told(of_sample):
    sampled = of_sample["sampled"]
    assert sampled["of_pairs"] == len(ROWS)
    assert sampled["n_pairs"] == pytest.approx(N_WANTED, rel=0.2)
    assert sampled["n_groups"] == pytest.approx(150 * N_WANTED / len(ROWS), abs=1)
    assert sampled["max_pairs"] == N_WANTED
    test = of_sample["prediction"]["models"]["words"]["accuracy"]
    assert test["n_pairs"] <= sampled["n_pairs"]
    best = of_sample["prediction"]["models"][of_sample["prediction"]["best"]]["accuracy"]
    assert sampled["half_width"] == pytest.approx((best["high"] - best["low"]) / 2)


def test_the_interval_of_all_is_told_about_as_it_is(of_sample, of_all):
    best = of_all["prediction"]["models"][of_all["prediction"]["best"]]["accuracy"]
    half_width = (best["high"] - best["low"]) / 2
    assert of_sample["sampled"]["half_width_of_all"] == pytest.approx(half_width, rel=0.25)


def test_what_must_see_all_rows_sees_them(of_sample, of_all):
    for name in ("sizes", "health", "leakage", "human_ceiling", "labels_to_check"):
        assert of_sample[name] == of_all[name], name
        assert name in of_sample["sampled"]["on_all"]
    for name in ("longer_wins", "longer_wins_test"):
        assert of_sample["length"][name] == of_all["length"][name]
    for name in ("position", "wrong labels", "longer wins"):
        assert of_sample["verdicts"][name] == of_all["verdicts"][name]
    for name in of_sample["sampled"]["on_sample"]:
        assert of_sample[name] != of_all[name], name


def test_the_same_seed_draws_the_same_and_another_one_other_pairs(of_sample):
    assert finite(compute_audit(ROWS, split="part", max_pairs=N_WANTED)) == of_sample
    other = compute_audit(ROWS, split="part", max_pairs=N_WANTED, seed=1)
    assert other["tokens"] != of_sample["tokens"]


def test_accuracy_of_a_sample_is_that_of_all_within_its_interval(of_all):
    wanted = of_all["prediction"]["models"]["words"]["accuracy"]["value"]
    found = []
    pairs = read_preferences(ROWS)
    for seed in range(6):
        sample, _ = draw_sample(AuditData(pairs, pairs.groups, seed), 450)
        prediction, _ = predict(sample, as_steps(None))
        test = prediction["models"]["words"]["accuracy"]
        found.append((test["value"], test["low"] <= wanted <= test["high"]))
    assert all(holds for _, holds in found)
    assert np.mean([value for value, _ in found]) == pytest.approx(wanted, abs=0.03)


@pytest.mark.parametrize("n_wanted", [400, 1000])
def test_each_pair_is_drawn_with_one_probability(n_wanted):
    rng = np.random.RandomState(0)
    sizes = np.concatenate([rng.randint(1, 9, 900), [700, 60, 51]])
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    share, n_draws = n_wanted / len(groups), 400
    drawn, numbers = np.zeros(len(groups)), []
    for seed in range(n_draws):
        rows, n_torn = draw_rows(groups, n_wanted, seed)
        assert n_torn == 3
        assert np.all(np.diff(rows) > 0)
        kept = np.bincount(groups[rows], minlength=len(sizes))
        whole = sizes <= 50
        assert set(kept[whole] / sizes[whole]) <= {0.0, 1.0}
        assert kept[~whole].tolist() == np.ceil(share * sizes[~whole]).tolist()
        drawn[rows] += 1 / n_draws
        numbers.append(len(rows))
    assert np.mean(numbers) == pytest.approx(n_wanted, rel=0.01)
    error = np.sqrt(share * (1 - share) / n_draws)
    assert np.abs(drawn - share).max() < 5 * error + 0.01
    large = sizes[groups] > 50
    for kind in (large, ~large):
        assert drawn[kind].mean() == pytest.approx(share, abs=0.01)


def test_few_huge_groups_are_drawn_in_part_and_this_is_told():
    rows = [row | {"person": i % 12} for i, row in enumerate(ROWS)]
    audit = finite(compute_audit(rows, groups="person", max_pairs=N_WANTED))
    sampled = audit["sampled"]
    assert sampled["n_groups"] == sampled["of_groups"] == sampled["n_groups_in_part"] == 12
    assert N_WANTED <= sampled["n_pairs"] <= N_WANTED + 12
    assert "12 groups have too many pairs to be drawn whole" in render(audit)


def test_too_small_a_sample_grows_until_it_says_something():
    audit = compute_audit(ROWS, max_pairs=3)
    assert audit["too_small"] is None
    assert audit["sampled"]["max_pairs"] == 3
    assert audit["sampled"]["n_pairs"] >= 50
    assert audit["sampled"]["n_groups"] >= 10


def test_rows_of_a_sample_are_those_of_the_file(of_sample):
    for example in of_sample["examples"]:
        row = ROWS[example["row"]]
        assert (example["chosen"], example["rejected"]) == (row["chosen"], row["rejected"])
    assert of_sample["examples"]


def test_pairs_to_label_are_new_to_all_rows_not_only_to_the_sample():
    # Groups that do not hold whole prompts: what one compares is known where another is drawn.
    rows = [
        {"prompt": f"p{i % 40}", "chosen": f"good {a} {i % 40}", "rejected": f"so {b} {i % 40}"}
        | {"task": int(i)}
        for i, (a, b) in enumerate(np.random.RandomState(0).randint(0, 3, (700, 2)))
    ]
    audit = compute_audit(rows, groups="task", max_pairs=200)
    assert audit["sampled"]["n_pairs"] == 200
    assert audit["pairs_to_label"]["are_new"]
    compared = {frozenset((row["chosen"], row["rejected"])) for row in rows}
    for row in audit["pairs_to_label"]["rows"]:
        assert frozenset((row["response_a"], row["response_b"])) not in compared


def test_each_section_says_on_what_it_was_computed(of_sample):
    n = of_sample["sampled"]["n_pairs"]
    of = f"{n:,} of {len(ROWS):,} pairs"
    sections = audit_sections(of_sample)
    assert (
        sections[0].blocks[0].text == f"Sizes, checks and leakage are of all {len(ROWS):,} pairs."
    )
    for section in sections[1:]:
        assert f"{of}, drawn by prompt" in section.blocks[0].text
    half_widths = [of_sample["sampled"][name] for name in ("half_width", "half_width_of_all")]
    of_sample_only, of_all_pairs = (f"±{100 * value:.1f}" for value in half_widths)
    assert f"{of_sample_only} points instead of about {of_all_pairs}" in sections[1].blocks[0].text
    assert f"models are of {of}" in render(of_sample)


def test_command_samples_by_its_option_and_says_so_everywhere(tmp_path):
    prefs = tmp_path / "prefs.jsonl"
    prefs.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    words = ["audit", str(prefs), "--out", str(tmp_path / "out"), "--no-progress", "--full"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main([*words, "--max-pairs", str(N_WANTED)]) == 0
    figures = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert figures["sampled"]["max_pairs"] == N_WANTED
    of = f"{figures['sampled']['n_pairs']:,} of {len(ROWS):,} pairs"
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for told in (" ".join(printed.getvalue().split()), page):
        assert told.count(f"{of}, drawn by prompt") == 7


@pytest.mark.parametrize("word", ["-1", "1.5", "many"])
def test_a_number_of_pairs_is_one(word, capsys):
    assert main(["audit", "no.jsonl", f"--max-pairs={word}"]) == 2
    assert f"a number of pairs is an integer >= 0, got '{word}'" in capsys.readouterr().err
    value = {"-1": -1, "1.5": 1.5}.get(word, word)
    with pytest.raises(ValueError, match="audit_preferences needs max_pairs >= 0, an integer, got"):
        compute_audit(ROWS, max_pairs=value)


def test_of_very_many_pairs_to_label_some_are_drawn(monkeypatch):
    responses = np.array([[f"p{i % 3}" if i % 10 else "", f"r{i}"] for i in range(600)], object)
    a, b = np.array([4, 7, 1]), np.array([1, 1, 8])  # the last two are of different prompts
    data = Bunch(responses=responses, compared_pairs=(a, b), seed=0)
    every = set(zip(*uncompared_pairs(data), strict=True))
    assert len(every) == 3 * (180 * 179) // 2 - 2
    assert (1, 7) not in every
    monkeypatch.setattr(_audit_pairs, "MAX_LISTED", 1000)
    first, second = uncompared_pairs(data)
    assert 10_000 < len(first) < len(every)
    assert set(zip(first, second, strict=True)) < every
    counts = np.bincount(np.concatenate([first, second]), minlength=600)[responses[:, 0] != ""]
    assert counts.min() > 0.5 * counts.mean()
