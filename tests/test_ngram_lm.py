"""Back-off language models as estimators: equal ways to one model, sampling, prompts, ARPA."""

import gzip
from itertools import product

import numpy as np
import pytest
from assertions import assert_same_distribution
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chisquare
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from sklearn_codex import (
    NGramCounter,
    NGramLM,
    RLHFPipeline,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
)

TEXTS = ["the cat sat", "the dog sat on the cat", "a dog sat", "on the mat the dog sat"]
NEW = ["the big dog sat", "mat", "cat the on a"]
SMOOTHINGS = ["kneser-ney", "witten-bell", "dirichlet", 0.5]
EOS = NGramCounter(3, eos_token="</s>")


def assert_same_model(model, other):
    assert_allclose(model.arc_log_prob_, other.arc_log_prob_, rtol=1e-12, atol=1e-14)
    assert_allclose(model.backoff_log_weight_, other.backoff_log_weight_, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_text_equals_counts(order, smoothing):
    model = NGramLM(order, smoothing=smoothing).fit(TEXTS)
    counter = model.vectorizer_
    counted = NGramLM(order, smoothing=smoothing, vectorizer=FrozenEstimator(counter))
    counted.fit(counter.transform(TEXTS))
    assert_same_model(model, counted)
    rows = counter.transform(NEW)
    for method in ("predict", "predict_log_proba", "score_samples", "score", "perplexity"):
        assert_array_equal(getattr(model, method)(NEW), getattr(counted, method)(rows))


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_what_is_fitted_in_parts_or_by_weights_is_the_same(smoothing):
    counter = FrozenEstimator(NGramCounter(3).fit(TEXTS))
    model = NGramLM(smoothing=smoothing, vectorizer=counter)
    parts = clone(model).partial_fit(TEXTS[:1]).partial_fit(TEXTS[1:])
    assert_same_model(clone(model).fit(TEXTS), parts)
    weighted = clone(model).fit(TEXTS, sample_weight=[1, 3, 0, 2])
    repeated = clone(model).fit([TEXTS[0], *[TEXTS[1]] * 3, *[TEXTS[3]] * 2])
    assert_same_model(weighted, repeated)


def test_a_new_ngram_of_a_later_batch_is_backed_off_from():
    model = NGramLM(2).partial_fit(["a b"]).partial_fit(["b a"])
    assert "b a" not in model.vectorizer_.get_feature_names_out()
    assert_allclose(np.exp(model.predict_log_proba(["b"])).sum(), 1.0, atol=1e-12)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_lower_order_than_its_counts(order, smoothing):
    model = NGramLM(order, smoothing=smoothing).fit(TEXTS)
    reduced = NGramLM(order, smoothing=smoothing, vectorizer=NGramCounter(4)).fit(TEXTS)
    assert reduced.order_ == order
    assert_same_model(model, reduced)
    assert_allclose(model.score_samples(NEW), reduced.score_samples(NEW))
    assert_allclose(model.predict_log_proba(NEW), reduced.predict_log_proba(NEW))
    assert_array_equal(model.predict(NEW), reduced.predict(NEW))


def test_higher_order_than_its_counts():
    assert NGramLM(3, vectorizer=NGramCounter(2)).fit(TEXTS).order_ == 2
    assert NGramLM(3).fit(np.eye(3)).order_ == 1


@pytest.mark.parametrize("smoothing", [1.0, 0.01, 0])
def test_order_one_with_a_count_added_is_the_unigram_model(smoothing):
    model = NGramLM(1, smoothing=smoothing).fit(TEXTS)
    unigram = UnigramLM(smoothing).fit(TEXTS)
    assert_allclose(model.token_log_prob_, unigram.token_log_prob_, rtol=1e-13)
    assert model.sample(5, random_state=0) == unigram.sample(5, random_state=0)
    assert_array_equal(model.predict(NEW), unigram.predict(NEW))


def test_only_order_one_has_a_distribution_of_tokens():
    with pytest.raises(AttributeError, match="of order 3 has no one distribution"):
        _ = NGramLM().fit(TEXTS).token_log_prob_
    assert not hasattr(NGramLM().fit(TEXTS), "token_log_prob_")


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_likelihood_is_the_product_of_what_is_predicted(smoothing):
    model = NGramLM(smoothing=smoothing, vectorizer=EOS).fit(TEXTS)
    columns = model.vectorizer_.vocabulary_
    for text in NEW:
        words, total = text.split(), 0.0
        total = model.predict_log_proba(_starts(words))
        ids = [columns.get(word, 0) for word in words] + [columns["</s>"]]
        # What comes first is predicted by nobody's prefix but the start's own.
        first = model._backoff.log_prob_of(model._read_trie.start, ids[0])
        expected = first + total[np.arange(len(words)), ids[1:]].sum()
        assert_allclose(model.score_samples([text]), expected)


def _starts(words):
    return [" ".join(words[: n + 1]) for n in range(len(words))]


def test_score_is_nats_a_token():
    model = NGramLM(vectorizer=EOS).fit(TEXTS)
    n_tokens = np.array([len(text.split()) + 1 for text in NEW])
    likelihood = model.score_samples(NEW)
    assert_allclose(model.score(NEW), likelihood.sum() / n_tokens.sum())
    weight = [1.0, 0.5, 2.0]
    expected = likelihood @ weight / (n_tokens @ weight)
    assert_allclose(model.score(NEW, sample_weight=weight), expected)
    assert_allclose(model.perplexity(NEW), np.exp(-model.score(NEW)))


def test_formulas_of_the_notes():
    texts = ["a b a b", "a a"]
    counter = NGramCounter(2, unk_token=None)
    # n(a, b) = 2, n(a, a) = 1, so N(a) = 3 and T(a) = 2; n(a) = 4, n(b) = 2 of 6, with T = 2.
    model = NGramLM(smoothing="witten-bell", vectorizer=counter).fit(texts)
    a = (4 + 2 * 0.5) / 8
    assert_allclose(np.exp(model.predict_log_proba(["a"])[0]), [
        1 / 5 + 2 / 5 * a, 2 / 5 + 2 / 5 * (1 - a),
    ])  # fmt: skip
    model = NGramLM(smoothing="dirichlet", prior_strength=3, vectorizer=counter).fit(texts)
    a = (4 + 3 * 0.5) / 9
    assert_allclose(np.exp(model.predict_log_proba(["a"])[0]), [
        (1 + 3 * a) / 6, (2 + 3 * (1 - a)) / 6,
    ])  # fmt: skip
    model = NGramLM(vectorizer=counter).fit(texts)
    # Types before a: a, b and the start; before b: a. All discounts are 0.5, 1, 1.5.
    assert model.is_fallback_.all()
    a = (3 - 1.5) / 4 + (1.5 + 0.5) / 4 * 0.5
    assert_allclose(np.exp(model.predict_log_proba(["a"])[0]), [
        0.5 / 3 + 1.5 / 3 * a, 1 / 3 + 1.5 / 3 * (1 - a),
    ])  # fmt: skip


def test_samples_have_the_probabilities_of_the_model():
    model = NGramLM(2, vectorizer=NGramCounter(2, eos_token="</s>")).fit(TEXTS)
    samples = model.sample(20_000, random_state=0)
    short = [" ".join(words) for n in range(3) for words in product(_words(model), repeat=n)]
    expected = np.exp(model.score_samples(short))
    position = {text: place for place, text in enumerate(short)}
    seen = np.bincount([position.get(text, len(short)) for text in samples])
    expected = np.append(expected, 1 - expected.sum()) * len(samples)
    seen = np.append(seen, np.zeros(len(expected) - len(seen)))
    common = expected >= 5
    seen = np.append(seen[common], seen[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    assert chisquare(seen, expected).pvalue > 1e-3


def _words(model):
    names = model.vectorizer_.get_feature_names_out()[: model._read_trie.n_tokens]
    return [name for name in names if name != "</s>"]


def test_samples_go_on_from_prompts():
    model = NGramLM(3, vectorizer=EOS).fit(TEXTS)
    prompts = ["the dog", "on", ""]
    samples = model.sample(4_000, random_state=0, prompts=prompts)
    assert len(samples) == 12_000
    names = model.vectorizer_.get_feature_names_out()[: model._read_trie.n_tokens].tolist()
    trie = model._read_trie
    *_, contexts = trie.walk(*model.vectorizer_._ids_of(prompts))
    for place, context in enumerate(contexts):
        drawn = samples[place * 4_000 : (place + 1) * 4_000]
        first = [names.index(text.split()[0]) if text else names.index("</s>") for text in drawn]
        expected = np.exp(model._backoff.next_log_prob(np.array([context])))[0]
        seen = np.bincount(first, minlength=len(names))
        assert chisquare(seen, 4_000 * expected / expected.sum()).pvalue > 1e-3 / 3
    assert model.sample(2, random_state=1, prompts=prompts) == model.sample(
        2, random_state=1, prompts=prompts
    )


def test_without_an_end_documents_have_the_mean_length():
    model = NGramLM(2).fit(TEXTS)
    assert {len(text.split()) for text in model.sample(5, random_state=0)} == {
        model.document_length_
    }
    assert model.document_length_ == 4


def test_next_tokens_depend_on_the_last_ones():
    model = NGramLM(2, vectorizer=NGramCounter(2, eos_token="</s>")).fit(TEXTS)
    assert model.predict(["the cat sat on", "a dog"]).tolist() == ["the", "sat"]


def test_a_sum_of_documents_is_followed_by_nothing():
    model = NGramLM(2).fit(TEXTS)
    counts = model.vectorizer_.transform(TEXTS).sum(axis=0)
    with pytest.raises(ValueError, match="Count documents one by one"):
        model.predict([counts])


def test_grid_search_over_the_order():
    search = GridSearchCV(
        NGramLM(4, vectorizer=NGramCounter(eos_token="</s>")),
        {"vectorizer__order": [1, 2, 3], "smoothing": ["kneser-ney", 0.1]},
        cv=2,
    )
    with pytest.warns(UserWarning, match=r"order=4\) is a model of order [123], .* has order="):
        search.fit(TEXTS * 3)
    assert search.best_estimator_.order_ == search.best_params_["vectorizer__order"] > 1


def test_no_smoothing_and_no_tokens():
    with pytest.raises(ValueError, match="NGramLM without smoothing needs at least one token"):
        NGramLM(smoothing=0).fit(np.zeros((2, 3)))


def test_smoothing_beyond_the_range_of_floats():
    with pytest.raises(ValueError, match=r"cannot add smoothing=1e\+308 to the count"):
        NGramLM(2, smoothing=1e308).fit(TEXTS)
    large = NGramLM(2, smoothing=1e300).fit(TEXTS)
    assert_allclose(np.exp(large.predict_log_proba(NEW)), 1 / large.trie_.n_tokens)


@pytest.mark.parametrize("suffix", [".arpa", ".arpa.gz"])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("options", [{}, {"min_ngram_count": 2}, {"unk_token": None}], ids=str)
@pytest.mark.filterwarnings("ignore:NGramLM leaves out:UserWarning")  # told of elsewhere
def test_arpa_files_hold_the_model(tmp_path, suffix, smoothing, options):
    counter = NGramCounter(3, eos_token="<eos>", **options)
    model = NGramLM(smoothing=smoothing, vectorizer=counter).fit(TEXTS)
    path = tmp_path / f"model{suffix}"
    model.to_arpa(path)
    with pytest.raises(FileExistsError, match="does not replace the existing file"):
        model.to_arpa(path)
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == suffix.endswith("gz")
    read = NGramLM.from_arpa(path)
    assert read.order_ == 3
    assert_allclose(read.score_samples(NEW), model.score_samples(NEW), atol=1e-8)
    assert_allclose(read._backoff.total_prob(), 1.0, atol=1e-12)
    assert read.predict(NEW).tolist() == [
        "</s>" if token == "<eos>" else token for token in model.predict(NEW)
    ]
    again = tmp_path / "again.arpa"
    read.to_arpa(again)
    assert_allclose(NGramLM.from_arpa(again).score_samples(NEW), read.score_samples(NEW))


FILE = """
\\data\\
ngram 1=4
ngram 2=2
ngram 3=1

\\1-grams:
-0.30103 </s>
-99 <s> -0.30103
-0.60206 a -0.1
-0.60206 b 0

\\2-grams:
-0.30103 <s> a 0
-0.30103 a b -0.30103

\\3-grams:
-0.30103 a b a

\\end\\
"""


def test_what_a_file_of_others_leaves_out_is_filled_in(tmp_path):
    # "a b a" is listed, "b a" is not, as entropy pruning leaves it.
    text = FILE.replace("-0.60206 a -0.1", f"-0.60206 a {np.log10(0.5 / 0.75):.7f}")
    text = text.replace("b -0.30103\n", f"b {np.log10(0.5 / 0.75):.7f}\n")
    text = text.replace("<s> -0.30103", f"<s> {np.log10(0.5 / 0.75):.7f}")
    path = tmp_path / "model.arpa"
    path.write_text(text)
    model = NGramLM.from_arpa(path)
    columns = model.vectorizer_.get_feature_names_out().tolist()
    assert "b a" in columns
    assert "<unk>" not in columns
    # P(a) P(b | <s> a) P(a | a b) P(</s> | b a), the last two by backing off from "b a" and "a".
    expected = [0.5, 0.5, 0.5, 0.5 / 0.75 * 0.5]
    assert_allclose(model.score_samples(["a b a"]), np.log(expected).sum(), atol=1e-6)
    assert_allclose(model._backoff.total_prob(), 1.0, atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "data", r"no section \\data\\"),
        ("ngram 2=2", "ngram 3=2", "line 4: expected 'ngram 2='"),
        ("ngram 2=2", "ngram 2=3", r"says 3 2-grams, and there are 2"),
        ("\\end\\", "", r"expected '\\end\\', got the end of the file\."),
        ("-0.30103 a b a", "-0.30103 a b c", "have the token 'c', no 1-gram"),
        ("-0.30103 a b a", "-0.30103 a b", "expected a number, 3 tokens"),
        ("-0.30103 a b a", "x a b a", "expected numbers first and last"),
        ("-0.30103 a b a", "0.5 a b a", "no logarithms of a probability"),
        ("-0.60206 b 0", "-0.60206 a 0", "listed twice"),
        ("-0.60206 b 0", "-99 <s> 0", "the 1-gram '<s>' is listed twice"),
        ("ngram 2=2", "ngram 2=" + "9" * 5000, "line 4: expected 'ngram 2=' and a number"),
        ("-0.60206 b 0", "-0.10206 b 0", "of single tokens sum to 1.54.*, not to 1"),
        ("-0.30103 <s> a 0", "-0.6 <s> a 0", "after '<s>' sum to 0.62.*, not to 1"),
        ("\\2-grams:", "\\4-grams:", r"expected '\\2-grams:'"),
    ],
)
def test_damaged_arpa_files(tmp_path, old, new, message):
    path = tmp_path / "model.arpa"
    assert old in FILE
    path.write_text(FILE.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        NGramLM.from_arpa(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"model\.arpa: the file is empty\."),
        ("\n", r"model\.arpa, line 1: there is no section"),
        ("\\data\\\nngram 1=1\n", r"line 2: expected '\\1-grams:', got the end of the file\."),
    ],
)
def test_arpa_files_cut_off_at_the_beginning(tmp_path, text, message):
    path = tmp_path / "model.arpa"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        NGramLM.from_arpa(path)


