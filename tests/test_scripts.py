# ruff: noqa: RUF001
"""Scripts that put no blanks between words: how they are split, counted and learned from."""

import argparse
import json
import re
import statistics
import unicodedata
import warnings
from itertools import chain

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from text_corpora import quick, split_text, thorough

from sklearn_codex import (
    NGramCounter,
    NGramLM,
    PreferenceRewardModel,
    UnigramLM,
    load_model,
    save_model,
)
from sklearn_codex._text import scripts as _scripts
from sklearn_codex._text import tokenizers as _tokenizers
from sklearn_codex._text.scripts import build_script_splitter, find_words, has_unspaced, split_words
from sklearn_codex.cli import main
from sklearn_codex.exceptions import RareTokensWarning
from sklearn_codex.features import ResponseFeatures
from sklearn_codex.health import check_preferences
from sklearn_codex.report._console import behind_marks
from sklearn_codex.text import TokenCounter

# First words of the names of the characters of these scripts.
NAMES = re.compile(
    "(?:THAI|LAO|TIBETAN|MYANMAR|KHMER|TAI LE|NEW TAI LUE|TAI THAM|TAI VIET|AHOM|HIRAGANA|KATAKANA|"
    "HALFWIDTH KATAKANA|BOPOMOFO|CJK UNIFIED IDEOGRAPH|CJK COMPATIBILITY IDEOGRAPH|HENTAIGANA)[ -]"
)
# Letters, or syllables with a bar between them.
ALPHABETS = {
    name: text.split("|") if "|" in text else list(text)
    for name, text in {
        "Chinese": "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会",
        "Japanese": "あいうかきくけこさしすせそたちつてとなにぬねのアイウエオカキ日本語学生先生時",
        "Thai": "กา|มา|ที่|ไม่|ได้|เป็น|และ|ของ|ใน|มี|จะ|ให้|ว่า|คน|นี้|น้ำ|ทำ|บ้าน|ดี|รู้|เด็ก",
        "Khmer": "ភា|សា|ខ្មែ|រ|ល្អ|ណាស់|ខ្ញុំ|ចង់|ទៅ|ផ្ទះ",
        "Burmese": "မြန်|မာ|ဘာ|သာ|စ|ကား|ကောင်း|တယ်|နေ",
        "Tibetan": "བོད་|ཡིག་|གི་|སྐད་|ཆ་|ལེགས་|པོ་|ཡོད་|རེད་",
        "Lao": "ສະ|ບາຍ|ດີ|ເດັກ|ນ້ອຍ|ໄປ|ໂຮງ|ຮຽນ",
    }.items()
}
MARKERS = {
    "Chinese": ("谢谢", "拒绝"),
    "Japanese": ("ありがとう", "だめです"),
    "Thai": ("ขอบคุณ", "ปฏิเสธ"),
    "Khmer": ("អរគុណ", "បដិសេធ"),
    "Burmese": ("ကျေးဇူး", "ငြင်း"),
    "Tibetan": ("ཐུགས་རྗེ་", "མི་འདུག་"),
    "Lao": ("ຂອບໃຈ", "ປະຕິເສດ"),
}
pieces = st.sampled_from(
    [*chain.from_iterable(ALPHABETS.values()),
     *" \n\u3000、。！?.,\u200b\u200d\ufe0f\u3099\u0e49ﾞｶｰ々〇་།",
     "<unk>", "未知词", "Python3.12", "naïve", "e\u0301", "👩\u200d💻", "👍🏽", "한국어", "हिन्दी",
     "葛\U000e0100", "\uf900", "\u1039", "\ud800", "x"]
)  # fmt: skip
texts = st.lists(pieces, max_size=12).map("".join) | st.text(max_size=20)
literals = st.lists(st.sampled_from(["<unk>", "未知词", "日本", "x"]), max_size=2, unique=True)


