"""Whether those who wrote the responses differ: said where it is sure, and where to go then."""

import numpy as np
import pytest
from scipy.special import expit

from sklearn_codex import ModelRatings, read_preferences
from sklearn_codex.report._audit_answers import short_answers
from sklearn_codex.report._audit_authors import MOST_AUTHORS, compare_authors, find_authors
from sklearn_codex.report._audit_data import AuditData
from sklearn_codex.report._audit_sections_reading import reading_blocks
from sklearn_codex.report._audit_sections_slices import slices_section
from sklearn_codex.report._blocks import Facts
from sklearn_codex.report.audit import compute_audit

NAMES = np.array(["ant", "bee", "cat"])


def make_rows(
    ahead, *, n_prompts=40, n_each=5, seed=0, names=NAMES, columns=("model_a", "model_b")
):
    """Return pairs in which the first author is ahead by so many nats, the others are equal."""
    rng = np.random.RandomState(seed)
    rows = []
    for prompt in range(n_prompts):
        for _ in range(n_each):
            a, b = rng.choice(len(names), 2, replace=False)
            label = float(rng.uniform() < expit(ahead * ((a == 0) - float(b == 0))))
            texts = (" ".join(rng.choice(["red", "blue", "gold", "grey"], 6)) for _ in range(2))
            row = dict(zip(("response_a", "response_b"), texts, strict=True))
            row |= {"prompt": f"prompt number {prompt}", "label": label}
            rows.append(row | dict(zip(columns, names[[a, b]].tolist(), strict=True)))
    return rows


def compared(rows):
    pairs = read_preferences(rows)
    return compare_authors(AuditData(pairs, pairs.groups, 0), find_authors(pairs))


def test_an_author_who_is_ahead_is_told_as_ratings_tell():
    rows = make_rows(2.0)
    found = compared(rows)
    pairs = read_preferences(rows)
    names = np.array([[row["model_a"], row["model_b"]] for row in rows])
    model = ModelRatings(random_state=0).fit(names, pairs.y, groups=pairs.groups)
    adjusted = model.comparisons().p_adjusted
    assert found["n_differing"] == (adjusted < 0.05).sum() == 2
    assert found["p_value"] == adjusted.min()
    assert (found["name"], found["n_authors"], found["n_tests"]) == ("model", 3, 3)
    assert found["better"] == "ant"


@pytest.mark.parametrize("n_prompts", [15, 40])
def test_equal_authors_are_told_apart_in_few_data_sets(n_prompts):
    found = [compared(make_rows(0.0, seed=seed, n_prompts=n_prompts)) for seed in range(60)]
    assert sum(one["n_differing"] > 0 for one in found) <= 6  # 3 expected at most, .03 for more


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ("colour_a", "colour_b")}, "columns that name no authors"),
        ({"n_prompts": 8}, "too few prompts"),
        ({"names": np.array([f"m{i}" for i in range(MOST_AUTHORS + 40)])}, "too many authors"),
    ],
)
def test_nothing_is_asked(options, message):
    assert compared(make_rows(2.0, **options)) is None, message


def test_rows_without_a_name_or_of_one_author_are_left_out():
    rows = make_rows(2.0)
    plain = compared(rows)
    odd = [row | {"model_a": None} for row in rows[:30]]
    odd += [row | {"model_a": "ant", "model_b": "ant"} for row in rows[30:50]]
    found = compared(rows + odd)
    assert found["n_pairs"] == plain["n_pairs"] == len(rows)
    assert found["n_differing"] == plain["n_differing"]


@pytest.mark.parametrize(("ahead", "is_told"), [(2.0, True), (0.0, False)])
def test_the_page_points_to_ratings_where_authors_differ(ahead, is_told):
    audit = compute_audit(make_rows(ahead, n_prompts=60))
    verdict = audit["verdicts"]["authors"]
    assert verdict["verdict"] == ("differ" if is_told else "none shown")
    assert (verdict["p_value"] < verdict["level"]) == is_told
    notes = [block.text for block in slices_section(audit).blocks if hasattr(block, "text")]
    told = [note for note in notes if "sklearn-codex rate" in note]
    assert len(told) == is_told
    if told:
        assert "3 models, in model_a and model_b: 2 of the 3 pairs of models differ" in told[0]
        assert "the surest is that ant is preferred to" in told[0]
        assert "author_share" in told[0]
    answer = short_answers(audit)["slices"]
    assert ("rate tells models apart" in answer.line) == is_told
    (facts,) = (block for block in reading_blocks(audit) if isinstance(block, Facts))
    said = dict(facts.items)
    assert said["Looked at:"] == ["model_a, model_b"]  # as what is shown by kind and by author
    assert "Not used:" not in said