def unigram_file(stop):
    """A model of single tokens, whose documents end with this probability after each token."""
    go, end = (np.log10(prob) if prob > 0 else -99 for prob in (1 - stop, stop))
    lines = ["\\data\\", "ngram 1=3", "", "\\1-grams:", "-99\t<s>", f"{end}\t</s>", f"{go}\ta", ""]
    return "\n".join([*lines, "\\end\\", ""])


@pytest.mark.parametrize(
    ("stop", "length"), [(0.02, 50), (0.42, 2), (1.0, 1), (1e-5, 100_000), (1e-9, 1), (0.0, 1)]
)
def test_length_of_documents_of_an_arpa_file_by_hand(tmp_path, stop, length):
    # Tokens up to the end of a document are 1 / stop; of more than a million nothing is said.
    path = tmp_path / "model.arpa"
    path.write_text(unigram_file(stop))
    assert NGramLM.from_arpa(path).document_length_ == length


def test_length_of_documents_of_an_arpa_file_is_that_of_samples(tmp_path):
    path = tmp_path / "model.arpa"
    counter = NGramCounter(eos_token="</s>")
    model = NGramLM(vectorizer=counter).fit([" ".join(["a b c"] * 9), "a b b a b c", "c a b"])
    model.to_arpa(path)
    read = NGramLM.from_arpa(path)
    drawn = [len(text.split()) + 1 for text in read.sample(4000, 0)]
    assert read.document_length_ > 8
    assert_allclose(read.document_length_, np.mean(drawn), rtol=0, atol=1.0)
    # A file without an end does not tell.
    NGramLM().fit(TEXTS).to_arpa(path, overwrite=True)
    assert NGramLM.from_arpa(path).document_length_ == 1


