"""One contract for all language models: text and counts are the same thing."""

import copy
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from assertions import assert_is_document_term_matrix, assert_same_distribution
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import MultinomialNB
from sklearn.utils.validation import check_is_fitted

from sklearn_codex import PPOPolicyOptimizer, SFTRefiner, TokenCounter, UnigramLM
from sklearn_codex._checks.matrices import as_csr
from sklearn_codex._data.fitted_models import check_fitted_model, freeze, unwrap
from sklearn_codex._data.vectorizers import token_names

TEXTS = ["the cat sat", "the dog sat on the cat", "a dog", "on on on the mat"]
LOGGED = [0.5, -1.0, 2.0, 0.0]


def make_base(X):
    return FrozenEstimator(UnigramLM().fit(X))


def make_policy(policy=None, **params):
    return PPOPolicyOptimizer(policy, n_rollouts=16, max_iter=2, tol=0, random_state=0, **params)


# name -> a function of documents that gives the unfitted estimator of the same kind of documents
ESTIMATORS = {
    "UnigramLM": lambda X: UnigramLM(),
    "SFTRefiner": lambda X: SFTRefiner(prior_strength=3.0),
    "SFTRefiner with base": lambda X: SFTRefiner(make_base(X), prior_strength=3.0),
    "PPOPolicyOptimizer": lambda X: make_policy(),
    "PPOPolicyOptimizer with policy": lambda X: make_policy(make_base(X)),
}
METHODS = ("predict", "predict_log_proba", "score_samples", "score", "perplexity")


@pytest.fixture(params=ESTIMATORS)
def make(request):
    return ESTIMATORS[request.param]


@pytest.fixture
def counts():
    return TokenCounter().fit_transform(TEXTS)


def answers(model, X):
    """All that a model says about documents, tokens by their column."""
    result = {method: getattr(model, method)(X) for method in METHODS}
    names = token_names(model)
    if names is not None:
        column = {name: position for position, name in enumerate(names)}
        result["predict"] = np.array([column[name] for name in result["predict"]])
    return result


def assert_same_answers(one, other):
    for method in METHODS:
        assert_allclose(one[method], other[method], rtol=1e-12, atol=0, err_msg=method)


def test_text_equals_counts(make, counts):
    on_text, on_counts = make(TEXTS).fit(TEXTS, LOGGED), make(counts).fit(counts, LOGGED)
    assert_same_distribution(on_text.token_log_prob_, on_counts.token_log_prob_)
    expected = answers(on_text, TEXTS)
    assert_same_answers(answers(on_text, counts), expected)
    assert_same_answers(answers(on_counts, counts), expected)


def test_sample_is_text_where_words_are_known_and_else_the_same_as_counts(make, counts):
    on_text, on_counts = make(TEXTS).fit(TEXTS, LOGGED), make(counts).fit(counts, LOGGED)
    texts, drawn = (model.sample(7, random_state=1) for model in (on_text, on_counts))
    assert all(isinstance(text, str) for text in texts)
    assert_is_document_term_matrix(drawn, (7, counts.shape[1]))
    assert_array_equal(on_text.vectorizer_.transform(texts).toarray(), drawn.toarray())


@pytest.mark.parametrize(
    "container",
    [list, tuple, np.array, lambda x: np.array(x, dtype=object), pd.Series, pl.Series,
     lambda x: pd.Series(x, index=[9, 3, 3, 1], dtype="string")],
    ids=["list", "tuple", "array", "object array", "pandas", "polars", "pandas string"],
)  # fmt: skip
def test_every_container_of_text_is_the_same(make, container):
    expected = make(TEXTS).fit(TEXTS, LOGGED)
    model = make(TEXTS).fit(container(TEXTS), LOGGED)
    assert_same_distribution(model.token_log_prob_, expected.token_log_prob_)
    assert_same_answers(answers(model, container(TEXTS)), answers(expected, TEXTS))