def simulate(language, n_pairs, seed=0):
    """Make pairs of one prompt each, of which that with the first marker is preferred."""
    rng = np.random.default_rng(seed)
    letters = ALPHABETS[language]

    def write(marker=""):
        drawn = rng.choice(letters, rng.integers(10, 40)).tolist()
        drawn.insert(rng.integers(len(drawn)), marker)
        return "".join(drawn)

    y = np.arange(n_pairs) % 2
    good, bad = MARKERS[language]
    pairs = [(write(), write(good), write(bad)) for _ in y]
    return [(p, a, b) if label else (p, b, a) for (p, a, b), label in zip(pairs, y, strict=True)], y


class TestUnits:
    @pytest.mark.parametrize(
        ("text", "tokens"),
        [
            ("我喜欢", ["我", "我喜", "喜", "喜欢", "欢"]),
            ("你好", ["你好"]),
            ("好", ["好"]),
            ("用Python3.12写，真好！", ["用", "Python3.12", "写", "，", "真好", "！"]),
            ("東京は2024年。", ["東", "東京", "京", "京は", "は", "2024", "年", "。"]),
            ("น้ำดีๆ", ["น้ำ", "น้ำดี", "ดี", "ดีๆ", "ๆ"]),  # marks and the vowel that is like one
            ("ភាសាខ្មែរ", ["ភា", "ភាសា", "សា", "សាខ្មែ", "ខ្មែ", "ខ្មែរ", "រ"]),  # coeng stacks
            ("ល្អ\u200bណាស់", ["ល្អ", "ណាស់"]),  # a zero-width space ends a word
            ("བོད་ཡིག་གི།", ["བོད", "བོད་ཡིག", "ཡིག", "ཡིག་གི", "གི", "།"]),  # syllables
            ("か\u3099く", ["がく"]),  # composed
            ("ｶﾞｸｾｲ", ["ガ", "ガク", "ク", "クセ", "セ", "セイ", "イ"]),  # full-width
            ("葛\U000e0100城", ["葛城"]),  # no variant chosen
            ("好👍🏽👩\u200d💻", ["好", "👍🏽👩\u200d💻"]),
            ("ＡＢＣ 한국어 हिन्दी e\u0301", ["ＡＢＣ", "한국어", "हिन्दी", "e\u0301"]),
        ],
    )
    def test_examples(self, text, tokens):
        assert split_text(text, "script") == tokens

    def test_words_of_a_mixed_text(self):
        text = "我用Python3写, น้ำ!"
        assert split_words(text) == ["我", "用", "Python3", "写", ",", "น้ำ", "!"]
        assert find_words(text) == ["我", "用", "Python3", "写", "น้ำ"]
        assert split_text(text, "script-word") == ["我用", "Python3", "写", ",", "น้ำ", "!"]

    def test_letters_are_those_whose_names_say_so(self):
        # What is newer than the interpreter has no name, as an ideograph it still counts as one.
        letter = _scripts._patterns().letter
        for code in range(0x110000):
            character = chr(code)
            kind = unicodedata.category(character)
            named = bool(NAMES.match(unicodedata.name(character, "")))
            if kind in ("Lo", "Lm") and character not in _scripts._LIKE_MARKS and named:
                assert letter.match(character), hex(code)
            elif letter.match(character) and kind != "Cn":
                name = unicodedata.name(character)
                assert kind in ("Lo", "Lm", "Nl"), hex(code)
                others = ("IDEOGRAPHIC", "HANGZHOU", "VERTICAL", "MASU", "TANGUT", "NUSHU")
                assert named or name.startswith((*others, "OLD CHINESE", "KHITAN")), name

    @given(texts)
    @thorough
    def test_other_text_is_split_as_ever(self, text):
        assume(not has_unspaced(text))
        assert split_text(text, "script") == text.split()
        assert split_text(text, "script-word") == split_text(text, "word")

    @pytest.mark.parametrize("rule", ["script", "script-word"])
    @given(text=texts, special=literals)
    @example(text="我未知词们x未知词", special=["未知词"])
    @thorough
    def test_joined_tokens_split_into_the_same_tokens(self, rule, text, special):
        split = _tokenizers.build_splitter(rule, special)
        tokens = split(text)
        assert split(" ".join(tokens)) == tokens
        assert all(token.split() == [token] for token in tokens)

    @given(texts)
    @quick
    def test_units_lose_no_letter(self, text):
        split = build_script_splitter(str.split, pairs=False)
        kept = unicodedata.normalize("NFKC", "".join(split(text)))
        for letter in _scripts._patterns().letter.findall(unicodedata.normalize("NFKC", text)):
            assert letter in kept

    def test_special_token_between_letters(self):
        counter = TokenCounter(vocabulary=["你好", "世界"], unk_token="<unk>")
        counts = counter.fit_transform(["你好<unk>世界", "世界大家好"])
        assert counter.get_feature_names_out().tolist() == ["你好", "世界", "<unk>"]
        # Of five characters in a row the first pair is known, the other tokens are not.
        np.testing.assert_array_equal(counts.toarray(), [[1, 1, 1], [0, 1, 8]])
        own = TokenCounter(unk_token="未知词").fit(["我未知词们"])
        assert own.get_feature_names_out().tolist() == ["未知词", "们", "我"]