def test_cut_short_packed_arpa_files(tmp_path):
    path = tmp_path / "model.arpa.gz"
    NGramLM().fit(TEXTS).to_arpa(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"model\.arpa\.gz"):
        NGramLM.from_arpa(path)


def test_a_model_without_counts_is_not_added_to(tmp_path):
    path = tmp_path / "model.arpa"
    NGramLM(vectorizer=EOS).fit(TEXTS).to_arpa(path)
    model = NGramLM.from_arpa(path)
    with pytest.raises(ValueError, match="from an ARPA file has none"):
        model.partial_fit(TEXTS)
    assert clone(model).fit(TEXTS).order_ == 3
    refined = SFTRefiner(FrozenEstimator(model), prior_strength=2).fit(NEW)
    assert refined.score(NEW) > model.score(NEW)


PLAIN = NGramCounter(tokenizer="whitespace", unk_token=None)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (NGramLM().fit(np.eye(3)), "of counts without names"),
        (NGramLM(vectorizer=NGramCounter(tokenizer=str.splitlines)).fit(["a b"]), "write 'a b'"),
        (NGramLM(vectorizer=NGramCounter(unk_token="?")).fit(["a <unk>"]), "a token of its own"),
        (NGramLM(vectorizer=PLAIN).fit(["a <unk>"]), "a token of its own called <unk>"),
        (NGramLM(vectorizer=PLAIN).fit(["a </s> b"]), "a token of its own called </s>"),
    ],
)
def test_models_that_no_arpa_file_holds(tmp_path, model, message):
    with pytest.raises(ValueError, match=message):
        model.to_arpa(tmp_path / "model.arpa")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("order", [2, 3])
