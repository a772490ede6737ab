import pytest
from ranked_layouts import as_set, read


def kto(prompt, completion, label, **more):
    return {"prompt": prompt, "completion": completion, "label": label} | more


def test_desirable_responses_are_paired_with_undesirable_ones_of_their_prompt():
    rows = [kto("p", "a", True), kto("q", "z", False), kto("p ", "b", False), kto("p", "c", True)]
    data = read(rows)
    assert as_set(data) == [("p", "a", "b", 0.5), ("p", "c", "b", 0.5)]
    assert data.where.tolist() == ["line 1 with line 3", "line 4 with line 3"]
    assert data.oriented.all()
    assert any(note.endswith("so without a pair: 1 prompt.") for note in data.notes)


def test_no_response_counts_for_more_than_one_pair():
    rows = [kto("p", f"good {k}", 1) for k in range(5)] + [
        kto("p", f"bad {k}", 0) for k in range(3)
    ]
    data = read(rows)
    assert data.n == 15
    assert data.sample_weight.sum() == pytest.approx(3)
    rows = [{"prompt": "p", "response": f"r{k}", "rating": k} for k in range(5)]
    data = read(rows)
    assert data.n == 10
    assert data.sample_weight.sum() == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("yes", "no"),
    [(True, False), (1, 0), ("True", "False"), ("1", "0"), (1, -1), ("good", "bad"),
     ("thumbs up", "thumbs down"), ("Desirable", "undesirable")],
)  # fmt: skip
def test_labels_of_unpaired_responses(yes, no):
    assert as_set(read([kto("p", "a", yes), kto("p", "b", no)])) == [("p", "a", "b", 1.0)]


def test_files_without_both_kinds_in_a_prompt_are_refused_as_unpaired():
    rows = [kto("p", "a", True), kto("q", "b", False)]
    with pytest.raises(
        ValueError, match=r"2 rows are unpaired.*both a desirable and an undesirable"
    ):
        read(rows)
    with pytest.raises(ValueError, match=r"2 rows are unpaired.*no prompt has two different"):
        read([{"prompt": p, "response": "a", "rating": 1} for p in "pq"])


def test_without_a_prompt_unpaired_responses_are_refused():
    with pytest.raises(ValueError, match=r"line 1 is unpaired.*no prompt.*--prompt NAME"):
        read([{"text": "a", "label": 1}, {"text": "b", "label": 0}], command=True)


def test_a_number_as_label_is_refused_until_it_is_said_to_be_a_score():
    rows = [kto("p", "a", 4), kto("p", "b", 2)]
    with pytest.raises(ValueError, match=r'label = 4, which is neither.*say label="label"'):
        read(rows)
    assert as_set(read(rows, label="label")) == [("p", "a", "b", 1.0)]


def test_a_missing_label_is_refused_with_its_line():
    with pytest.raises(ValueError, match="line 2 has no label"):
        read([kto("p", "a", True), kto("p", "b", None)])


def talk(answer):
    return [{"role": "user", "content": "p"}, {"role": "assistant", "content": answer}]


@pytest.mark.parametrize("name", ["messages", "conversations"])
def test_conversations_end_with_the_response(name):
    rows = [{name: talk("a"), "label": True}, {name: talk("b"), "label": False}]
    assert as_set(read(rows)) == [("p", "a", "b", 1.0)]


def test_prompts_that_are_messages_are_compared_as_messages():
    ask, say = (
        [{"role": "user", "content": "p"}],
        lambda text: [{"role": "assistant", "content": text}],
    )
    rows = [kto(ask, say("a"), False), kto(list(ask), say("b"), True)]
    assert as_set(read(rows)) == [("p", "b", "a", 1.0)]


def test_alpaca_rows_with_a_tag():
    rows = [
        {"instruction": "p", "input": "q", "output": text, "kto_tag": tag}
        for text, tag in (("a", True), ("b", False))
    ]
    assert as_set(read(rows)) == [("p\nq", "a", "b", 1.0)]


def test_ranks_are_the_better_the_smaller_and_equal_scores_are_ties():
    rows = [{"prompt": "p", "answer": text, "rank": rank} for text, rank in (("a", 2), ("b", 1))]
    assert as_set(read(rows)) == [("p", "b", "a", 1.0)]
    rows = [{"prompt": "p", "answer": text, "score": 1} for text in "ab"]
    data = read(rows)
    assert data.y.tolist() == [0.5]
    assert "Ties, of equal ratings: 1 pair." in data.notes


