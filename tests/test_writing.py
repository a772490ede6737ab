"""What is drawn is text that counts as the tokens it was made of."""

import pickle
import re
import warnings

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator

from sklearn_codex import NGramCounter, NGramLM, PPOPolicyOptimizer, UnigramLM
from sklearn_codex._data.vectorizers import written_names
from sklearn_codex._text.writing import TokenNames, Writing, find_writing
from sklearn_codex.text import TokenCounter

TEXTS = ["我爱自然", "他爱自然", "我不爱他"] * 5


def letters_at_blanks(text):
    return [letter for letter in text if not letter.isspace()]


def in_bars(text):
    return text.split("|")


def words_and_blanks(text):
    return re.findall(r"\w+|\W+", text)


@pytest.mark.parametrize(
    ("tokenizer", "texts", "joiner"),
    [
        (list, TEXTS, ""),
        (list, ["a b", "ba ab"], ""),
        (letters_at_blanks, ["a b", "ba ab"], ""),
        (str.split, ["a b a", "b c b"], " "),
        (str.split, ["a"], " "),
        ("script", ["a b a", "b c b"], " "),
        ("word", TEXTS, " "),
        ("code", ["a+=b", "b(c)"], " "),
    ],
)
@pytest.mark.parametrize("order", [1, 2])
def test_samples_count_as_what_was_drawn(tokenizer, texts, joiner, order):
    counter = NGramCounter(order, tokenizer=tokenizer, eos_token="</s>")
    model = NGramLM(order, vectorizer=counter, smoothing=1.0).fit(texts)
    counter = model.vectorizer_
    settings = {"length": 100, "eos": counter.eos_index_, "names": counter._names}
    # The same draws, by their numbers and by text.
    drawn = model._distribution.sample(300, np.random.RandomState(0), **settings)
    assert drawn.ended.all()
    assert (drawn.tokens == counter.unk_index_).any()
    ids, starts = counter._ids_of(model.sample(300, random_state=0, max_length=100))
    np.testing.assert_array_equal(ids, drawn.tokens)
    np.testing.assert_array_equal(starts[:-1], drawn.starts)
    assert counter._writing.joiner == joiner
    assert not counter._writing.broken


# Marks, letters that stack, syllables, sounds of kana, variants, punctuation and other scripts.
UNSPACED = [
    "我爱自然。你好,world!「他」(爱)x2 hello", "ภาษาไทย น้ำดี ๆ 12 ทำ", "ភាសាខ្មែរ ស្ត្រី", "མི་བོད་ཡིན། ཀ",
    "ｶﾞｷﾞ がか\u3099 ﾊﾟ ア・イ", "葛\U000e0100城 漢\ufe00字", "မြန်မာ ဘာသာ", "a ๆ ー 々 \u0e33",
    "\u3297 \u2460 \uff05 \uff01\uff1f",
]  # fmt: skip


@pytest.mark.parametrize("rule", ["script", "script-word"])
@pytest.mark.parametrize("letter", ["", "你"])
def test_text_of_scripts_without_blanks_is_split_into_the_tokens_it_was_written_of(rule, letter):
    counter = NGramCounter(2, tokenizer=rule, unk_token=f"<{letter}>").fit(UNSPACED)
    names = counter.get_feature_names_out()[: counter.trie_.n_tokens].tolist()
    rng = np.random.RandomState(0)
    documents = [[names[k] for k in rng.randint(len(names), size=60)] for _ in range(40)]
    texts = counter._writing.write(documents)
    assert [counter._splitter(text) for text in texts] == documents
    # Not written of blanks, unless a special token might be spelt.
    blanks = np.mean([text.count(" ") for text in texts])
    assert blanks == 59 if letter else blanks < 50
    assert pickle.loads(pickle.dumps(counter._writing)).write(documents) == texts


def test_samples_of_scripts_without_blanks_read_as_their_texts_do():
    texts = ["我爱自然。", "他爱hello自然,world 好"]
    model = NGramLM(3, vectorizer=NGramCounter(3, eos_token="</s>"), smoothing=1e-6).fit(texts)
    assert {"我爱自然。", "他爱 hello 自然 ,world 好"} <= set(model.sample(40, random_state=0))
    named = written_names(model)
    assert pickle.loads(pickle.dumps(named)).writing.write([["我", "爱", "a"]]) == ["我爱 a"]
    # Pairs of letters are no sequence, and would be counted twice.
    pairs = UnigramLM(vectorizer=TokenCounter()).fit(texts)
    assert "我爱" in pairs.vectorizer_.get_feature_names_out()
    assert pairs.vectorizer_._writing == Writing()