def test_refining_uses_the_prompt_as_context(order):
    base = NGramLM(order, vectorizer=EOS).fit(TEXTS)
    alone = SFTRefiner(FrozenEstimator(base), prior_strength=1).fit(["mat"] * 9)
    after = SFTRefiner(FrozenEstimator(base), prior_strength=1).fit(
        ["mat"] * 9, prompts=["a the"] * 9
    )
    mat = base.vectorizer_.vocabulary_["mat"]
    # Behind "the" it is learned by one, at the start of a document by the other.
    behind, at_start = (
        [model._backoff.log_prob_of(context, mat) for model in (after, alone)]
        for context in (
            base._read_trie.context_of_arc[base.vectorizer_.vocabulary_["the"]],
            base._read_trie.start,
        )
    )
    assert behind[0] > behind[1] + 0.1
    assert at_start[1] > at_start[0] + 0.1


def test_refining_in_parts_by_weights_and_by_counts():
    base = FrozenEstimator(NGramLM(vectorizer=EOS).fit(TEXTS))
    refiner = SFTRefiner(base, prior_strength=5)
    whole = clone(refiner).fit(NEW)
    parts = clone(refiner).partial_fit(NEW[:1]).partial_fit(NEW[1:])
    assert_same_model(whole, parts)
    counts = base.estimator.vectorizer_.transform(NEW)
    assert_same_model(whole, clone(refiner).fit(counts))
    weighted = clone(refiner).fit(NEW, sample_weight=[2, 0, 1])
    assert_same_model(weighted, clone(refiner).fit([NEW[0], NEW[0], NEW[2]]))
    assert_array_equal(whole.event_count_, counts.sum(axis=0))