def test_helpsteer_is_compared_by_helpfulness_or_by_what_is_asked_for():
    others = {"coherence": 1, "complexity": 2, "verbosity": 2}
    rows = [
        {"prompt": "p", "response": "a", "helpfulness": 4, "correctness": 1} | others,
        {"prompt": "p", "response": "b", "helpfulness": 3, "correctness": 2} | others,
    ]
    data = read(rows)
    assert data.layout == "HelpSteer"
    assert as_set(data) == [("p", "a", "b", 1.0)]
    assert any('label="correctness"' in note for note in data.notes)
    assert as_set(read(rows, label="correctness")) == [("p", "b", "a", 1.0)]


def test_a_response_is_not_compared_with_itself():
    rows = [
        {"prompt": "p", "response": text, "rating": k} for k, text in enumerate(("a", "a ", "b"))
    ]
    data = read(rows)
    assert {(a.strip(), b.strip()) for _, a, b in data.X} == {("a", "b"), ("b", "a")}
    assert "Left out, of a response with itself, which rows repeat: 1 pair." in data.notes


def test_responses_are_compared_within_an_annotator_that_is_named():
    rows = [
        {"prompt": "p", "response": text, "rating": rating, "by": who}
        for text, rating, who in (("a", 5, "x"), ("b", 4, "x"), ("a", 1, "y"), ("b", 2, "y"))
    ]
    data = read(rows, annotator="by")
    assert data.annotator.tolist() == ["x", "y"]
    assert as_set(data) == [("p", "a", "b", 1.0), ("p", "b", "a", 1.0)]


def test_columns_in_which_two_rows_differ_are_kept_apart():
    rows = [kto("p", "a", True, model="m", topic="t"), kto("p", "b", False, model="k", topic="t")]
    columns = read(rows).columns
    assert {name: column.tolist() for name, column in columns.items()} == {
        "model_better": ["m"],
        "model_worse": ["k"],
        "topic": ["t"],
    }


def test_two_weights_of_one_pair_are_refused():
    rows = [kto("p", "a", True, w=1), kto("p", "b", False, w=2)]
    with pytest.raises(
        ValueError, match='line 1 and line 2 are one pair, of which weight="w" is 1'
    ):
        read(rows, weight="w")