@pytest.mark.parametrize(
    "container",
    [sparse.csr_array, sparse.csr_matrix, sparse.coo_array, sparse.csc_matrix,
     lambda x: x.toarray(), lambda x: x.toarray().astype(np.int64).tolist()],
    ids=["csr_array", "csr_matrix", "coo_array", "csc_matrix", "ndarray", "list of int"],
)  # fmt: skip
def test_every_container_of_counts_is_the_same(make, counts, container):
    expected = make(counts).fit(counts, LOGGED)
    model = make(counts).fit(container(counts), LOGGED)
    assert model.n_features_in_ == counts.shape[1]
    assert_same_distribution(model.token_log_prob_, expected.token_log_prob_)
    assert_same_answers(answers(model, container(counts)), answers(expected, counts))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_data_frame_names_its_columns(make, counts, frame):
    names = [f"t{column}" for column in range(counts.shape[1])]
    dense = counts.toarray()
    if frame is pd.DataFrame:
        X = pd.DataFrame(dense, columns=names)
    else:
        X = pl.DataFrame(dense, schema=names)
    model = make(X).fit(X, LOGGED)
    assert list(model.feature_names_in_) == names
    assert model.predict(X)[0] in names
    assert_same_answers(answers(model, X), answers(make(counts).fit(counts, LOGGED), counts))
    with pytest.raises(ValueError, match="feature names should match"):
        model.score(X[names[::-1]])


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("the cat", TypeError, r"{} expected X to be a 1-D sequence of str .* got a str.*\[text\]"),
        (b"the cat", TypeError, r"{} expected X .* got a bytes"),
        (["the", 3], TypeError, r"{} expected .* X\[1\] is 3, of type int"),
        (["the", None], TypeError, r"{} expected .* X\[1\] is None, of type NoneType"),
        (["the", b"cat"], TypeError, r"{} expected .* X\[1\] is b'cat', of type bytes"),
        ([["the"], ["cat"]], TypeError, r"{} expected .* got strings in 2-D, such as 'the'"),
        ([], ValueError, r"{} got 0 documents"),
        (["cat", " \n", ""], ValueError, r"{} got 2 .* without a token, the first at position 1"),
        ([[1.0, -1.0], [0.0, 1.0]], ValueError, r"Negative values in data passed to X in {}"),
        ([[1.0, np.nan], [0.0, 1.0]], ValueError, r"Input X contains NaN"),
        ([[1.0, np.inf], [0.0, 1.0]], ValueError, r"Input X contains infinity"),
        (np.zeros((0, 3)), ValueError, r"0 sample\(s\)"),
        (np.zeros((2, 0)), ValueError, r"0 feature\(s\)"),
        ([1.0, 2.0], ValueError, r"expected a 2-D matrix of numbers, got a 1-D list: \[1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["UnigramLM", "SFTRefiner", "PPOPolicyOptimizer"])
def test_what_is_not_documents_is_refused(kind, X, error, message):
    estimator = ESTIMATORS[kind](X).set_params(vectorizer=TokenCounter(unk_token=None))
    y = np.zeros(len(X))
    with pytest.raises(error, match=message.format(kind)):
        estimator.fit(X, y)


def test_what_is_not_documents_is_refused_after_fit(make):
    model = make(TEXTS).fit(TEXTS, LOGGED)
    name = type(model).__name__
    for X, error, message in [
        ("the cat", TypeError, f"{name} expected X .* got a str"),
        (["a", None], TypeError, r"X\[1\] is None"),
        ([[1, 2]], ValueError, f"X has 2 features, but {name} is expecting 8"),
        (-np.ones((1, 8)), ValueError, "Negative values"),
    ]:
        for method in METHODS:
            with pytest.raises(error, match=message):
                getattr(model, method)(X)


def test_what_has_no_token_has_no_likelihood_but_something_comes_after_it(make):
    model = make(TEXTS).fit(TEXTS, LOGGED)
    message = f"{type(model).__name__} got 1 .* without a token, the first at position 1"
    for method in METHODS[2:]:
        with pytest.raises(ValueError, match=message):
            getattr(model, method)(["a", ""])
    for method in METHODS[:2]:
        after = getattr(model, method)
        assert_array_equal(after(["a", "", " "]), after(["a", "a", "a"]))


def test_text_for_a_model_of_counts_is_refused_with_the_remedy(make, counts):
    model = make(counts).fit(counts, LOGGED)
    for method in METHODS:
        with pytest.raises(ValueError, match=r"fitted on counts.*8 columns.*FrozenEstimator"):
            getattr(model, method)(TEXTS)


def test_unfitted_models_say_so(make):
    for method in METHODS:
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(make(TEXTS), method)(TEXTS)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        make(TEXTS).sample()


def test_text_and_counts_are_never_changed(make, counts):
    texts = list(TEXTS)
    # Unsorted, with a duplicate and a stored zero: what a careless reader repairs in place.
    messy = sparse.csr_array(
        (np.array([2.0, 1.0, 1.0, 0.0, 3.0]), np.array([3, 0, 0, 2, 1]), np.array([0, 3, 5])),
        shape=(2, 8),
    )
    dense = counts.toarray()
    before = copy.deepcopy((messy, dense))
    tidy = [[2, 0, 0, 2, 0, 0, 0, 0], [0, 3, 0, 0, 0, 0, 0, 0]]
    expected = make(counts).fit(tidy, LOGGED[:2])
    for X in (texts, messy, dense):
        model = make(counts if X is messy else X).fit(X, LOGGED[: np.shape(X)[0]])
        answers(model, X)
        if X is messy:
            assert_same_distribution(model.token_log_prob_, expected.token_log_prob_)
            assert_same_answers(answers(model, X), answers(expected, tidy))
    assert texts == TEXTS
    assert_array_equal(dense, before[1])
    for part in ("data", "indices", "indptr"):
        assert_array_equal(getattr(messy, part), getattr(before[0], part))


def test_sparse_counts_are_never_made_dense():
    # 50,000 documents of a million columns would be 400 GB.
    X = sparse.random_array((50_000, 1_000_000), density=1e-6, rng=0, format="csr")
    model = UnigramLM().fit(X)
    assert model.score_samples(X).shape == (50_000,)
    assert model.predict_log_proba(X).strides[0] == 0
    assert np.isfinite(SFTRefiner(FrozenEstimator(model)).fit(X).perplexity(X))


def test_the_users_vectorizer_is_cloned_unless_frozen():
    plain, fitted = TokenCounter(lowercase=True), TokenCounter().fit(["cat dog"])
    model = UnigramLM(vectorizer=plain).fit(["The the"])
    assert not hasattr(plain, "vocabulary_")
    assert list(model.vectorizer_.get_feature_names_out()) == ["<unk>", "the"]
    model = UnigramLM(vectorizer=fitted).fit(["the"])
    assert list(fitted.get_feature_names_out()) == ["<unk>", "cat", "dog"]
    assert list(model.vectorizer_.get_feature_names_out()) == ["<unk>", "the"]
    model = UnigramLM(vectorizer=FrozenEstimator(fitted)).fit(["the"])
    assert list(model.vectorizer_.get_feature_names_out()) == ["<unk>", "cat", "dog"]
    assert_array_equal(model.token_count_, [1, 0, 0])


@pytest.mark.parametrize("kind", ["UnigramLM", "SFTRefiner", "PPOPolicyOptimizer"])
def test_frozen_vectorizer_names_the_columns_of_counts(kind, counts):
    frozen = FrozenEstimator(TokenCounter().fit(TEXTS))
    model = ESTIMATORS[kind](counts).set_params(vectorizer=frozen).fit(counts, LOGGED)
    on_text = ESTIMATORS[kind](TEXTS).fit(TEXTS, LOGGED)
    assert model.predict(TEXTS)[0] == on_text.predict(TEXTS)[0]
    assert_same_answers(answers(model, TEXTS), answers(on_text, TEXTS))
    with pytest.raises(ValueError, match=r"counts of 7 columns.*frozen vectorizer knows 8 tokens"):
        clone(model).fit(counts[:, :7], LOGGED)


def test_counts_in_a_frame_have_the_order_of_the_vectorizer(make, counts):
    names = TokenCounter().fit(TEXTS).get_feature_names_out()
    frame = pd.DataFrame(counts.toarray(), columns=names)
    model = make(TEXTS).fit(TEXTS, LOGGED)
    assert_same_answers(answers(model, frame), answers(model, TEXTS))
    for method in METHODS:
        with pytest.raises(ValueError, match=r"named otherwise.* column 0, 'the' and '<unk>'"):
            getattr(model, method)(frame[names[::-1]])
    frozen = FrozenEstimator(TokenCounter().fit(TEXTS))
    assert_array_equal(UnigramLM(vectorizer=frozen).fit(frame).token_count_, counts.sum(axis=0))
    with pytest.raises(ValueError, match="UnigramLM got counts whose columns are named otherwise"):
        UnigramLM(vectorizer=frozen).fit(frame[names[::-1]])


def test_refit_forgets_the_words_and_names_of_the_earlier_fit(make, counts):
    frame = pd.DataFrame(counts.toarray(), columns=list("abcdefgh"))
    model = make(counts).fit(frame, LOGGED).fit(counts, LOGGED)
    assert not hasattr(model, "feature_names_in_")
    assert model.vectorizer_ is None
    model = UnigramLM().fit(TEXTS).fit(frame)
    assert model.vectorizer_ is None
    assert not hasattr(model.fit(TEXTS), "feature_names_in_")


def test_any_vectorizer_of_counts_will_do():
    model = UnigramLM(vectorizer=CountVectorizer(ngram_range=(1, 2))).fit(TEXTS)
    assert "the cat" in model.vectorizer_.get_feature_names_out()
    hashed = UnigramLM(vectorizer=HashingVectorizer(n_features=16, norm=None, alternate_sign=False))
    assert hashed.fit(TEXTS).n_features_in_ == 16
    assert hashed.predict(TEXTS).dtype.kind == "i"
    assert_is_document_term_matrix(hashed.sample(3, random_state=0), (3, 16))


def test_vectorizer_of_negative_numbers_is_refused_by_name():
    signed = HashingVectorizer(n_features=64)
    with pytest.raises(ValueError, match=r"UnigramLM got -0\.\d+ as a count .*HashingVectorizer"):
        UnigramLM(vectorizer=signed).fit(TEXTS)


BASED = {
    "SFTRefiner": lambda base, **params: SFTRefiner(base, **params),
    "PPOPolicyOptimizer": lambda policy, **params: make_policy(policy, **params),
}


@pytest.mark.parametrize("name", BASED)
class TestBase:
    """What holds for an incoming model, whichever estimator takes it."""

    def test_its_vocabulary_is_used(self, name):
        model = BASED[name](make_base(TEXTS)).fit(["cat bird"], [1.0])
        assert "bird" not in model.vectorizer_.get_feature_names_out()
        assert model.n_features_in_ == 8

    def test_counts_get_its_words(self, name, counts):
        model = BASED[name](make_base(TEXTS)).fit(counts, LOGGED)
        assert_same_answers(answers(model, TEXTS), answers(model, counts))

    def test_an_unfrozen_fitted_one_is_taken_as_it_is(self, name):
        base = UnigramLM().fit(TEXTS)
        plain = BASED[name](base).fit(TEXTS, LOGGED)
        frozen = BASED[name](FrozenEstimator(base)).fit(TEXTS, LOGGED)
        assert_array_equal(plain.token_log_prob_, frozen.token_log_prob_)

    def test_it_is_left_as_it_was(self, name):
        base = UnigramLM().fit(TEXTS)
        before = copy.deepcopy(vars(base))
        BASED[name](FrozenEstimator(base)).fit(["cat cat"], [1.0]).token_log_prob_[:] = 0
        assert vars(base).keys() == before.keys()
        assert_array_equal(base.token_log_prob_, before["token_log_prob_"])
        assert_array_equal(base.token_count_, before["token_count_"])

    @pytest.mark.parametrize("wrap", [lambda model: model, FrozenEstimator])
    def test_unfitted_one_says_how_to_freeze(self, name, wrap):
        with pytest.raises(
            NotFittedError, match=r"fitted policy, .* pass policy=FrozenEstimator\("
        ):
            BASED[name](wrap(UnigramLM())).fit(TEXTS, LOGGED)

    def test_another_kind_of_model_is_refused(self, name):
        other = MultinomialNB().fit([[1, 0], [0, 1]], [0, 1])
        with pytest.raises(TypeError, match=r"language model as policy.*got MultinomialNB"):
            BASED[name](FrozenEstimator(other)).fit([[1, 2]], [1.0])

    def test_text_needs_words(self, name, counts):
        with pytest.raises(ValueError, match=r"its policy was fitted on counts .* 8 columns"):
            BASED[name](make_base(counts)).fit(TEXTS, LOGGED)
        frozen = FrozenEstimator(TokenCounter().fit(TEXTS))
        model = BASED[name](make_base(counts), vectorizer=frozen).fit(TEXTS, LOGGED)
        assert model.predict(TEXTS)[0] in frozen.get_feature_names_out()

    def test_other_numbers_of_columns_are_refused(self, name, counts):
        message = r"documents of 7 columns, but its policy \(UnigramLM\) has 8"
        with pytest.raises(ValueError, match=message):
            BASED[name](make_base(counts)).fit(counts[:, :7], LOGGED)

    def test_another_vocabulary_of_the_same_size_is_refused(self, name):
        other = FrozenEstimator(TokenCounter().fit(["q r s t u v w"]))
        message = r"named otherwise than those of its policy: .* column 1, 'q' and 'a'"
        with pytest.raises(ValueError, match=message):
            BASED[name](make_base(TEXTS), vectorizer=other).fit(["q r"], [1.0])

    def test_frames_with_other_columns_are_refused(self, name):
        base = make_base(pd.DataFrame([[1, 2]], columns=["a", "b"]))
        with pytest.raises(ValueError, match="column 0, 'b' and 'a'"):
            BASED[name](base).fit(pd.DataFrame([[1, 2]], columns=["b", "a"]), [1.0])


def test_freeze_and_unwrap_are_inverse():
    model = UnigramLM()
    assert unwrap(FrozenEstimator(FrozenEstimator(model))) is model
    frozen = freeze(model)
    assert freeze(frozen) is frozen
    assert unwrap(frozen) is model


def test_check_fitted_model_names_parameter_and_subject():
    fitted = Ridge().fit([[0.0], [1.0]], [0.0, 1.0])
    assert check_fitted_model(FrozenEstimator(fitted), parameter="p", subject="S") is fitted
    check_is_fitted(fitted)
    message = re.escape("S needs a fitted p, got an unfitted Ridge.")
    with pytest.raises(NotFittedError, match=message):
        check_fitted_model(Ridge(), parameter="p", subject="S")


def test_as_csr_shares_what_is_canonical_and_copies_what_is_not():
    tidy = sparse.csr_array(np.array([[1.0, 0.0], [2.0, 3.0]]))
    assert np.shares_memory(as_csr(tidy).data, tidy.data)
    zeros = sparse.csr_array((np.array([0.0, 1.0]), np.array([0, 1]), np.array([0, 1, 2])))
    assert_is_document_term_matrix(as_csr(zeros), (2, 2))
    assert zeros.nnz == 2
