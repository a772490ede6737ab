"""``audit --embeddings``: do vectors predict better than words, and how often is that false."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit
from scipy.stats import binom
from sklearn.model_selection import GroupKFold
from sklearn.utils import Bunch

from sklearn_codex import (
    PreferenceRewardModelCV,
    ResponseIds,
    audit_preferences,
    read_preferences,
)
from sklearn_codex.cli import main
from sklearn_codex.report import _audit_verdicts as rules
from sklearn_codex.report._audit_data import cross_fit_draws
from sklearn_codex.report._audit_embeddings import (
    CS,
    N_FOLDS,
    cross_fit_chosen,
    differences_of_vectors,
    judge_draws,
    read_vectors,
)
from sklearn_codex.report._audit_sections import audit_sections

WORDS = ["alpha", "beta", "gamma", "delta", "zeta", "eta", "theta"]
N = 160


def make_rows(by_vectors=True, seed=0, oriented=False):
    """Return rows and vectors; labels are told by the vectors, or by the word good."""
    rng = np.random.RandomState(seed)
    vectors = rng.standard_normal((N, 2, 6))
    texts = [[" ".join(rng.choice(WORDS, 9)) for _ in range(2)] for _ in range(N)]
    good = rng.uniform(size=(N, 2)) < 0.5
    margin = (vectors[:, 0] - vectors[:, 1]) @ np.array([2.0, -1.5, 1.0, 0, 0, 0])
    if not by_vectors:
        margin = 3.0 * (good[:, 0].astype(float) - good[:, 1])
        texts = [
            [f"{text} good" if has else text for text, has in zip(row, side, strict=True)]
            for row, side in zip(texts, good, strict=True)
        ]
    y = (rng.uniform(size=N) < expit(margin)).astype(int)
    prompts = [f"{WORDS[i // 4 % 7]} number {i // 4}" for i in range(N)]
    if oriented:
        rows = [
            {"prompt": p, "chosen": t[1 - label], "rejected": t[label]}
            for p, t, label in zip(prompts, texts, y, strict=True)
        ]
        return rows, np.where(y[:, None, None] == 1, vectors, vectors[:, ::-1]), y
    rows = [
        {"prompt": p, "response_a": t[0], "response_b": t[1], "label": int(label)}
        for p, t, label in zip(prompts, texts, y, strict=True)
    ]
    return rows, vectors, y


@pytest.fixture(scope="module")
def found():
    rows, vectors, _ = make_rows()
    return audit_preferences(rows, embeddings=vectors)


def test_embeddings_predict_where_words_fail(found):
    verdicts = found.figures["verdicts"]
    assert verdicts["predictable"]["verdict"] in ("not shown", "too few")
    for question, verdict in (
        ("embeddings predict", "yes"),
        ("embeddings beyond words", "better"),
        ("embeddings beside words", "better"),
    ):
        assert verdicts[question]["verdict"] == verdict
        assert verdicts[question]["low"] > verdicts[question]["null"]
    assert found.verdict == "cannot be decided"
    assert "A reward of the embeddings is: " in found.reason
    answer = found.answers[1]
    assert answer.word == "by vectors"
    assert answer.answer.startswith("Not by words, but by embeddings: a reward of these is right")
    assert {"embeddings predict", "embeddings beyond words"} <= set(answer.tests)
    figures = json.loads(json.dumps(found.to_dict(), allow_nan=False))["embeddings"]
    assert figures["n_features"] == 6
    assert set(figures["models"]) == {"embeddings", "embeddings and preset"}
    assert "embeddings" in list(found.frames["models"].model)
    page = found.to_html()
    assert "Embeddings alone do better than words, letters and form, by +" in page
    assert "Embeddings beside words, letters and form do better than without them, by +" in page


def test_without_embeddings_nothing_is_asked_of_them():
    rows, _, _ = make_rows()
    figures = audit_preferences(rows).figures
    assert figures["embeddings"] is None
    assert not any("embeddings" in question for question in figures["verdicts"])


def test_embeddings_of_noise_are_not_better_than_words():
    rows, vectors, _ = make_rows(by_vectors=False)
    audit = audit_preferences(rows, embeddings=vectors)
    verdicts = audit.figures["verdicts"]
    assert verdicts["predictable"]["verdict"] == "yes"
    assert verdicts["embeddings predict"]["verdict"] in ("not shown", "too few")
    assert verdicts["embeddings beyond words"]["verdict"] == "worse"
    assert verdicts["embeddings beside words"]["verdict"] != "better"
    assert audit.figures["decision"]["reason"] != "embeddings alone"
    assert audit.answers[1].word == "yes"
    assert "Embeddings alone do worse than words, letters and form, by +" in audit.to_html()


# The same vectors in every form


def same_figures(one, other):
    for name in ("embeddings", "embeddings and preset"):
        for measure in ("accuracy", "log_loss"):
            assert_allclose(
                one["models"][name][measure]["value"], other["models"][name][measure]["value"],
                rtol=1e-4,
            )  # fmt: skip


def read_alike(embeddings, pairs, as_read=False):
    return np.asarray(read_vectors(embeddings, pairs, name="v", place="p", as_read=as_read))


def test_files_arrays_and_ids_are_read_alike(tmp_path):
    rows, vectors, _ = make_rows()
    np.save(tmp_path / "v.npy", vectors)
    pairs = read_preferences(rows)
    flat = vectors.reshape(2 * N, 6)
    ids = np.arange(2 * N).reshape(N, 2)
    for embeddings in (
        vectors,
        flat,
        vectors.tolist(),
        tmp_path / "v.npy",
        str(tmp_path / "v.npy"),
        ResponseIds(ids[::-1], vectors[::-1].reshape(2 * N, 6)),
    ):
        assert_allclose(read_alike(embeddings, pairs), vectors)
        assert_allclose(read_alike(embeddings, pairs, as_read=True), vectors)
    assert read_vectors(None, pairs, name="v", place="p", as_read=False) is None


def test_chosen_and_rejected_are_turned_with_their_vectors():
    rows, vectors, _ = make_rows(oriented=True)
    pairs = read_preferences(rows)
    expected = np.where(pairs.y[:, None, None] == 1, vectors, vectors[:, ::-1])
    assert not np.array_equal(expected, vectors)
    assert_allclose(read_alike(vectors, pairs), expected)
    assert_allclose(read_alike(expected, pairs, as_read=True), expected)
    audit = audit_preferences(pairs, embeddings=expected)
    accuracy = audit.figures["embeddings"]["models"]["embeddings"]["accuracy"]["value"]
    assert 0.75 < accuracy < 0.99  # not 1, as of a label that stands in the order


def test_a_sample_takes_the_vectors_of_its_pairs():
    rows, vectors, _ = make_rows()
    audit = audit_preferences(rows, embeddings=vectors, max_pairs=100)
    assert audit.figures["sampled"]["n_pairs"] < N
    assert "embeddings" in audit.figures["sampled"]["on_sample"]
    accuracy = audit.figures["embeddings"]["models"]["embeddings"]["accuracy"]
    assert accuracy["value"] > 0.75
    assert accuracy["n_pairs"] == audit.figures["sampled"]["n_pairs"]


# The command


def write(folder, rows, vectors):
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    np.save(folder / "v.npy", vectors)
    return [
        "audit", str(folder / "p.jsonl"), "--embeddings", str(folder / "v.npy"), "--no-progress",
        "--out", str(folder / "out"),
    ]  # fmt: skip


def test_the_command_says_it_in_the_terminal_and_on_the_page(found, tmp_path, capsys):
    rows, vectors, _ = make_rows()
    assert main(write(tmp_path, rows, vectors.astype(np.float32))) == 0
    out = capsys.readouterr().out
    assert "by vectors   embeddings right on " in out
    assert "CANNOT BE DECIDED" in out.upper()
    figures = json.loads((tmp_path / "out" / "audit.json").read_text("utf-8"))
    same_figures(figures["embeddings"], found.figures["embeddings"])
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "embeddings beside words, letters and form" in page.lower()


WRONG = {
    "too few": (np.ones((N - 1, 2, 3)), "v.npy holds vectors of shape (159, 2, 3), but"),
    "integers": (np.ones((N, 2, 3), dtype=int), "v.npy holds int64 of shape"),
    "differences": (np.ones((N, 3)), "(160, 2, d) or (320, d) is needed"),
    "objects": (np.array([None] * N, dtype=object), "holds objects, which are not read"),
    "NaN": (np.full((N, 2, 3), np.nan), "NaN"),
}


@pytest.mark.parametrize("name", WRONG)
def test_vectors_that_are_not_of_the_pairs_are_refused(tmp_path, capsys, name):
    vectors, said = WRONG[name]
    assert main(write(tmp_path, make_rows()[0], vectors)) != 0
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("oriented", [True, False])
def test_the_order_of_the_two_is_named_as_the_file_has_it(oriented):
    rows, vectors, _ = make_rows(oriented=oriented)
    both_ways = rows[: N // 2] + make_rows(oriented=not oriented)[0][N // 2 :]
    chosen, a_first = "chosen before rejected", "A before B"
    order = chosen if oriented else a_first
    cases = [(rows, order), (both_ways, f"the file has the two: {chosen}, or {a_first}")]
    for made, said in cases:
        with pytest.raises(ValueError, match=f"both responses of each pair,.* {said}\\.$"):
            audit_preferences(made, embeddings=vectors[1:])
    with pytest.raises(ValueError, match=f"each pair, response {a_first}\\.$"):
        audit_preferences(read_preferences(rows), embeddings=vectors[1:])


@pytest.mark.parametrize("command", ["audit", "fit"])
def test_help_names_both_orders(command, capsys):
    assert main([command, "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "has the two responses: chosen before rejected, or A before B" in said


def test_a_row_of_several_pairs_tells_no_vectors(tmp_path, capsys):
    rows = [{"prompt": f"q{i}", "chosen": "a b", "rejected": ["c d", "e f"]} for i in range(N)]
    assert main(write(tmp_path, rows, np.ones((2 * N, 2, 3)))) != 0
    assert "does not tell which vectors belong to which" in capsys.readouterr().err


def test_the_file_is_not_written_over(tmp_path, capsys):
    arguments = write(tmp_path, *make_rows()[:2])
    out = tmp_path / "out"
    out.mkdir()
    np.save(out / "report.npy", make_rows()[1])
    (out / "report.npy").rename(out / "report.html")
    arguments[3] = str(out / "report.html")
    assert main([*arguments, "--force"]) != 0
    assert "--embeddings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("embeddings", "match"),
    [
        (np.ones((3, 2, 4)), r"^embeddings holds vectors of shape \(3, 2, 4\), but list was read"),
        (ResponseIds([[0, 1]], np.ones((2, 4))), r"^embeddings holds vectors of shape \(1, 2, 4\)"),
        (np.ones(3), r"embeddings holds float64 of shape \(3,\), not vectors"),
    ],
)
def test_python_names_what_is_wrong(embeddings, match):
    with pytest.raises(ValueError, match=match):
        audit_preferences(make_rows()[0], embeddings=embeddings)


# Figures and verdicts


def simulated(rng, n_groups=50, n_each=4):
    """Return what is compared of pairs whose labels are by coin: data, words and vectors."""
    n = n_groups * n_each
    groups = np.arange(n) // n_each
    splitters = [GroupKFold(3, shuffle=True, random_state=seed) for seed in range(2)]
    data = Bunch(
        y=rng.randint(2, size=n).astype(float),
        groups=groups,
        n_groups=n_groups,
        seed=0,
        decided=np.ones(n, dtype=bool),
    )
    data.draws_of_folds = [list(s.split(data.y, groups=groups)) for s in splitters]
    return data, rng.standard_normal((n, 4)), rng.standard_normal((n, 6))


def verdicts_of(data, words, vectors):
    preset = cross_fit_draws(data, words)
    both = cross_fit_draws(data, np.hstack([words, vectors]))
    found = {"embeddings": cross_fit_chosen(data, vectors), "embeddings and preset": both}
    judged = judge_draws(data, found, preset)
    return {
        name: verdict["verdict"] for name, verdict in rules._embeddings(judged, "yes", True).items()
    }


def test_penalty_is_chosen_within_what_a_fold_learns_from():
    data, _, vectors = simulated(np.random.RandomState(0))
    margins = cross_fit_chosen(data, vectors)
    train, test = data.draws_of_folds[1][2]
    model = PreferenceRewardModelCV(Cs=CS, cv=N_FOLDS, tol=1e-8)
    model.fit(vectors[train], data.y[train], groups=data.groups[train])
    assert_allclose(margins[1, test], model.decision_function(vectors[test]), atol=2e-3)


def test_scales_of_vectors():
    vectors = np.random.RandomState(0).standard_normal((20, 2, 3)) * 7
    vectors[0, 0] = 0
    ids = ResponseIds(np.arange(40).reshape(20, 2), vectors.reshape(40, 3))
    alone, beside = differences_of_vectors(ids)
    assert_allclose(np.mean(np.sum(alone**2, axis=1)), 1)
    assert_allclose(alone / alone[1, 0], (vectors[:, 0] - vectors[:, 1]) / (alone[1, 0] ** 0)
                    / (vectors[1, 0] - vectors[1, 1])[0])  # fmt: skip
    norm = np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), 1e-300)
    assert_allclose(beside, (vectors / norm)[:, 0] - (vectors / norm)[:, 1])


@pytest.mark.slow
def test_coins_and_noise_are_rarely_called_anything():
    rng, n_sets = np.random.RandomState(0), 40
    seen: dict = {}

    def count(kind, verdicts):
        for name, verdict in verdicts.items():
            seen[kind, name, verdict] = seen.get((kind, name, verdict), 0) + 1

    for _ in range(n_sets):
        data, words, vectors = simulated(rng)
        count("coins", verdicts_of(data, words, vectors))
        labels = rng.uniform(size=len(words)) < expit(1.5 * words[:, 0])
        count("words", verdicts_of(Bunch(**(data | {"y": labels.astype(float)})), words, vectors))
    most = binom.ppf(1 - 1e-4, n_sets, 0.05)
    for false in (
        ("coins", "embeddings predict", "yes"),
        ("coins", "embeddings beyond words", "better"),
        ("coins", "embeddings beyond words", "worse"),
        ("coins", "embeddings beside words", "better"),
        ("coins", "embeddings beside words", "worse"),
        ("words", "embeddings predict", "yes"),
        ("words", "embeddings beyond words", "better"),
        ("words", "embeddings beside words", "better"),
    ):
        assert seen.get(false, 0) <= most, (false, seen)
    assert seen["words", "embeddings beyond words", "worse"] > n_sets / 2


SAID = {
    ("yes", "better", "better"): ("is told from a coin", "Embeddings alone do better than words"),
    ("yes", "not shown", "worse"): (
        "Embeddings alone are not shown to do better, nor worse: ",
        "Embeddings beside words, letters and form do worse than without them, by ",
    ),
    ("too few", "too few", "too few"): (
        "too few to tell a reward of the embeddings from a coin",
        "Whether embeddings alone do better cannot be told from so few: ",
        "Whether embeddings beside words, letters and form do better cannot be told",
    ),
    ("not shown", "not asked", "not asked"): ("is ruled out for it.",),
}


@pytest.mark.parametrize("keys", SAID)
def test_each_verdict_has_its_sentence(found, keys):
    names = ("embeddings predict", "embeddings beyond words", "embeddings beside words")
    verdicts = {
        name: {**found.figures["verdicts"][name], "verdict": key}
        for name, key in zip(names, keys, strict=True)
    }
    audit = found.figures | {"verdicts": found.figures["verdicts"] | verdicts}
    said = " ".join(str(block) for block in audit_sections(audit)[1].blocks)
    for part in SAID[keys]:
        assert part in said


@pytest.mark.parametrize("size", [1e-200, 1e-160, 1e160, 1e300])
@pytest.mark.filterwarnings("error")
def test_the_size_of_vectors_changes_nothing(size):
    _, vectors, _ = make_rows()
    ids = np.arange(2 * N).reshape(N, 2)
    expected = differences_of_vectors(ResponseIds(ids, vectors.reshape(2 * N, -1)))
    made = differences_of_vectors(ResponseIds(ids, size * vectors.reshape(2 * N, -1)))
    for found, known in zip(made, expected, strict=True):
        assert_allclose(found, known, rtol=1e-9, atol=1e-12)