def test_letters_are_as_likely_drawn_as_they_are():
    model = NGramLM(2, vectorizer=NGramCounter(2, tokenizer=list, eos_token="</s>")).fit(TEXTS)
    drawn = model.sample(2000, random_state=0)
    parted = [" ".join(text) for text in drawn]  # as they were written once
    assert not any(" " in text for text in drawn)
    assert model.perplexity(drawn) < 3.5 < 3 * 3.5 < model.perplexity(parted)


def test_reward_function_reads_text_as_documents_are():
    counter = NGramCounter(2, tokenizer=list, eos_token="</s>")
    model = NGramLM(2, vectorizer=counter).fit(TEXTS)
    seen = []

    def names_nature(texts):
        seen.extend(texts)
        return np.array([float("自然" in text) for text in texts])

    policy = PPOPolicyOptimizer(
        FrozenEstimator(model), names_nature, kl_coef=0.5, max_length=12, random_state=0
    ).fit(TEXTS)
    assert any("自然" in text for text in seen)
    assert policy.expected_reward_ > np.mean(["自然" in t for t in model.sample(2000, 0)])
    assert not any(" " in text for text in policy.sample(50, random_state=0))


def test_decoded_counts_are_the_counts():
    counter = TokenCounter(list, unk_token=None).fit(TEXTS)
    counts = counter.transform(TEXTS)
    np.testing.assert_array_equal(
        counter.transform(counter.decode(counts)).todense(), counts.todense()
    )


def test_unk_token_that_would_be_split_is_written_as_one_character():
    counter = TokenCounter(list).fit(TEXTS)
    counts = counter.transform(["我猫"])
    assert counter.decode(counts) == ["\ufffd我"]
    np.testing.assert_array_equal(counter.transform(["\ufffd我"]).todense(), counts.todense())
    assert TokenCounter(str.split).fit(["a"]).decode([[1, 2]]) == ["<unk> a a"]


def test_vectorizer_of_letters_of_scikit_learn():
    model = UnigramLM(vectorizer=CountVectorizer(analyzer="char")).fit(["ab", "ba"])
    assert set("".join(model.sample(20, random_state=0))) == {"a", "b"}
    words = UnigramLM(vectorizer=CountVectorizer()).fit(["we are", "are we"])
    assert all(len(text.split()) == 2 for text in words.sample(20, random_state=0))


def test_tokens_that_cannot_be_joined_warn_once():
    model = NGramLM(2, vectorizer=NGramCounter(2, tokenizer=in_bars)).fit(["a|b|a", "b"])
    with pytest.warns(
        UserWarning, match="NGramCounter has a tokenizer that splits text into other"
    ):
        assert " " in "".join(model.sample(5, random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.sample(5, random_state=0)


def test_tokens_that_hold_blanks_are_joined_by_nothing():
    text = "the cat, the dog"
    found = find_writing([" ", ", ", "cat", "dog", "the"], words_and_blanks, subject="it")
    assert (found.joiner, found.broken) == ("", "it")
    with pytest.warns(UserWarning, match="joined by nothing"):
        assert found.write([words_and_blanks(text)]) == [text]


def test_tokens_that_are_never_returned_do_not_decide():
    found = find_writing(["<pad>", "a", "b"], list, subject="it")
    assert (found.joiner, found.broken) == ("", "it")


def test_tokenizer_that_fails_is_one_that_gives_nothing_back():
    def known(text):
        return {"x y": ["x", "y"]}[text]

    assert find_writing(["x", "y"], known).joiner == " "


def test_writing_stays_with_names_but_not_in_files():
    names = TokenNames.of(["a", "b", "c"], lambda: Writing(""))
    assert names[:2].writing.joiner == names.copy().writing.joiner == ""
    assert pickle.loads(pickle.dumps(names)).writing.joiner == ""
    counter = TokenCounter(list).fit(["ab"])
    counter.decode([[0, 1, 1]])
    assert "_writing" not in counter.__getstate__()
    assert counter.fit(["a"]).decode([[0, 1]]) == ["a"]