class TestCounts:
    @pytest.mark.parametrize("rule", ["script", "script-word"])
    @pytest.mark.parametrize("language", ALPHABETS)
    def test_routes_agree(self, monkeypatch, rule, language):
        pairs, _ = simulate(language, 20)
        corpus = [text for row in pairs for text in row] + ["Some English, too.", "İ 好 ΑΣ"]
        results = []
        for size in (0, 10**9):
            monkeypatch.setattr(
                _tokenizers,
                "_MIN_FAST_SIZE",
                dict.fromkeys([*_tokenizers.FAST, "callable"], size),
            )
            counter = TokenCounter(rule, lowercase=True, min_count=2)
            results.append((counter.fit_transform(corpus), counter.vocabulary_))
        assert results[0][1] == results[1][1]
        assert (results[0][0] != results[1][0]).nnz == 0

    @pytest.mark.parametrize("rule", ["script", "script-word"])
    def test_decoded_counts_are_counted_again(self, rule):
        corpus = ["我喜欢写代码，真好！", "ไม่รู้ ครับ", "日本 x"]
        counter = TokenCounter(rule).fit(corpus)
        counts = counter.transform(corpus)
        assert (counter.transform(counter.decode(counts)) != counts).nnz == 0

    def test_stream_and_fit_agree(self):
        corpus = [a for _, a, _ in simulate("Japanese", 30)[0]]
        counter = TokenCounter(min_count=3)
        for start in range(0, 30, 10):
            counter.partial_fit(corpus[start : start + 10])
        assert counter.vocabulary_ == TokenCounter(min_count=3).fit(corpus).vocabulary_

    def test_partitions_and_fit_agree(self):
        bag = pytest.importorskip("dask.bag")
        corpus = [a for _, a, _ in simulate("Burmese", 30)[0]]
        of_bag = TokenCounter(min_count=3).fit(bag.from_sequence(corpus, npartitions=3))
        assert of_bag.vocabulary_ == TokenCounter(min_count=3).fit(corpus).vocabulary_

    def test_file_keeps_the_rule(self, tmp_path):
        pytest.importorskip("skops")
        pairs, y = simulate("Thai", 40)
        for vectorizer in (None, "preference"):
            model = PreferenceRewardModel(vectorizer=vectorizer).fit(pairs, y)
            save_model(model, tmp_path / f"{vectorizer}.skops")
            loaded = load_model(tmp_path / f"{vectorizer}.skops")
            margins = model.decision_function(pairs)
            np.testing.assert_array_equal(loaded.decision_function(pairs), margins)

    def test_samples_are_tokens_between_blanks(self):
        corpus = [a for _, a, _ in simulate("Chinese", 30)[0]]
        model = UnigramLM().fit(corpus)
        sampled = model.sample(3, random_state=0)
        tokens = model.vectorizer_.inverse_transform(model.vectorizer_.transform(sampled))
        assert [sorted(text.split()) for text in sampled] == [sorted(row) for row in tokens]


