"""Problems as what trainers need: states, records, rewards and what is read out; no torch."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax

from sklearn_codex import NGramCounter, NGramLM
from sklearn_codex.exact import CandidateObjective, NGramObjective, arc_reward
from sklearn_codex.lab.torch import CandidateTask, NGramTask

PROMPTS = np.array([0, 0, 0, 1, 1])
REFERENCE = np.array([0.1, 0.2, 0.3, 0.25, 0.15])
REWARD = np.array([0.0, 1.0, 2.0, 0.5, -0.5])
ANSWERS = ["no", "no but", "yes but yes", "yes", "no"]


def make_objective(**settings):
    settings = {"kl_coef": 0.5, **settings}
    return CandidateObjective(np.log(REFERENCE), REWARD, PROMPTS, **settings)


@pytest.fixture
def task():
    return CandidateTask(make_objective(), ANSWERS)


def random_table(task, seed):
    """Return a table of other probabilities for the tokens that the reference has."""
    noise = np.random.default_rng(seed).normal(size=task.reference.shape)
    return log_softmax(np.where(np.isfinite(task.reference), noise, -np.inf), axis=1)


def walk(task, table, prompt, answer):
    """Return the log-probability of an answer, token by token."""
    words = [prompt, *answer.split(), "<eos>"]
    state, total = 0, 0.0
    for place, word in enumerate(words):
        token = task.words.index(word)
        total += table[state, token] if place else 0.0
        state = task.moves[state, token]
    assert state == len(task.moves) - 1
    return total


def test_the_reference_is_read_as_it_is_given(task):
    np.testing.assert_allclose(np.exp(task.read_policy(task.reference)), REFERENCE, rtol=1e-12)
    assert task.gap(task.reference) == pytest.approx(task.objective.gap(task.objective.start))


def test_the_rows_of_the_reference_are_conditional_probabilities_by_hand(task):
    after_no = task.moves[task.moves[0, task.words.index("p0")], task.words.index("no")]
    row = np.exp(task.reference[after_no])
    # "no" has 0.1 of 0.3 that begin so, "no but" the rest.
    assert row[task.words.index("<eos>")] == pytest.approx(1 / 3)
    assert row[task.words.index("but")] == pytest.approx(2 / 3)
    np.testing.assert_allclose(np.exp(task.reference).sum(axis=1), 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_a_policy_is_what_walking_through_the_table_gives(task, seed):
    table = random_table(task, seed)
    shares = np.array([0.6, 0.4])[PROMPTS]
    expected = [
        walk(task, table, f"p{prompt}", answer)
        for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)
    ]
    found = task.read_policy(table)
    np.testing.assert_allclose(found, np.log(shares) + expected, atol=1e-12)
    best = task.objective.optimum()
    by_hand = 0.5 * np.exp(found) @ (found - best)
    assert task.gap(table) == pytest.approx(by_hand)


def test_every_policy_is_a_table(task):
    best = CandidateTask(make_objective(), ANSWERS)
    of_best = CandidateTask(
        CandidateObjective(best.objective.optimum(), REWARD, PROMPTS, kl_coef=0.5), ANSWERS
    )
    assert task.gap(of_best.reference) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("kl_coef", [0.2, 0.5, 3.0])
def test_the_effective_kl_coef_of_an_optimum_is_its_own(task, kl_coef):
    other = make_objective(kl_coef=kl_coef, reward_coef=2.0)
    of_best = CandidateTask(
        CandidateObjective(other.optimum(), REWARD, PROMPTS, kl_coef=kl_coef), ANSWERS
    )
    asked = CandidateTask(make_objective(reward_coef=2.0), ANSWERS)
    assert asked.effective_kl_coef(of_best.reference) == pytest.approx(kl_coef)
    assert task.effective_kl_coef(task.reference) == np.inf


def test_a_reward_that_is_fled_has_a_negative_kl_coef(task):
    flees = make_objective(reward_coef=-1.0)
    table = CandidateTask(CandidateObjective(flees.optimum(), REWARD, PROMPTS), ANSWERS).reference
    assert task.effective_kl_coef(table) == pytest.approx(-0.5)


def test_banned_answers_cannot_come():
    objective = make_objective(penalty=np.array([0, 0, np.inf, 0, 0]))
    task = CandidateTask(objective, ANSWERS)
    assert np.isfinite(task.gap(CandidateTask(CandidateObjective(
        objective.optimum(), REWARD, PROMPTS), ANSWERS).reference))  # fmt: skip
    assert task.gap(task.reference) == np.inf


def test_rewards_are_those_of_rows(task):
    assert task.reward(["p0", "p1", "p0 "], ["yes but yes", " no", "no  but"]) == [2.0, -0.5, 1.0]
    assert task.reward([], []) == []


def test_a_text_that_is_no_answer_is_told(task):
    with pytest.raises(ValueError, match=r"got 'yes but', .*max_completion_length of 4"):
        task.reward(["p0"], ["yes but"])


def test_answers_without_names_are_numbered():
    task = CandidateTask(make_objective())
    assert task.answers == ["a0", "a1", "a2", "a3", "a4"]
    assert task.lengths.tolist() == [2] * 5


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (ANSWERS[:4], "needs an answer of each of 5 rows, got 4"),
        (["no", "no ", *ANSWERS[2:]], "got 'no' twice for prompt 0"),
        (["", *ANSWERS[1:]], "got '', which has no word"),
        (["p1 no", *ANSWERS[1:]], "got 'p1 no', which has the word 'p1'"),
        (["no <eos>", *ANSWERS[1:]], "which has the word '<eos>'"),
    ],
)
def test_answers_that_cannot_be_read_back_are_refused(answers, message):
    with pytest.raises(ValueError, match=message):
        CandidateTask(make_objective(), answers)


def test_a_table_of_another_task_is_refused(task):
    with pytest.raises(ValueError, match=r"shape \(11, 7\), got \(2, 7\)"):
        task.read_policy(np.zeros((2, 7)))


def test_probability_of_what_is_no_answer_is_told(task):
    table = np.log(np.full(task.reference.shape, 1 / 7))
    with pytest.raises(ValueError, match=r"answers to prompt 0 have probability 0\.0"):
        task.read_policy(table)


def test_prompts_come_as_often_as_they_should(task):
    records = task.prompt_records(10)
    assert sum(record["prompt"] == "p0" for record in records) == 6


def test_pairs_follow_the_bradley_terry_model(task):
    records = task.preference_records(6_000, random_state=0)
    assert task.preference_records(6_000, random_state=0) == records
    own = [r for r in records if r["prompt"] == "p1"]
    assert len(own) / 6_000 == pytest.approx(0.4, abs=0.03)
    won = np.mean([record["chosen"] == " yes" for record in own])
    assert won == pytest.approx(expit(1.0), abs=0.03)
    for record in records[:50]:
        task.row(record["prompt"], record["chosen"])
        assert record["chosen"] != record["rejected"]


def test_pairs_need_two_answers():
    lone = CandidateTask(CandidateObjective(np.log([0.5, 0.5]), np.zeros(2), np.array([0, 1])))
    with pytest.raises(ValueError, match="got one to prompt"):
        lone.preference_records(1, random_state=0)


def test_labels_follow_the_reward(task):
    records = task.unpaired_records(8_000, random_state=1)
    own = [r["label"] for r in records if r["completion"] == " yes but yes"]
    assert len(own) / 8_000 == pytest.approx(0.3, abs=0.02)
    assert np.mean(own) == pytest.approx(expit(2.0), abs=0.02)


# Tables of n-gram models

DOCUMENTS = ["a b a", "b b", "a", "b a b a"]


def make_ngram_task(order=2, kl_coef=2.0, **settings):
    counter = NGramCounter(order, eos_token="<eos>")
    model = NGramLM(order, smoothing="witten-bell", vectorizer=counter).fit(DOCUMENTS)
    reward = arc_reward(model, {"b": -1.0, "a b": 2.0} if order > 1 else {"b": -1.0})
    objective = NGramObjective.of_model(model, reward, kl_coef=kl_coef, **settings)
    return NGramTask(objective), model


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_gap_of_a_table_is_that_of_the_back_off_model(order):
    task, _ = make_ngram_task(order)
    problem = task.objective
    assert task.gap(task.reference) == pytest.approx(problem.gap(problem.start))
    assert task.gap(task.best) == pytest.approx(0.0, abs=1e-12)
    other = problem.having(kl_coef=5.0).optimum()
    table = NGramTask(problem.having(kl_coef=5.0)).best
    assert task.gap(table) == pytest.approx(problem.gap(other))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_tables_give_documents_the_probability_of_the_model(order):
    task, model = make_ngram_task(order)
    names = model.vectorizer_.get_feature_names_out()[: task.objective.trie.n_tokens].tolist()
    named = NGramTask(task.objective, names)
    for document, log_prob in zip(DOCUMENTS, model.score_samples(DOCUMENTS), strict=True):
        assert walk(named, named.reference, "<go>", document) == pytest.approx(log_prob)


def test_rewards_of_texts_are_those_of_their_events():
    task, model = make_ngram_task()
    names = model.vectorizer_.get_feature_names_out()[: task.objective.trie.n_tokens].tolist()
    named = NGramTask(task.objective, names)
    # b counts -1 and "a b" 2: in "a b a b" each twice.
    assert named.reward(["<go>"] * 3, ["a b a b", "b", ""]) == pytest.approx([2.0, -1.0, 0.0])


def test_only_texts_that_ended_have_the_reward_of_an_end():
    counter = NGramCounter(2, eos_token="<eos>")
    model = NGramLM(2, smoothing="witten-bell", vectorizer=counter).fit(DOCUMENTS)
    reward = arc_reward(model, {"<eos>": 3.0, "a": 1.0})
    problem = NGramObjective.of_model(model, reward, kl_coef=20.0, reward_coef=0.5)
    task = NGramTask(problem, ["<unk>", "<eos>", "a", "b"])
    kwargs = {"completion_ids": [[4, 1], [4]]}
    assert task.reward(["<go>"] * 2, ["a", "a"], **kwargs) == pytest.approx([2.0, 0.5])
    assert task.reward(["<go>"], ["a"]) == pytest.approx([2.0])


def test_a_table_that_never_ends_has_no_finite_gap():
    task, _ = make_ngram_task()
    table = np.full(task.reference.shape, -np.inf)
    table[:, -1] = 0.0
    assert task.gap(table) == np.inf


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"max_length": 5}, "got one with max_length"), ({"entropy_coef": 0.1}, "entropy_coef")],
)
def test_objectives_of_other_documents_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make_ngram_task(**settings)


def test_names_of_tokens_are_checked():
    task, _ = make_ngram_task()
    with pytest.raises(ValueError, match="different names of 4 tokens"):
        NGramTask(task.objective, ["a", "b"])
    with pytest.raises(ValueError, match="without blanks, got 'a b'"):
        NGramTask(task.objective, ["u", "<eos>", "a b", "b"])
    with pytest.raises(ValueError, match="got 'c' in 'c a', which is no token"):
        task.reward(["<go>"], ["c a"])


def test_large_tables_are_refused():
    rng = np.random.default_rng(0)
    words = [" ".join(f"t{i}" for i in rng.integers(2_000, size=60)) for _ in range(60)]
    counter = NGramCounter(2, eos_token="<eos>")
    model = NGramLM(2, smoothing="witten-bell", vectorizer=counter).fit(words)
    with pytest.raises(ValueError, match="at most 2000000 cells"):
        NGramTask(NGramObjective.of_model(model))