def test_refining_of_order_one_is_that_of_unigrams():
    ngram = NGramLM(1, smoothing=1.0).fit(TEXTS)
    unigram = UnigramLM().fit(TEXTS)
    refined = [SFTRefiner(FrozenEstimator(base)).fit(NEW) for base in (ngram, unigram)]
    assert_same_distribution(refined[0].token_log_prob_, refined[1].token_log_prob_)
    # Events of a higher order, reduced to those of the base.
    wide = NGramLM(1, smoothing=1.0, vectorizer=NGramCounter(3)).fit(TEXTS)
    wide = SFTRefiner(FrozenEstimator(wide)).fit(NEW)
    assert_allclose(wide.arc_log_prob_, refined[1].token_log_prob_, rtol=1e-12)


def test_refining_nothing_at_all():
    refined = SFTRefiner(vectorizer=NGramCounter(2, eos_token="</s>"), prior_strength=1).fit(TEXTS)
    assert refined.predict(["the cat sat on"]).tolist() == ["the"]
    assert_allclose(refined._backoff.total_prob(), 1.0, atol=1e-12)


def test_a_refiner_fitted_on_ngrams_and_then_on_counts_is_of_single_tokens():
    refiner = SFTRefiner(vectorizer=NGramCounter(2)).fit(TEXTS)
    refiner.vectorizer = None
    refiner.fit(np.eye(3))
    assert refiner.predict(np.eye(3)).tolist() == [0, 0, 0]
    assert not hasattr(refiner, "arc_log_prob_")