class TestLearning:
    @pytest.mark.parametrize("vectorizer", [None, "preference"])
    @pytest.mark.parametrize("language", ALPHABETS)
    def test_planted_words_are_found_on_prompts_never_seen(self, language, vectorizer):
        pairs, y = simulate(language, 300)
        model = PreferenceRewardModel(vectorizer=vectorizer).fit(pairs[:200], y[:200])
        assert model.score(pairs[200:], y[200:]) > 0.9  # the optimum is 1
        if vectorizer is None:
            by_blanks = TokenCounter("whitespace")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RareTokensWarning)
                model = PreferenceRewardModel(vectorizer=by_blanks).fit(pairs[:200], y[:200])
            assert model.score(pairs[200:], y[200:]) < 0.65

    def test_counts_teach_the_same_as_text(self):
        pairs, y = simulate("Chinese", 60)
        counter = TokenCounter().fit([text for row in pairs for text in row[1:]])
        a, b = (counter.transform([row[side] for row in pairs]) for side in (1, 2))
        by_text = PreferenceRewardModel().fit(pairs, y)
        by_counts = PreferenceRewardModel().fit(a - b, y)
        np.testing.assert_allclose(by_text.coef_, by_counts.coef_)


class TestRareTokens:
    @pytest.mark.parametrize("language", ["Chinese", "Japanese", "Thai"])
    def test_text_without_blanks_split_at_blanks(self, language):
        corpus = [a for _, a, _ in simulate(language, 300)[0]]
        with pytest.warns(RareTokensWarning, match=r"300 tokens .* 300 of .*\"script\""):
            TokenCounter("whitespace").fit(corpus)
        with pytest.warns(RareTokensWarning, match="300 tokens"):
            TokenCounter("whitespace").partial_fit(corpus)

    def test_punctuation_hides_nothing(self):
        corpus = ["，".join(row) + "。！，" for row in simulate("Chinese", 120)[0]]
        with pytest.warns(RareTokensWarning, match="TokenCounter found"):
            TokenCounter("word").fit(corpus)

    def test_boundaries(self):
        once = [f"w{i}" for i in range(200)]
        often = ["same"] * 100
        TokenCounter().fit([*once, *often])  # two thirds
        TokenCounter().fit(once)  # too few
        with pytest.warns(RareTokensWarning, match="301 tokens without punctuation, 201"):
            TokenCounter().fit([*once, "other", *often])
        TokenCounter(vocabulary=["same"]).fit([*once, "other", *often])

    @pytest.mark.parametrize("language", ALPHABETS)
    @pytest.mark.parametrize("rule", ["script", "script-word"])
    def test_rules_for_scripts_need_no_warning(self, language, rule):
        TokenCounter(rule).fit([a for _, a, _ in simulate(language, 100)[0]])

    @pytest.mark.parametrize("rule", ["script", "whitespace", "word", "code"])
    def test_documentation_in_english_does_not_warn(self, rule):
        documented = [getattr(str, name).__doc__ or "" for name in dir(str)]
        documented += [module.__doc__ or "" for module in (argparse, re, statistics, warnings)]
        lines = [line for text in documented for line in text.splitlines()]
        TokenCounter(rule).fit(lines)


