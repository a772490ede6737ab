"""``fit --embeddings``: a reward of vectors that stand beside a file of pairs."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit
from sklearn.model_selection import GroupShuffleSplit

from sklearn_codex import PreferenceRewardModel, PreferenceRewardModelCV, load_model
from sklearn_codex.cli import main

N, D = 80, 4
RNG = np.random.RandomState(0)
VECTORS = RNG.standard_normal((N, 2, D))
MARGIN = (VECTORS[:, 0] - VECTORS[:, 1]) @ [2.0, -1.0, 0.0, 0.5]
LABELS = (RNG.uniform(size=N) < expit(MARGIN)).astype(int)
PROMPTS = np.arange(N) // 2


@pytest.fixture
def files(tmp_path):
    rows = [
        {"prompt": f"p{p}", "response_a": f"a{i}", "response_b": f"b{i}", "label": int(y)}
        for i, (p, y) in enumerate(zip(PROMPTS, LABELS, strict=True))
    ]
    path = tmp_path / "prefs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    np.save(tmp_path / "v.npy", VECTORS)
    return tmp_path


def fit(folder, *options, vectors="v.npy"):
    return main(
        ["fit", "--preferences", str(folder / "prefs.jsonl"), "--embeddings", str(folder / vectors),
         "--out", str(folder / "m.skops"), *options]
    )  # fmt: skip


def test_it_learns_the_reward_that_python_learns(files, capsys):
    assert fit(files) == 0
    out, err = capsys.readouterr()
    figures = json.loads(out)
    train, test = next(
        GroupShuffleSplit(1, test_size=0.25, random_state=0).split(MARGIN, groups=PROMPTS)
    )
    expected = PreferenceRewardModelCV().fit(VECTORS[train], LABELS[train], groups=PROMPTS[train])
    model = load_model(files / "m.skops")
    assert_allclose(model.coef_, expected.coef_, rtol=1e-8)
    assert_allclose(figures["C"], expected.C_, rtol=1e-12)
    assert (figures["n_train"], figures["n_test"]) == (len(train), len(test))
    right = np.sign(expected.decision_function(VECTORS[test])) == 2 * LABELS[test] - 1
    assert_allclose(figures["preferences"]["accuracy"], right.mean())
    assert "80 pairs" in err


def test_rows_in_order_and_a_given_C_and_all_pairs(files, capsys):
    np.save(files / "flat.npy", VECTORS.reshape(2 * N, D).astype(np.float32))
    assert fit(files, "--C", "0.3", "--test-size", "0", vectors="flat.npy") == 0
    model = load_model(files / "m.skops")
    assert_allclose(model.coef_, PreferenceRewardModel(C=0.3).fit(VECTORS, LABELS).coef_, rtol=1e-4)
    assert json.loads(capsys.readouterr().out)["held_out"] is False


def test_chosen_and_rejected_are_turned_with_their_vectors(files, capsys):
    sides = [("a", "b") if y else ("b", "a") for y in LABELS]
    rows = [
        {"prompt": f"p{p}", "chosen": f"{c}{i}", "rejected": f"{r}{i}"}
        for i, (p, (c, r)) in enumerate(zip(PROMPTS, sides, strict=True))
    ]
    (files / "prefs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    np.save(files / "v.npy", np.where(LABELS[:, None, None] == 1, VECTORS, VECTORS[:, ::-1]))
    assert fit(files, "--C", "0.3", "--test-size", "0") == 0
    expected = PreferenceRewardModel(C=0.3).fit(VECTORS, LABELS)
    assert_allclose(load_model(files / "m.skops").coef_, expected.coef_, rtol=1e-6)
    assert json.loads(capsys.readouterr().out)["preferences"]["accuracy"] > 0.7


def test_rows_that_are_no_pair_are_not_guessed_at(files, capsys):
    rows = (files / "prefs.jsonl").read_text("utf-8").splitlines()
    several = {"prompt": "q", "chosen": "a", "rejected": ["b", "c"]}
    (files / "prefs.jsonl").write_text(
        "".join(json.dumps(several | {"prompt": f"q{i}"}) + "\n" for i in range(len(rows))), "utf-8"
    )
    assert_fails(
        files, capsys, r"has 160 pairs in 80 rows, so --embeddings .*convert .* --to pairs"
    )


WRONG = {
    "too few": (VECTORS[:-1], r"shape \(79, 2, 4\), but .*prefs.jsonl was read as 80 pairs"),
    "differences": (VECTORS[:, 0], r"shape \(80, 4\).*\(80, 2, d\) or \(160, d\) is needed"),
    "integers": (np.ones((N, 2, D), dtype=int), r"holds int64 of shape \(80, 2, 4\), not vectors"),
    "flat": (np.ones(N), r"shape \(80,\), not vectors"),
    "objects": (np.array([{"a": 1}] * N, dtype=object), r"holds objects, which are not read"),
    "NaN": (np.full((N, 2, D), np.nan), r"NaN"),
}


@pytest.mark.parametrize("name", WRONG)
def test_vectors_that_are_not_of_the_pairs_are_refused(files, capsys, name):
    vectors, match = WRONG[name]
    np.save(files / "v.npy", vectors, allow_pickle=True)
    assert_fails(files, capsys, match)


def assert_fails(files, capsys, match, *options):
    assert fit(files, *options) != 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert not (files / "m.skops").exists()
    with pytest.raises(AssertionError, match=match):
        raise AssertionError(err)


def test_other_files_are_refused(files, capsys):
    (files / "v.npy").write_bytes(b"no array")
    assert_fails(files, capsys, r"--embeddings .*v.npy is no file of numpy.save")
    (files / "v.npy").write_bytes(b"")
    assert_fails(files, capsys, r"--embeddings .*v.npy is no file of numpy.save")
    with (files / "v.npy").open("wb") as file:
        np.savez(file, VECTORS, VECTORS)
    assert_fails(files, capsys, r"v.npy holds several arrays")
    (files / "v.npy").unlink()
    assert_fails(files, capsys, r"v.npy")


@pytest.mark.parametrize(
    "option", [("--tokenizer", "code"), ("--kl-coef", "2"), ("--min-count", "3")]
)
def test_options_of_words_are_not_ignored(files, capsys, option):
    assert_fails(files, capsys, rf"{option[0]} is of words. Leave it out", *option)


def test_pairs_are_needed_beside_vectors(files, capsys):
    assert main(["fit", "--embeddings", str(files / "v.npy"), "--out", str(files / "m.skops")]) != 0
    assert (
        "vectors of the pairs of --preferences FILE, and none is given" in capsys.readouterr().err
    )


def test_vectors_that_tell_no_response_from_the_other_are_refused(files, capsys):
    equal = np.repeat(VECTORS[:, :1], 2, axis=1)
    for vectors in (np.ones_like(VECTORS), equal):
        np.save(files / "v.npy", vectors)
        assert_fails(files, capsys, "same vector for both responses of each of the 80 pairs")
    equal[-1, 0] += 1
    np.save(files / "v.npy", equal)
    assert fit(files, "--C", "1", "--test-size", "0") == 0
