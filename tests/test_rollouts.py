"""Documents drawn from a policy: their forms agree, and their law is the policy's."""

import numpy as np
import pytest
from assertions import assert_frequencies_agree, assert_is_document_term_matrix
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import CountVectorizer

from sklearn_codex._categorical import normalize_log, safe_log
from sklearn_codex._rollouts import Rollouts, sample_rollouts

NAMES = np.array(["<eos>", "a", "b", "c", "d"], dtype=object)


@st.composite
def batches(draw):
    rows = draw(
        st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=7), min_size=1, max_size=8)
    )
    return rows, Rollouts(np.concatenate(rows), np.array([len(row) for row in rows]), 5, NAMES)


@given(batches())
def test_counts_texts_and_sums_agree_with_the_rows_of_tokens(batch):
    rows, rollouts = batch
    tokens = rollouts.tokens.copy()
    assert len(rollouts) == len(rows)
    assert_is_document_term_matrix(rollouts.counts, (len(rows), 5))
    assert_array_equal(rollouts.counts.toarray(), [np.bincount(row, minlength=5) for row in rows])
    assert rollouts.texts == [" ".join(NAMES[row]) for row in rows]
    values = np.array([0.5, -1.0, 3.0, 0.0, 7.0])
    assert_allclose(rollouts.sum_over_tokens(values), [values[row].sum() for row in rows])
    assert_allclose(rollouts.sum_over_tokens(values), rollouts.counts @ values)
    counter = CountVectorizer(
        vocabulary=list(NAMES), tokenizer=str.split, token_pattern=None, lowercase=False
    )
    assert_array_equal(counter.transform(rollouts.texts).toarray(), rollouts.counts.toarray())
    # sum_duplicates sorts its arrays in place: the tokens have to be another array.
    assert_array_equal(rollouts.tokens, tokens)


def test_counts_have_the_indices_that_every_solver_takes():
    counts = sample_rollouts(np.log([0.5, 0.5]), 3, np.random.RandomState(0), length=4).counts
    assert counts.indices.dtype == counts.indptr.dtype == np.int32


def test_texts_need_names():
    with pytest.raises(ValueError, match="policy fitted on counts have no text"):
        _ = Rollouts(np.array([0]), np.array([1]), 2).texts


def test_end_is_left_out_of_texts_and_stays_in_counts():
    rollouts = Rollouts(np.array([1, 2, 0, 0, 3, 3]), np.array([3, 1, 2]), 5, NAMES, eos=0)
    assert rollouts.texts == ["a b", "", "c c"]
    assert_array_equal(rollouts.counts.toarray()[:, 0], [1, 1, 0])


def test_documents_have_the_length_asked_for_and_the_law_of_the_policy():
    log_prob = normalize_log([0.0, 1.0, -1.0, -np.inf, 0.5])
    rollouts = sample_rollouts(log_prob, 5000, np.random.RandomState(0), length=6)
    assert_array_equal(rollouts.lengths, np.full(5000, 6))
    assert_frequencies_agree(np.bincount(rollouts.tokens, minlength=5), np.exp(log_prob))


def test_tokens_of_a_document_are_independent():
    prob = np.array([0.2, 0.3, 0.5])
    rollouts = sample_rollouts(np.log(prob), 20_000, np.random.RandomState(0), length=2)
    first, second = rollouts.tokens.reshape(-1, 2).T
    assert_frequencies_agree(
        np.bincount(3 * first + second, minlength=9), np.outer(prob, prob).ravel()
    )


@pytest.mark.parametrize("p_eos", [0.05, 0.4, 0.7])
def test_with_an_end_lengths_are_geometric_and_cut(p_eos):
    log_prob = safe_log([p_eos, (1 - p_eos) / 4, 0, 3 * (1 - p_eos) / 4, 0])
    cut = 5
    rollouts = sample_rollouts(log_prob, 50_000, np.random.RandomState(0), length=cut, eos=0)
    law = p_eos * (1 - p_eos) ** np.arange(cut)
    law[-1] += (1 - p_eos) ** cut
    assert_frequencies_agree(np.bincount(rollouts.lengths - 1, minlength=cut), law)
    last = rollouts.tokens[rollouts.starts + rollouts.lengths - 1] == 0
    assert last[rollouts.lengths < cut].all()
    # Every end is the last token of its document, and of those of full length p_eos end.
    assert (rollouts.tokens == 0).sum() == last.sum()
    full = rollouts.lengths == cut
    assert_frequencies_agree([last[full].sum(), (~last[full]).sum()], [p_eos, 1 - p_eos])
    body = rollouts.tokens[rollouts.tokens != 0]
    assert_frequencies_agree(np.bincount(body, minlength=5), [0, 0.25, 0, 0.75, 0])


@pytest.mark.parametrize(
    ("log_prob", "length"),
    [
        ([0.0, -np.inf], 1),  # nothing but the end
        ([-np.inf, 0.0], 9),  # no end at all
        ([-1e5, 0.0], 9),  # an end whose probability is no float
        ([-45.0, 0.0], 9),  # one that a 64-bit geometric draw overflows on
    ],
)
def test_lengths_hold_where_the_end_is_certain_or_hopeless(log_prob, length):
    rollouts = sample_rollouts(np.array(log_prob), 100, np.random.RandomState(0), length=9, eos=0)
    assert_array_equal(rollouts.lengths, np.full(100, length))
    assert_array_equal(rollouts.tokens, np.full(100 * length, 0 if length == 1 else 1))


@pytest.mark.parametrize("eos", [None, 0])
def test_same_seed_same_tokens(eos):
    def draw(seed):
        rng = np.random.RandomState(seed)
        return sample_rollouts(np.log([0.3, 0.3, 0.4]), 50, rng, length=8, eos=eos).tokens

    assert_array_equal(draw(0), draw(0))
    assert not np.array_equal(draw(0), draw(1))