def test_prompts_come_with_texts():
    base = NGramLM().fit(TEXTS)
    refiner = SFTRefiner(FrozenEstimator(base))
    with pytest.raises(ValueError, match="X is counts"):
        refiner.fit(base.vectorizer_.transform(NEW), prompts=["a"] * 3)
    with pytest.raises(ValueError, match="for each of 3 documents, got 2"):
        refiner.fit(NEW, prompts=["a"] * 2)


def test_pipeline_of_language_models():
    records = [*({"text": text} for text in TEXTS), *({"completion": text} for text in NEW)]
    steps = [("pretrain", NGramLM()), ("sft", SFTRefiner(prior_strength=5))]
    pipeline = RLHFPipeline(steps, vectorizer=EOS).fit(records)
    base, refined = (step for _, step in pipeline.steps_)
    assert_allclose(pipeline.score(records), refined.score(pipeline.vectorizer_.transform(NEW)))
    assert_allclose(
        pipeline.objective(records, stage="pretrain").total,
        -base.score(pipeline.vectorizer_.transform(NEW)),
    )
    assert pipeline.sample(2, random_state=0) == refined.sample(2, random_state=0)
    assert pipeline.predict(["the cat sat on"]).tolist() == ["the"]


def test_gzip_of_equal_models_is_equal(tmp_path):
    for name in ("a", "b"):
        NGramLM().fit(TEXTS).to_arpa(tmp_path / f"{name}.gz")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()).startswith(b"\\data\\\n")


def test_an_order_that_the_vectorizer_cannot_count_is_told():
    texts = ["a b", "b a"]
    with pytest.warns(UserWarning, match=r"order=3\) is a model of order 1, as its vectorizer"):
        model = NGramLM(vectorizer=TokenCounter()).fit(texts)
    assert model.order_ == 1
    frozen = FrozenEstimator(TokenCounter().fit(texts))
    with pytest.warns(UserWarning, match=r"Pass NGramCounter\(2\) instead"):
        NGramLM(2, vectorizer=frozen).fit(frozen.transform(texts))
    NGramLM(1, vectorizer=TokenCounter()).fit(texts)
    NGramLM(3, vectorizer=NGramCounter(2)).fit(texts)  # as a search over orders does
    NGramLM(3).fit([[1, 2], [0, 1]])
