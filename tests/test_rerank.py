"""Candidates in files, and the command that ranks them."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    CandidatePolicy,
    PreferenceRewardModel,
    RewardUncertainty,
    TiePreferenceModel,
    TokenCounter,
    UnigramLM,
    save_model,
)
from sklearn_codex._layouts.candidates import read_candidates
from sklearn_codex._layouts.given import Given
from sklearn_codex.cli import main
from sklearn_codex.datasets import read_candidates as read_arrays
from sklearn_codex.rules import BannedTokens

PAIRS = [
    ("ask", "good words please", "bad words"),
    ("tell", "bad bad", "good please"),
    ("say", "fine words good", "bad never"),
]
LABELS = [1, 0, 1]
LISTS = [
    {"prompt": "One?", "responses": ["bad", "good please", "words"]},
    {"prompt": "Two?", "responses": ["good", "good", "never bad"]},
]
FLAT = [(row["prompt"], text) for row in LISTS for text in row["responses"]]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = PreferenceRewardModel().fit(PAIRS, LABELS)
    sure = RewardUncertainty(FrozenEstimator(model)).fit(PAIRS, LABELS)
    vectorizer = FrozenEstimator(TokenCounter().fit([text for pair in PAIRS for text in pair[1:]]))
    wide = PreferenceRewardModel(vectorizer=vectorizer).fit(PAIRS, LABELS)
    wide._precision = None  # as of more than 128 weights
    policy = CandidatePolicy(FrozenEstimator(model), kl_coef=0.3).fit(FLAT)
    found = {"model": model, "sure": sure, "wide": wide, "policy": policy, "lm": UnigramLM()}
    found["lm"].fit(["a b"])
    for name, value in found.items():
        save_model(value, folder / f"{name}.skops")
    return found, {name: str(folder / f"{name}.skops") for name in found}


def ranked(words, capsys):
    """The rows that the command writes, and what it says of them."""
    assert main(["rerank", *words]) == 0
    shown = capsys.readouterr()
    return [json.loads(line) for line in shown.out.splitlines()], shown.err


def test_the_best_come_first_with_their_probabilities(models, tmp_path, capsys):
    model, paths = models[0]["model"], models[1]
    rows, said = ranked([paths["model"], write(tmp_path / "c.jsonl", LISTS)], capsys)
    assert "a list of responses; 2 rows, 2 prompts, 6 candidates." in said
    for row, given in zip(rows, LISTS, strict=True):
        reward = model.reward(given["responses"])
        order = np.argsort(-reward, kind="stable")
        assert row["order"] == order.tolist()
        assert row["responses"] == [given["responses"][i] for i in order]
        assert row["prompt"] == given["prompt"]
        assert_allclose(row["scores"], reward[order])
        assert_allclose(row["p_best"], softmax(reward[order]))
        assert "probability" not in row
        pairs = [(given["prompt"], row["responses"][0], text) for text in row["responses"]]
        margin, std = models[0]["sure"].predict_margin(pairs, return_std=True)
        assert row["tied"] == (margin <= 1.96 * std).tolist()
    assert rows[1]["tied"][:2] == [True, True]


def test_one_response_a_row_wherever_it_stands(models, tmp_path, capsys):
    path = tmp_path / "c.csv"
    order = [0, 3, 1, 4, 5, 2]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer", "id"])
        writer.writerows([*FLAT[i], f"id {i}"] for i in order)
        writer.writerow(["", "", ""])
    found, said = ranked([models[1]["model"], str(path)], capsys)
    assert "one response a row; 6 rows, 2 prompts, 6 candidates. 1 row without any value" in said
    lists, _ = ranked([models[1]["model"], write(tmp_path / "c.jsonl", LISTS)], capsys)
    for row, of_list in zip(found, lists, strict=True):
        assert row["responses"] == of_list["responses"]
        assert_allclose(row["scores"], of_list["scores"])
    assert [order[i] for i in found[0]["order"]] == lists[0]["order"]


@pytest.mark.parametrize(
    ("options", "settings"),
    [(["--kl-coef", "0.5"], {"kl_coef": 0.5}), (["--target-kl", "0.1"], {"target_kl": 0.1})],
)
def test_probabilities_are_those_of_the_policy(models, tmp_path, capsys, options, settings):
    path = write(tmp_path / "c.jsonl", [{**row, "logprobs": [-1.0, -3, -2]} for row in LISTS])
    words = [models[1]["model"], path, "--logprobs", "logprobs", *options]
    rows, said = ranked(words, capsys)
    policy = CandidatePolicy(FrozenEstimator(models[0]["model"]), **settings)
    policy.fit(FLAT, reference_log_prob=[-1.0, -3, -2] * 2)
    choice = policy.predict_choice(FLAT, reference_log_prob=[-1.0, -3, -2] * 2).reshape(2, 3)
    for row, of_policy in zip(rows, choice, strict=True):
        assert_allclose(row["probability"], of_policy[row["order"]])
    assert f"the policy is {policy.kl_:.4g} nats from the reference" in said


def test_a_policy_is_a_model_for_it(models, tmp_path, capsys):
    path = write(tmp_path / "c.jsonl", LISTS)
    rows, _ = ranked([models[1]["policy"], path], capsys)
    choice = models[0]["policy"].predict_choice(FLAT).reshape(2, 3)
    for row, of_policy in zip(rows, choice, strict=True):
        assert_allclose(row["probability"], of_policy[row["order"]])
        assert "p_best" not in row
        assert row["tied"] is not None
    assert main(["rerank", models[1]["policy"], path, "--kl-coef", "1"]) == 1
    assert "has its own kl_coef, 0.3. Leave out --kl-coef." in capsys.readouterr().err


RULES = {
    "hard": [BannedTokens(["please"], hard=True)],
    "penalty": [BannedTokens(["please"], penalty=9.0)],
    "max_rate": [BannedTokens(["please"], max_rate=0.1)],
    "mixed": [BannedTokens(["please"], penalty=0.3), BannedTokens(["words"], hard=True, name="w")],
    "none": None,
}


@pytest.mark.parametrize("logprobs", [None, [-3.0, -1.0, -5.0], [-1.0, -np.inf, -1.0]])
@pytest.mark.parametrize("conservative", [0.0, 2.0])
@pytest.mark.parametrize("rules", RULES)
def test_a_saved_policy_orders_as_it_ranks(models, tmp_path, capsys, rules, conservative, logprobs):
    sure, n = models[0]["sure"], len(LISTS)
    reference = None if logprobs is None else logprobs * n
    policy = CandidatePolicy(
        FrozenEstimator(sure), kl_coef=0.5, rules=RULES[rules], conservative=conservative
    ).fit(FLAT, reference_log_prob=reference)
    saved = str(tmp_path / "policy.skops")
    save_model(policy, saved)
    given = LISTS if logprobs is None else [{**row, "lp": logprobs} for row in LISTS]
    words = [saved, write(tmp_path / "c.jsonl", given)]
    rows, _ = ranked(words if logprobs is None else [*words, "--logprobs", "lp"], capsys)
    rank = policy.rank(FLAT, reference_log_prob=reference).reshape(n, 3)
    chosen = policy.predict(FLAT, reference_log_prob=reference).reshape(n, 3)
    log_prob = policy.predict_log_proba(FLAT, reference_log_prob=reference)[:, 1].reshape(n, 3)
    reward = policy.reward(FLAT, reference_log_prob=reference).reshape(n, 3)
    for i, (row, own) in enumerate(zip(rows, LISTS, strict=True)):
        order = row["order"]
        assert (np.diff(rank[i][order]) >= 0).all()
        assert chosen[i][order[0]]
        assert_allclose(row["scores"], reward[i][order])
        assert_allclose(row["probability"], np.exp(log_prob[i])[order], atol=1e-12)
        pairs = [(own["prompt"], row["responses"][0], text) for text in row["responses"]]
        std = sure.predict_margin(pairs, return_std=True)[1]
        behind = policy.kl_coef_ * (log_prob[i][order[0]] - log_prob[i][order])
        assert row["tied"] == (behind <= 1.96 * std + 1e-12).tolist()
        if rules == "hard" and i == 0:
            assert (row["responses"][-1], row["tied"][-1]) == ("good please", False)


def test_a_log_probability_of_minus_infinity_is_a_ban(models, tmp_path, capsys):
    path = write(tmp_path / "c.jsonl", [{**LISTS[0], "lp": [-1.0, float("-inf"), -1.0]}])
    assert "-Infinity" in (tmp_path / "c.jsonl").read_text()
    rows, _ = ranked([models[1]["model"], path, "--logprobs", "lp"], capsys)
    assert (rows[0]["responses"][-1], rows[0]["probability"][-1]) == ("good please", 0.0)
    table = tmp_path / "c.csv"
    lines = ["prompt,response,lp", "p,bad,-1", "p,good please,-inf", "p,words,-1"]
    table.write_text("\n".join(lines), encoding="utf-8")
    of_table, _ = ranked([models[1]["model"], str(table), "--logprobs", "lp"], capsys)
    assert of_table[0]["responses"] == rows[0]["responses"]
    assert_allclose(of_table[0]["probability"], rows[0]["probability"])


@pytest.mark.parametrize("in_policy", [False, True])
def test_a_model_of_ties_goes_without_errors(tmp_path, capsys, in_policy):
    model = TiePreferenceModel().fit(PAIRS * 4, [1, 0.5, 1, 0] * 3)
    if in_policy:
        model = CandidatePolicy(FrozenEstimator(model)).fit(FLAT)
    saved = str(tmp_path / "ties.skops")
    save_model(model, saved)
    rows, said = ranked([saved, write(tmp_path / "c.jsonl", LISTS)], capsys)
    reward = model.reward(LISTS[0]["responses"])
    assert rows[0]["order"] == np.argsort(-reward, kind="stable").tolist()
    assert [row["tied"] for row in rows] == [None, None]
    assert "the model does not know how sure it is" in said


def test_ties_are_not_marked_where_nobody_knows_the_error(models, tmp_path, capsys):
    rows, said = ranked([models[1]["wide"], write(tmp_path / "c.jsonl", LISTS)], capsys)
    assert [row["tied"] for row in rows] == [None, None]
    assert "the model does not know how sure it is" in said


def test_what_is_written_is_read_again(models, tmp_path, capsys):
    out = tmp_path / "ranked.jsonl"
    path = write(tmp_path / "c.jsonl", LISTS)
    assert main(["rerank", models[1]["model"], path, "--out", str(out)]) == 0
    again, _ = ranked([models[1]["model"], str(out)], capsys)
    assert [row["order"] for row in again] == [[0, 1, 2]] * 2


# What files hold


def read(rows, **said):
    given = {name: said.pop(name) for name in ("prompt", "groups") if name in said}
    placed = [(f"f, line {i}", row) for i, row in enumerate(rows, start=1)]
    return read_candidates(placed, Given(**given, command=True), place="f", **said)


ANSWER = [{"role": "assistant", "content": "a"}]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "responses": ["a", "b"]},
        {"instruction": "p", "candidates": ["a", "b"], "model": "m"},
        {"prompt": "p", "completions": '["a", "b"]', "note": "x"},
        {"prompt": "p", "outputs": [{"text": "a", "score": 1}, {"text": "b", "score": 2}]},
        {"prompt": [{"role": "user", "content": "p"}], "responses": [ANSWER, "b"]},
        {"prompt": "p", "responses": np.array(["a", "b"], dtype=object)},
    ],
)
def test_lists_of_responses(row):
    found = read([row, row])
    assert found.prompts == ["p"] * 4
    assert found.responses == ["a", "b"] * 2
    # Each list is a prompt of its own, even where the prompts are equal.
    assert found.groups == [0, 0, 1, 1]
    assert found.is_list


def test_lists_need_no_prompt_and_are_of_any_length():
    found = read([{"answers": ["a"]}, {"answers": ["b", "c", "d"]}])
    assert found.prompts == [""] * 4
    assert found.groups == [0, 1, 1, 1]
    # Nor where a column of prompts is named, and has nothing in a row.
    found = read([{"q": "p", "answers": ["a"]}, {"q": None, "answers": ["b"]}], prompt="q")
    assert found.prompts == ["p", ""]


def test_rows_of_one_response():
    rows = [
        {"prompt": "p  q", "response": "a"},
        {"prompt": "r", "response": "b"},
        {"prompt": "p q", "response": "c"},
    ]
    found = read(rows)
    assert found.groups == [0, 1, 0]
    assert found.prompts == ["p  q", "r", "p  q"]
    named = [{"x": "1", "y": text, "z": "t"} for text in "ab"]
    found = read(named, response="Y", groups="z")
    assert (found.responses, found.groups) == (["a", "b"], [0, 0])


@pytest.mark.parametrize(
    ("rows", "said", "words"),
    [
        ([], {}, "f has a header and no record"),
        ([{"prompt": "p", "chosen": "a"}], {}, r"line 1 has no column that is named as one of"),
        (
            [{"prompt": "p", "response": "a", "candidates": ["b"]}],
            {},
            r"several columns: candidates \(a list\), response.*--response candidates",
        ),
        ([{"prompt": "p", "response_a": "a", "response_b": "b"}], {}, "in several columns become"),
        ([{"response": "a"}], {}, r"nothing says which rows belong together.*--prompt NAME"),
        ([{"prompt": "p", "responses": []}], {}, "an empty list"),
        ([{"prompt": "p", "responses": ["a", None]}], {}, r"no text in responses\[1\]"),
        (
            [{"prompt": "p", "response": ["a"]}, {"prompt": "p", "response": "a"}],
            {},
            "line 2 has one response in response, where the rows before have a list",
        ),
        ([{"prompt": "p", "y": "a"}], {"response": "z"}, r"nothing in the column 'z'"),
        ([{"prompt": "p", "response": "a"}], {"groups": "by"}, r"'by', .*\['prompt', 'response'\]"),
        (
            [{"prompt": "p", "responses": ["a", "b"]}],
            {"prompt": "promt"},
            r"nothing in the column 'promt' of the prompt.*[Dd]id you mean.*\['prompt', 'resp",
        ),
        (
            [{"prompt": "p", "response": "a", "k": 1}],
            {"prompt": "q", "groups": "k"},
            r"nothing in the column 'q' of the prompt.*\['prompt', 'response', 'k'\]",
        ),
        (
            [{"prompt": ["a", "b"], "q": "p"}],
            {"prompt": "prompt", "response": "prompt"},
            "both of the prompt and of the responses",
        ),
        (
            [{"prompt": "p", "responses": ["a", "b"], "logprobs": [-1.0, -2.0]}],
            {"numbers": {"logprobs": "logprob"}},
            r"no column 'logprob'.*[Dd]id you mean.*\['prompt', 'responses', 'logprobs'\]",
        ),
        (
            [{"prompt": "p", "responses": ["a"], "lp": [float("inf")]}],
            {"numbers": {"logprobs": "lp"}},
            "lp = inf, which is no number",
        ),
        (
            [{"prompt": "p", "responses": ["a"], "score": [float("-inf")]}],
            {"numbers": {"scores": "score"}},
            "score = -inf, which is no number",
        ),
        (
            [{"prompt": "p", "response": "a", "k": 1}, {"prompt": "q", "response": "a", "k": 1}],
            {"groups": "k"},
            r"line 2 has the prompt 'q', and rows before it of the same k have 'p'.*--by k",
        ),
        (
            [{"prompt": "p", "responses": ["a", "b"], "lp": [-1.0]}],
            {"numbers": {"logprobs": "lp"}},
            "2 responses and 1 values in lp",
        ),
        (
            [{"prompt": "p", "responses": ["a"], "lp": ["x"]}],
            {"numbers": {"logprobs": "lp"}},
            "is no number",
        ),
        (
            [{"prompt": "p", "responses": ["a"], "lp": None}],
            {"numbers": {"logprobs": "lp"}},
            "has no number",
        ),
    ],
)
def test_files_that_could_mean_two_things_are_refused(rows, said, words):
    with pytest.raises(ValueError, match=words):
        read(rows, **said)


def test_a_model_of_vectors_says_that_it_reads_no_text(tmp_path, capsys):
    vectors = np.random.RandomState(0).standard_normal((40, 2, 3))
    y = (vectors[:, 0, 0] > vectors[:, 1, 0]).astype(int)
    path = tmp_path / "model.skops"
    save_model(PreferenceRewardModel().fit(vectors, y), path)
    assert main(["rerank", str(path), write(tmp_path / "lists.jsonl", LISTS)]) == 1
    assert f"{path} was fitted on vectors" in (said := capsys.readouterr().err)
    assert "reads no text" in said


def test_errors_of_the_command_are_one_line(models, tmp_path, capsys):
    path = write(tmp_path / "c.jsonl", LISTS)
    for words, message in (
        ([models[1]["lm"], path], "has no reward model"),
        ([models[1]["model"], path, "--target-kl", "9"], "--target-kl should be above 0"),
        ([models[1]["model"], path, "--kl-coef", "-1"], "--kl-coef must be"),
        ([models[1]["model"], str(tmp_path / "none.jsonl")], "No such file"),
        ([models[1]["model"], path, "--out", path], "CANDIDATES"),
    ):
        assert main(["rerank", *words]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert main(["rerank", models[1]["model"], path, "--kl-coef", "1", "--target-kl", "1"]) == 2


# As arrays


def test_candidates_become_arrays(tmp_path):
    rows = [{**row, "scores": [1, 2, 3], "logprobs": [-1.0, -2.0, -0.5]} for row in LISTS]
    data = read_arrays(write(tmp_path / "c.jsonl", rows))
    assert [tuple(row) for row in data.X] == FLAT
    assert_allclose(data.y, [1, 2, 3] * 2)
    assert_allclose(data.reference_log_prob, [-1.0, -2.0, -0.5] * 2)
    assert data.groups.tolist() == [0, 0, 0, 1, 1, 1]
    assert (data.n, data.n_prompts) == (6, 2)
    flat = [
        {"prompt": prompt, "response": text, "score": float(i)}
        for i, (prompt, text) in enumerate(FLAT)
    ]
    for table in (
        flat,
        pd.DataFrame(flat),
        {name: [row[name] for row in flat] for name in flat[0]},
    ):
        data = read_arrays(table)
        assert [tuple(row) for row in data.X] == FLAT
        assert_allclose(data.y, range(6))
        assert data.reference_log_prob is None


def test_a_number_of_the_prompt_is_no_score_of_its_responses():
    data = read_arrays([{**row, "score": 3.0} for row in LISTS])
    assert data.y is None
    named = read_arrays([{**row, "points": [1, 2, 3]} for row in LISTS], scores="points")
    assert_allclose(named.y, [1, 2, 3] * 2)
    with pytest.raises(ValueError, match="record 1 has 3 responses and 2 values in scores"):
        read_arrays([{**LISTS[0], "scores": [1, 2, 3]}, {**LISTS[1], "scores": [1, 2]}])