def test_the_responses_of_one_prompt_can_be_told_by_groups():
    rows = [{"pid": k // 2, "response": f"r{k}", "rating": k} for k in range(4)]
    with pytest.raises(ValueError, match=r'line 1 is unpaired.*groups="NAME"'):
        read(rows)
    assert as_set(read(rows, groups="pid")) == [("", "r1", "r0", 1.0), ("", "r3", "r2", 1.0)]


def test_one_response_that_nothing_rates_is_refused_with_what_could_rate_it():
    with pytest.raises(ValueError, match=r'one response, completion.*say label="quux"'):
        read([{"prompt": "p", "completion": "a", "quux": 3}])


def test_ordinals_are_ranks():
    rows = [
        {"prompt": "p", "response": text, "rank": rank}
        for text, rank in (("a", "2nd"), ("b", "1st"))
    ]
    assert as_set(read(rows)) == [("p", "b", "a", 1.0)]


@pytest.mark.parametrize("column", ["annotator", "Rater ID", "judge"])
def test_what_several_raters_said_is_not_compared(column):
    rated = [("x", "a", 5), ("x", "b", 3), ("y", "a", 2), ("y", "b", 1), ("z", "c", 9)]
    rows = [{"prompt": "p", "response": r, "rating": n, column: who} for who, r, n in rated]
    data = read(rows)
    assert as_set(data) == [("p", "a", "b", 1.0), ("p", "a", "b", 1.0)]
    assert data.annotator.tolist() == ["x", "y"]
    assert any("became 2 pairs within 1 prompt" in note for note in data.notes)
    assert f"Responses are compared within what one rater said, whom {column} names." in data.notes
    with pytest.raises(
        ValueError, match=rf"no one of {column} rated two different.* leave {column}"
    ):
        read([rows[0], rows[3]])
    marked = [kto("p", "a", True, **{column: "x"}), kto("p", "b", False, **{column: "y"})]
    with pytest.raises(ValueError, match=f"no one of {column} rated both a desirable"):
        read(marked)


@pytest.mark.parametrize(
    "name", ["toxicity", "error_rate", "Perplexity", "position", "is_harmful", "flagged", "nll"]
)
def test_faults_are_no_scores_unless_the_caller_says_so(name):
    values = (False, True) if name == "is_harmful" else (0, 1)
    rows = [{"prompt": "p", "response": r, name: n} for r, n in zip("ab", values, strict=True)]
    with pytest.raises(ValueError, match=rf'label="{name}" and convention="lower"'):
        read(rows)
    with pytest.raises(ValueError, match=rf'{name}, which .* worse. Say convention="lower" where'):
        read(rows, label=name)
    assert as_set(read(rows, label=name, convention="lower")) == [("p", "a", "b", 1.0)]
    assert as_set(read(rows, label=name, convention="higher")) == [("p", "b", "a", 1.0)]
    lists = [{"prompt": "p", "responses": ["a", "b"], name: list(map(float, values))}]
    with pytest.raises(ValueError, match=f"{name}, which seems"):
        read(lists, label=name)
    assert as_set(read(lists, label=name, convention="lower")) == [("p", "a", "b", 1.0)]


def test_names_that_deny_a_fault_are_scores():
    rows = [{"prompt": "p", "response": r, "not_toxic": n} for r, n in (("a", 3), ("b", 1))]
    assert as_set(read(rows, label="not_toxic")) == [("p", "a", "b", 1.0)]


def rated(values, response="txt", label="val"):
    texts = ("x", "y", "z")
    return [{"q": "p", response: t, label: v} for t, v in zip(texts, values, strict=True)]


def test_the_response_of_a_row_is_named():
    given = {"prompt": "q", "response": "TXT", "label": "val"}
    data = read(rated([3, 1, 1]), **given)
    expected = read(
        [{"prompt": "p", "response": t, "score": v} for t, v in zip("xyz", (3, 1, 1), strict=True)]
    )
    assert as_set(data) == as_set(expected)
    assert data.sample_weight.sum() == pytest.approx(1.5)
    assert list(data.columns) == []
    lower = as_set(read(rated([1, 2, 3]), **given, convention="lower"))
    assert [(better, worse) for _, better, worse, _ in lower] == [
        ("x", "y"), ("x", "z"), ("y", "z")
    ]  # fmt: skip
    said = as_set(read(rated(["yes", "no", "no"]), **given))
    assert {(better, worse) for _, better, worse, _ in said} == {("x", "y"), ("x", "z")}


def test_a_named_response_is_alone_whatever_else_there_is():
    rows = [row | {"response_a": "n", "response_b": "m"} for row in rated([3, 1, 1])]
    data = read(rows, prompt="q", response="txt", label="val")
    assert data.n == 3
    assert list(data.columns) == ["response_a", "response_b"]


def test_a_score_of_a_known_name_is_found_beside_a_named_response():
    rows = [{"prompt": "p", "txt": t, "score": s} for t, s in (("x", 1), ("y", 2))]
    assert as_set(read(rows, response="txt")) == [("p", "y", "x", 1.0)]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({}, r'with one response a row, response="NAME" and label="NAME"'),
        ({"response": "txt", "prompt": "q"}, r'one response, txt, .* If val does, say label="val"'),
        ({"response": "txt", "label": "val"}, r'has no prompt .* prompt="NAME"'),
        ({"response": "text"}, r"no column 'text', which response=\"text\" names.*mean 'txt'"),
        ({"response": "txt", "chosen": "q"}, r'response="txt" and chosen="q" do not go together'),
    ],
)
def test_what_is_said_of_one_response_a_row_is_checked(given, what):
    with pytest.raises(ValueError, match=what):
        read(rated([3, 1, 2]), **given)


def test_a_row_without_the_named_response_is_refused():
    rows = [*rated([3, 1, 2]), {"q": "p", "txt": None, "val": 1}]
    with pytest.raises(ValueError, match=r"line 4 has no txt\. Fill it in"):
        read(rows, prompt="q", response="txt", label="val")
