"""The one door for numbers: index arrays that point outside never reach a compiled loop."""

import importlib

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    AnnotatorRewardModel,
    BootstrapRewardEnsemble,
    DPOPolicyOptimizer,
    ExactPolicyOptimizer,
    PairsWithLength,
    PairVectorizer,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    RewardUncertainty,
    SFTRefiner,
    TiePreferenceModel,
    TokenCounter,
    UnigramLM,
    balance_positions,
)
from sklearn_codex._checks.matrices import as_csr, check_sparse
from sklearn_codex.exact import bigram_model
from sklearn_codex.health import check_preferences
from sklearn_codex.inspection import LengthBiasDisplay, PromptLearningCurveDisplay
from sklearn_codex.labels import expand_soft_labels, orient_pairs

RNG = np.random.RandomState(0)
COUNTS = RNG.poisson(0.7, size=(24, 5)) + np.eye(24, 5)
COUNTS[:, 4] += 1  # no document is empty
LABELS = np.arange(24) % 2
PROMPTS = np.repeat(np.arange(8), 3)


def make(kind=sp.csr_array, dense=COUNTS):
    return kind(dense, dtype=np.float64)


def put(name, position, value, kind=sp.csr_array):
    """Return a maker of a matrix with one entry of one of its arrays replaced."""

    def maker():
        X = make(kind)
        array = getattr(X, name)
        array[position] = value
        return X

    return maker


def replace(name, change, kind=sp.csr_array):
    """Return a maker of a matrix with one of its arrays changed by a function."""

    def maker():
        X = make(kind)
        setattr(X, name, change(getattr(X, name)))
        return X

    return maker


def with_bad_keys():
    X = make(sp.dok_array)
    X._dict[(10**8, 3)] = 1.0
    return X


MALFORMED = {
    "far outside": put("indices", 0, 10**8),
    "one outside": put("indices", 3, 5),
    "negative": put("indices", 0, -1),
    "most negative": put("indices", 0, np.iinfo(np.int32).min),
    "of a csr_matrix": put("indices", 0, 10**8, sp.csr_matrix),
    "indptr falls": put("indptr", 2, 0),
    "indptr outside": put("indptr", 2, 10**8),
    "indptr negative": put("indptr", 2, -5),
    "indptr begins late": put("indptr", 0, 1),
    "indptr ends early": put("indptr", -1, 3),
    "indptr ends late": put("indptr", -1, 10**6),
    "indptr short": replace("indptr", lambda a: a[:-1]),
    "indptr long": replace("indptr", lambda a: np.append(a, a[-1])),
    "indptr empty": replace("indptr", lambda a: a[:0]),
    "indices short": replace("indices", lambda a: a[:-1]),
    "indices long": replace("indices", lambda a: np.append(a, 0)),
    "data short": replace("data", lambda a: a[:-1]),
    "data 2-D": replace("data", lambda a: a[:, np.newaxis]),
    "data of text": replace("data", lambda a: a.astype(str)),
    "data of objects": replace("data", lambda a: a.astype(object)),
    "data complex": replace("data", lambda a: a * 1j),
    "no data": replace("data", lambda a: None),
    "indices of floats": replace("indices", lambda a: a.astype(float)),
    "indices of NaN": replace("indices", lambda a: a * np.nan),
    "indices of bool": replace("indices", lambda a: a > 0),
    "indices of objects": replace("indices", lambda a: a.astype(object)),
    "huge unsigned": replace("indices", lambda a: a.astype(np.uint64) + np.uint64(2**63)),
    "indptr of objects": replace("indptr", lambda a: a.astype(object)),
    "CSC": put("indices", 0, 10**8, sp.csc_array),
    "CSC indptr": put("indptr", 2, 10**8, sp.csc_array),
    "BSR": put("indices", 0, 10**8, sp.bsr_array),
    "BSR of other blocks": replace("data", lambda a: np.ones((len(a), 7, 7)), sp.bsr_array),
    "BSR 1-D": replace("data", np.ravel, sp.bsr_array),
    "COO row": replace("coords", lambda a: (a[0] + 10**8, a[1]), sp.coo_array),
    "COO column": replace("coords", lambda a: (a[0], a[1] - 1), sp.coo_array),
    "COO short": replace("coords", lambda a: (a[0][:-1], a[1]), sp.coo_array),
    "DOK": with_bad_keys,
    "DIA offsets": replace("offsets", lambda a: a[:-1], sp.dia_array),
    "DIA of NaN": replace("offsets", lambda a: a * np.nan, sp.dia_array),
    "LIL column": put("rows", 0, [99] * len(make(sp.lil_array).rows[0]), sp.lil_array),
    "LIL short": put("rows", 0, [], sp.lil_array),
    "LIL long": put("data", 0, [1.0] * 10**5, sp.lil_array),
    "LIL without rows": replace("rows", lambda a: a[:3], sp.lil_array),
    "LIL of None": put("rows", 0, None, sp.lil_array),
}