class TestReport:
    @pytest.mark.parametrize("language", ["Chinese", "Japanese", "Thai"])
    def test_audit_finds_the_planted_words(self, language, tmp_path, capsys):
        pytest.importorskip("rich")
        pairs, y = simulate(language, 150)
        rows = [{"prompt": p, "chosen": (b, a)[label], "rejected": (a, b)[label]}
                for (p, a, b), label in zip(pairs, y, strict=True)]  # fmt: skip
        path = tmp_path / "pairs.jsonl"
        lines = (json.dumps(row, ensure_ascii=False) for row in rows)
        path.write_text("\n".join(lines), encoding="utf-8")
        out = ["--out", str(tmp_path / "report"), "--no-progress", "--full"]
        assert main(["audit", str(path), *out]) == 0
        figures = json.loads((tmp_path / "report" / "audit.json").read_text(encoding="utf-8"))
        assert figures["prediction"]["models"]["words"]["accuracy"]["value"] > 0.9
        assert split_words(MARKERS[language][0])[0] in capsys.readouterr().out

    def test_a_text_is_not_cut_between_a_letter_and_its_mark(self):
        assert [behind_marks("น้ำดี", position) for position in (1, 2, 4, 5)] == [2, 2, 5, 5]


class TestForm:
    def test_words_and_marks_of_full_width_count(self):
        columns = ResponseFeatures().get_feature_names_out().tolist()
        rows = [
            ("我喜欢什么？", "我喜欢这个，好吗？（是）"),
            ("什么", "1、一\n2、二"),
            ("x", "・一\n・二"),
        ]
        raw = ResponseFeatures()._measure(rows)
        value = dict(zip(columns, raw.T, strict=False))
        assert np.expm1(value["log_words"]).round().tolist() == [8, 4, 2]
        assert np.expm1(value["questions"]).round().tolist() == [1, 0, 0]
        assert np.expm1(value["parentheses"]).round().tolist() == [1, 0, 0]
        assert np.expm1(value["numbered_items"]).round().tolist() == [0, 2, 0]
        assert np.expm1(value["bullets"]).round().tolist() == [0, 0, 2]
        # Of the eight characters of the first response three are those of its prompt.
        assert value["words_from_prompt"][0] == 3 / 8

    def test_nearly_equal_prompts_are_found(self):
        one = "请告诉我怎样在北京的冬天里种好一棵苹果树"
        pairs = [(one, "好的", "不"), (one + "呢", "好的", "不"), ("今天天气真好", "是的", "不")]
        report = check_preferences(pairs, [1, 0, 1])
        found = report.near_duplicates
        assert list(zip(found.row, found.other, strict=True)) == [(0, 1)]


@pytest.mark.parametrize("rule", ["script", "script-word"])
@pytest.mark.parametrize("order", [2, 3])
def test_counters_of_ngrams_take_a_character_once(rule, order):
    texts = ["我爱自然", "他爱 pizza，好", "我不爱他", "ไม่รู้จัก"] * 5
    counter = NGramCounter(order, tokenizer=rule, unk_token=None).fit(texts)
    row = ["他", "爱", "pizza", "，", "好"]
    ids, _ = counter._ids_of([texts[1]])
    assert counter._names[ids].tolist() == row
    assert counter._splitter(texts[1]) == row
    # Written with blanks between them they are the same tokens.
    assert counter._ids_of([" ".join(row)])[0].tolist() == ids.tolist()
    # Enough text for the kernel that reads bytes.
    np.testing.assert_array_equal(
        counter._ids_of([*texts, "x " * 99_000])[0][:40], counter._ids_of(texts)[0][:40]
    )


@pytest.mark.parametrize("rule", ["script", "script-word"])
def test_order_1_counts_as_tokens_do(rule):
    texts = ["我爱自然", "他爱 pizza，好"]
    tokens = TokenCounter(rule).fit_transform(texts)
    np.testing.assert_array_equal(
        NGramCounter(1, tokenizer=rule).fit_transform(texts).todense(), tokens.todense()
    )


def test_model_of_letters_is_that_of_a_function():
    texts = ["我爱自然", "他爱自然", "我不爱他"] * 5
    model, by_list = (
        NGramLM(2, vectorizer=NGramCounter(2, tokenizer=tokenizer, eos_token="</s>")).fit(texts)
        for tokenizer in ("script", list)
    )
    assert model.perplexity(texts) == by_list.perplexity(texts)
    drawn = model.sample(500, random_state=0)
    assert model.perplexity(drawn) < 3.5
