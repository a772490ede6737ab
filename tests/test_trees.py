import pytest
from ranked_layouts import as_set, read


def message(own, parent, text, rank=None, **more):
    role = "assistant" if rank is not None or more.pop("answer", False) else "prompter"
    return {
        "message_id": own, "parent_id": parent, "text": text, "role": role, "rank": rank
    } | more  # fmt: skip


THREAD = [
    message("B2", "q", "worst answer", 2),
    message("p", None, "first question"),
    message("A0", "p", "good answer", 0),
    message("A1", "p", "bad answer", 1),
    message("q", "A0", "second question"),
    message("B0", "q", "best answer", 0),
    message("B1", "q", "middling answer", 1),
]


def test_sibling_replies_become_pairs_below_the_conversation_from_the_root():
    data = read(THREAD)
    above = next(x for x in data.X[:, 0] if "second question" in x)
    assert above.index("first question") < above.index("good answer") < above.index("second")
    found = {(a, b): weight for _, a, b, weight in as_set(data)}
    assert found == {
        ("good answer", "bad answer"): 1.0,
        ("best answer", "middling answer"): pytest.approx(1 / 3),
        ("best answer", "worst answer"): pytest.approx(1 / 3),
        ("middling answer", "worst answer"): pytest.approx(1 / 3),
    }
    assert "line 3 with line 4" in data.where
    assert data.oriented.all()


def test_roles_are_kept_in_the_prompt():
    prompts = read(THREAD).X[:, 0]
    assert any("User: first question" in prompt for prompt in prompts)
    assert any("Assistant: good answer" in prompt for prompt in prompts)


def test_deleted_and_unranked_replies_are_counted():
    rows = [
        message("p", None, "question"),
        message("A", "p", "a", 0, deleted=False),
        message("B", "p", "b", 1, deleted=False),
        message("C", "p", "c", 2, deleted=True),
        message("D", "p", "d", None, answer=True),
    ]
    data = read(rows)
    assert as_set(data) == [("question", "a", "b", 1.0)]
    assert "Left out, deleted: 1 reply." in data.notes
    assert "Left out, without a rank beside others: 1 reply." in data.notes


def test_replies_below_a_missing_message_are_counted():
    rows = [*THREAD, message("X", "gone", "x", 0), message("Y", "gone", "y", 1)]
    data = read(rows)
    assert data.n == 4
    assert "Left out, below a message that is not there: 2 replies." in data.notes


def test_messages_above_themselves_are_refused():
    rows = [message("p", "A", "question"), message("A", "p", "a", 0)]
    with pytest.raises(ValueError, match="line 1 is a reply to itself: p -> A -> p"):
        read(rows)


def test_an_id_that_stands_twice_is_refused():
    with pytest.raises(ValueError, match="line 2 has the same id as line 1: 'p'"):
        read([message("p", None, "question"), message("p", None, "again")])


def test_a_long_conversation_is_no_deep_recursion():
    rows = [message("0", None, "start")]
    rows += [message(str(k), str(k - 1), "more") for k in range(1, 5000)]
    rows += [message("A", "0", "a", 0), message("B", "0", "b", 1)]
    assert as_set(read(rows)) == [("start", "a", "b", 1.0)]


def test_trees_of_any_depth_as_rows():
    def node(text, role, rank=None, replies=()):
        return {"text": text, "role": role, "rank": rank, "replies": list(replies)}

    answers = [
        node("bad answer", "assistant", 1),
        node(
            "good answer",
            "assistant",
            0,
            [
                node(
                    "more?",
                    "prompter",
                    None,
                    [node("x", "assistant", 1), node("y", "assistant", 0)],
                )
            ],
        ),
    ]
    data = read([{"message_tree_id": "t", "prompt": node("question", "prompter", None, answers)}])
    assert data.layout == "OpenAssistant trees"
    assert {(a, b) for _, a, b, _ in as_set(data)} == {("good answer", "bad answer"), ("y", "x")}


def test_threads_without_roles_by_score():
    rows = [
        {"id": "1", "parent": "", "body": "Why?", "score": "7"},
        {"id": "2", "parent": "1", "body": "So.", "score": "1"},
        {"id": "3", "parent": "1", "body": "Because.", "score": "12"},
    ]
    data = read(rows)
    assert data.layout == "messages with parents"
    assert as_set(data) == [("Why?", "Because.", "So.", 1.0)]


def test_a_tree_without_two_ranked_replies_has_no_pair():
    with pytest.raises(ValueError, match=r"2 rows and no pair. No message of 2 has two replies"):
        read([message("p", None, "question"), message("A", "p", "a", 0)])