def unsorted():
    X = make()
    return sp.csr_array((X.data[::-1], X.indices[::-1], X.nnz - X.indptr[::-1]), X.shape)[::-1]


def repeated():
    X = make()
    twice = (np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), X.indptr * 2)
    return sp.csr_array(twice, X.shape)


def with_zeros():
    X = make(dense=COUNTS + 1.0)
    X.data -= 1.0
    return X


def read_only():
    X = repeated()
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    return X


WELL_FORMED = {
    **{kind: lambda kind=kind: make().asformat(kind) for kind in
       ("csr", "csc", "coo", "bsr", "dia", "dok", "lil")},
    "csr_matrix": lambda: make(sp.csr_matrix),
    "int64 indices": replace("indices", lambda a: a.astype(np.int64)),
    "int64 indptr": replace("indptr", lambda a: a.astype(np.int64)),
    "uint8 indices": replace("indices", lambda a: a.astype(np.uint8)),
    "other byte order": replace("indices", lambda a: a.astype(">i4")),
    "data of other byte order": replace("data", lambda a: a.astype(">f8")),
    "float16": replace("data", lambda a: a.astype(np.float16)),
    "bool of ones": lambda: make(dense=COUNTS),
    "unsorted": unsorted,
    "repeated": repeated,
    "with zeros": with_zeros,
    "read only": read_only,
}  # fmt: skip


def arrays_of(X):
    return [getattr(X, name).copy() for name in ("data", "indices", "indptr") if hasattr(X, name)]


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_malformed_is_told(kind):
    with pytest.raises(ValueError, match=r"UnigramLM got a malformed sparse .* Build it anew"):
        UnigramLM().fit(MALFORMED[kind]())


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match=r"indices\[3\] is 5, which is not between 0 and 4"):
        check_sparse(MALFORMED["one outside"](), subject="me")
    with pytest.raises(ValueError, match=r"begins with 0 and ends with 3, not .* entries, \d+"):
        check_sparse(MALFORMED["indptr ends early"](), subject="me")
    with pytest.raises(ValueError, match=r"falls from \d+ to 0 at position 2"):
        check_sparse(MALFORMED["indptr falls"](), subject="me")
    with pytest.raises(ValueError, match=r"2-D matrix, got a sparse COO array of shape \(3,\)"):
        check_sparse(sp.coo_array([1.0, 0.0, 2.0]), subject="me")


@pytest.mark.parametrize("kind", WELL_FORMED)
def test_every_form_is_the_same_matrix(kind):
    X = WELL_FORMED[kind]()
    before = arrays_of(X)
    counts = as_csr(check_sparse(X, subject="me"))
    assert counts.dtype == np.float64
    assert counts.has_canonical_format
    assert counts.data.all()
    assert_array_equal(counts.toarray(), COUNTS)
    for array, then in zip(arrays_of(X), before, strict=True):
        assert_array_equal(array, then)
        assert array.dtype == then.dtype


def test_canonical_counts_are_shared_not_copied():
    X = make()
    assert np.shares_memory(as_csr(check_sparse(X, subject="me")).data, X.data)


LM = FrozenEstimator(UnigramLM().fit(COUNTS))


def policy(cls, **params):
    return cls(policy=LM, reward_model=FrozenEstimator(REWARD), **params)


REWARD = PreferenceRewardModel().fit(COUNTS - 1.5, LABELS)

# What takes a matrix, each returning numbers of it.
DOORS = {
    "TokenCounter": lambda X: TokenCounter().fit(X).transform(X).toarray(),
    "UnigramLM": lambda X: UnigramLM().fit(X).score_samples(X),
    "UnigramLM.partial_fit": lambda X: UnigramLM().partial_fit(X).token_log_prob_,
    "UnigramLM.predict": lambda X: LM.predict_log_proba(X),
    "SFTRefiner": lambda X: SFTRefiner(policy=LM).fit(X).token_log_prob_,
    "PreferenceRewardModel": lambda X: PreferenceRewardModel().fit(X, LABELS).coef_,
    "partial_fit": lambda X: PreferenceRewardModel().partial_fit(X, LABELS).coef_,
    "predict_proba": lambda X: REWARD.predict_proba(X),
    "reward": lambda X: REWARD.reward(X),
    "score": lambda X: REWARD.score(X, LABELS),
    "position_bias": lambda X: PreferenceRewardModel(position_bias=True, control_length=True)
    .fit(PairsWithLength(X, np.arange(24) % 5), LABELS).coef_,
    "CV": lambda X: PreferenceRewardModelCV(Cs=2, cv=2).fit(X, LABELS).coef_,
    "CV by a callable": lambda X: PreferenceRewardModelCV(
        Cs=2, cv=2, scoring=lambda model, X, y: model.score(X, y)
    ).fit(X, LABELS).coef_,
    "ensemble": lambda X: BootstrapRewardEnsemble(n_estimators=2, random_state=0)
    .fit(X, LABELS).predict_margin(X),
    "ensemble, parallel": lambda X: BootstrapRewardEnsemble(
        n_estimators=2, random_state=0, n_jobs=2
    ).fit(X, LABELS).predict_margin(X),
    "uncertainty": lambda X: RewardUncertainty().fit(X, LABELS).predict_margin(X),
    "annotators": lambda X: AnnotatorRewardModel().fit(X, LABELS, annotators=PROMPTS).coef_,
    "ties": lambda X: TiePreferenceModel().fit(X, LABELS).coef_,
    "PairVectorizer": lambda X: as_csr(PairVectorizer().fit_transform(X)).toarray(),
    "DPO": lambda X: DPOPolicyOptimizer(policy=LM).fit(X, LABELS).token_log_prob_,
    "exact": lambda X: policy(ExactPolicyOptimizer).fit(X).token_log_prob_,
    "PPO": lambda X: policy(PPOPolicyOptimizer, max_iter=2, tol=0, random_state=0)
    .fit(X).token_log_prob_,
    "balance_positions": lambda X: as_csr(balance_positions(X, random_state=0)[0]).toarray(),
    "orient_pairs": lambda X: as_csr(orient_pairs(X, LABELS).X).toarray(),
    "expand_soft_labels": lambda X: as_csr(expand_soft_labels(X, LABELS).X).toarray(),
    "health": lambda X: len(check_preferences(X, LABELS, groups=PROMPTS).findings),
    "length display": lambda X: LengthBiasDisplay.from_estimator(REWARD, X, LABELS, n_bins=2)
    .length_difference,
    "learning curve": lambda X: PromptLearningCurveDisplay.from_estimator(
        PreferenceRewardModel(), X, LABELS, groups=PROMPTS, train_sizes=[0.5, 1.0], cv=2,
        random_state=0,
    ).test_scores,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _without_a_screen():
    pytest.importorskip("matplotlib").use("Agg")
    yield
    importlib.import_module("matplotlib.pyplot").close("all")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", ["far outside", "indptr outside", "CSC", "COO row", "LIL long"])
def test_no_door_lets_a_malformed_matrix_in(door, kind):
    with pytest.raises(ValueError, match="malformed sparse"):
        DOORS[door](MALFORMED[kind]())


def mapped(X, folder):
    """Return a matrix whose arrays are read-only maps of a file, as joblib's workers get them."""
    path = folder / f"{len(list(folder.iterdir()))}.joblib"
    joblib.dump(X, path)
    return joblib.load(path, mmap_mode="r")


def locked(X):
    for array in [X] if isinstance(X, np.ndarray) else [X.data, X.indices, X.indptr]:
        array.flags.writeable = False
    return X


@pytest.mark.parametrize("door", DOORS)
def test_what_cannot_be_written_to_gives_the_same(door, tmp_path):
    expected = DOORS[door](COUNTS)
    forms = [
        locked(COUNTS.copy()),
        mapped(COUNTS, tmp_path),
        locked(make()),
        mapped(make(), tmp_path),
        mapped(make(sp.csc_matrix), tmp_path),
        mapped(repeated(), tmp_path),
        locked(unsorted()),
        locked(with_zeros()),
    ]
    for X in forms:
        assert_allclose(DOORS[door](X), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("door", DOORS)
def test_what_is_given_is_left_as_it_is(door):
    for kind in (repeated, unsorted, with_zeros):
        X = kind()
        before = arrays_of(X)
        DOORS[door](X)
        for array, then in zip(arrays_of(X), before, strict=True):
            assert_array_equal(array, then)


def test_transitions_are_a_door_too():
    def transition():
        return sp.csr_array(np.full((3, 3), 1 / 3))

    expected = np.full((3, 3), 1 / 3)
    model = bigram_model(locked(transition()), np.full(3, 1 / 3))
    contexts = model.trie.context_of_arc[:3]
    assert_allclose(np.exp(model.next_log_prob(contexts)), expected)
    X = transition()
    X.indices[0] = 10**8
    with pytest.raises(ValueError, match=r"bigram_model got a malformed .* as transition"):
        bigram_model(X, np.full(3, 1 / 3))


def test_a_vectorizer_is_a_door_too():
    class Careless(TokenCounter):
        def transform(self, X):
            counts = super().transform(X)
            counts.indices[0] = 10**8
            return counts

    texts = ["a b", "b c"]
    frozen = FrozenEstimator(Careless().fit(texts))
    with pytest.raises(ValueError, match=r"malformed .* as the counts of its vectorizer"):
        UnigramLM(vectorizer=frozen).fit(texts)
    with pytest.raises(ValueError, match=r"malformed .* as the counts of its vectorizer"):
        UnigramLM(vectorizer=Careless()).fit(texts).score(texts)
    with pytest.raises(ValueError, match=r"malformed .* as X to PreferenceRewardModel, once"):
        PreferenceRewardModel(vectorizer=frozen).fit([texts, texts[::-1]], [0, 1])


def test_blocks_of_a_dask_array_are_a_door_too():
    da = pytest.importorskip("dask.array")
    dask = pytest.importorskip("dask")
    blocks = [dask.delayed(MALFORMED[kind])() for kind in ("far outside", "indptr falls")]
    X = da.concatenate([
        da.from_delayed(block, shape=COUNTS.shape, meta=make()[:0]) for block in blocks
    ])  # fmt: skip
    with dask.config.set(scheduler="synchronous"):
        with pytest.raises(ValueError, match="UnigramLM got a malformed sparse CSR"):
            UnigramLM().fit(X)
        with pytest.raises(ValueError, match="PreferenceRewardModel got a malformed sparse CSR"):
            PreferenceRewardModel().fit(X, np.tile(LABELS, 2))


def test_columns_of_one_name_are_told():
    frame = pd.DataFrame(COUNTS, columns=["a", "b", "a", "c", "d"])
    for door in set(DOORS) - {"orient_pairs", "expand_soft_labels"}:
        with pytest.raises(ValueError, match=r" needs .* got several called 'a'"):
            DOORS[door](frame)
