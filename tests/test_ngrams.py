"""Tries of n-grams and back-off models on them, against dicts and enumeration."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from scipy.stats import chisquare

from sklearn_codex._ngrams.lookup import KeyTable, find_keys
from sklearn_codex._ngrams.matrices import count_pairs
from sklearn_codex._ngrams.smoothing import additive, dirichlet, kneser_ney, refine, witten_bell
from sklearn_codex._ngrams.table import Level, NGramTable, _rank, count_ngrams, join_tables
from sklearn_codex._ngrams.trie import Trie, build_trie

START = "start"


def random_documents(seed, n_tokens=4, n_documents=30, *, eos=True, longest=9):
    """Ids of random documents, each behind the other, and where they start."""
    rng = np.random.RandomState(seed)
    rows = rng.dirichlet(np.full(n_tokens - eos, 0.5), n_tokens - eos)
    documents = []
    for length in rng.randint(0, longest, n_documents):
        document = [0]
        for _ in range(length):
            document.append(rng.choice(n_tokens - eos, p=rows[document[-1]]))
        documents.append([int(t) for t in document[1:]] + [n_tokens - 1] * eos)
    return documents


def joined(documents):
    starts = np.cumsum([0, *map(len, documents)])
    return np.array([t for document in documents for t in document], int), starts


def ngrams_of(document, order):
    """Every n-gram of a document with the place it ends at, one START before all."""
    marked = (START, *document)
    for end in range(1, len(marked)):
        for length in range(1, min(order, end + 1) + 1):
            yield marked[end + 1 - length : end + 1]


def tokens_of(trie, arc):
    names = [START if t == -2 else int(t) for t in trie.ngrams(np.array([arc]))[0] if t != -1]
    return tuple(names)


def contexts_by_name(trie):
    names = {0: ()}
    for context in range(1, trie.n_contexts):
        arc = trie.arc_of_context[context]
        names[context] = (START,) if arc < 0 else tokens_of(trie, arc)
    return names


@pytest.mark.parametrize("n_keys", [1, 7, 5_000])
def test_a_table_finds_what_searching_finds(n_keys):
    rng = np.random.RandomState(n_keys)
    keys = np.unique(rng.randint(0, 4 * n_keys, n_keys)).astype(np.int64)
    wanted = rng.randint(0, 4 * n_keys, 3 * n_keys).astype(np.int64)
    expected = find_keys(keys, wanted)
    assert (expected >= 0).any() or n_keys == 1
    np.testing.assert_array_equal(KeyTable(keys).find(wanted), expected)
    np.testing.assert_array_equal(KeyTable(keys).find(keys), np.arange(len(keys)))


def test_a_table_of_many_arcs_gives_the_same_walk(monkeypatch):
    ids, starts = joined(random_documents(0, n_tokens=9, n_documents=60))
    others = joined(random_documents(1, n_tokens=9))
    expected = build_trie(ids, starts, 9, order=3, eos=8).events(*others)
    monkeypatch.setattr("sklearn_codex._ngrams.trie._FEW_ARCS", 0)
    trie = build_trie(ids, starts, 9, order=3, eos=8)
    assert (trie.events(*others) != expected).nnz == 0
    assert "_table" in vars(trie)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("eos", [True, False])
def test_trie_holds_the_ngrams_of_documents(order, eos):
    documents = random_documents(order, eos=eos)
    ids, starts = joined(documents)
    trie = build_trie(ids, starts, 4, order=order, eos=3 if eos else -1)
    counts = Counter(g for document in documents for g in ngrams_of(document, order))
    arcs = {tokens_of(trie, arc): arc for arc in range(trie.n_arcs)}
    assert set(arcs) == set(counts) | {(t,) for t in range(4)}
    raw = trie.raw_counts(trie.events(ids, starts).sum(axis=0))
    for ngram, arc in arcs.items():
        assert raw[arc] == counts[ngram]
        assert trie.lower[arc] == (arcs[ngram[1:]] if len(ngram) > 1 else -1)
    names = contexts_by_name(trie)
    assert set(names.values()) == {ngram[:-1] for ngram in arcs}
    for context, name in names.items():
        assert trie.context_length[context] == len(name)
        assert context == 0 or names[trie.suffix[context]] == name[1:]
    known = set(names.values())
    for ngram, arc in arcs.items():
        if eos and ngram[-1] == 3:
            assert trie.next[arc] == -1
        else:
            longest = next(ngram[i:] for i in range(len(ngram) + 1) if ngram[i:] in known)
            assert names[trie.next[arc]] == longest


def events_by_hand(trie, document, eos):
    """The events of a document, found one token after the other."""
    arcs = {tokens_of(trie, arc): arc for arc in range(trie.n_arcs)}
    contexts = {name: context for context, name in contexts_by_name(trie).items()}
    row = np.zeros(trie.n_events)
    history = (START,)
    is_over = False
    for token in (*document, None):
        name = next(history[i:] for i in range(len(history) + 1) if history[i:] in contexts)
        if token in (eos, None) and not is_over:
            is_over = True
            if name:
                row[trie.n_arcs + trie.n_contexts - 1 + contexts[name] - 1] += 1
        if token is None:
            break
        while (*name, token) not in arcs:
            row[trie.n_arcs + contexts[name] - 1] += 1
            name = name[1:]
        row[arcs[*name, token]] += 1
        history = (*history, token)
    return row


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("eos", [3, -1])
@pytest.mark.parametrize("min_count", [1, 2])
def test_events_of_documents(order, eos, min_count):
    ids, starts = joined(random_documents(order, eos=eos >= 0))
    trie = build_trie(ids, starts, 4, order=order, eos=eos, min_count=min_count)
    others = [[], *random_documents(order + 10, eos=eos >= 0)]
    events = trie.events(*joined(others))
    assert events.has_canonical_format
    expected = [events_by_hand(trie, document, eos) for document in others]
    np.testing.assert_array_equal(events.toarray(), expected)
    lengths = [len(document) for document in others]
    np.testing.assert_array_equal(events[:, : trie.n_arcs].sum(axis=1), lengths)


def test_pruning_keeps_prefixes_and_suffixes():
    ids, starts = joined(random_documents(0, n_tokens=6, n_documents=60))
    full, _ = count_ngrams(ids, starts, 6, 4)
    for kept in (full.prune(min_count=3), full.prune(max_ngrams=40)):
        trie = Trie.of_table(kept, eos=5)
        arcs = {tokens_of(trie, arc) for arc in range(trie.n_arcs)}
        assert all(ngram[1:] in arcs for ngram in arcs if len(ngram) > 1)
        contexts = {ngram[:-1] for ngram in arcs} - {(), (START,)}
        assert contexts <= arcs
    assert Trie.of_table(full.prune(max_ngrams=40)).n_arcs == 46
    counts = np.concatenate([level.counts for level in full.levels])
    kept = np.concatenate([level.counts for level in full.prune(max_ngrams=40).levels])
    np.testing.assert_array_equal(np.sort(kept), np.sort(counts)[-40:])


def test_tables_of_parts_join_to_that_of_all():
    documents = random_documents(3, n_documents=40)
    whole, _ = count_ngrams(*joined(documents), 4, 3)
    parts = [count_ngrams(*joined(documents[i::3]), 4, 3)[0] for i in range(3)]
    for level, expected in zip(join_tables(parts).levels, whole.levels, strict=True):
        np.testing.assert_array_equal(level.keys, expected.keys)
        np.testing.assert_array_equal(level.counts, expected.counts)
    # What shorter n-grams are is known from counting, or found.
    tries = [Trie.of_table(table) for table in (join_tables(parts), without_lower(whole))]
    np.testing.assert_array_equal(tries[0].lower, tries[1].lower)
    np.testing.assert_array_equal(tries[0].next, tries[1].next)


def without_lower(table):
    return NGramTable(
        table.n_tokens, tuple(Level(level.keys, level.counts) for level in table.levels)
    )


@pytest.mark.parametrize("chunk_size", [1, 7, 1 << 16])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_counting_knows_the_longest_ngram_at_each_token(order, chunk_size):
    ids, starts = joined(random_documents(order))
    table, arcs = count_ngrams(ids, starts, 4, order, chunk_size=chunk_size)
    trie = Trie.of_table(table, eos=3)
    np.testing.assert_array_equal(arcs, trie.walk(ids, starts).arcs)
    whole, _ = count_ngrams(ids, starts, 4, order)
    for level, expected in zip(table.levels, whole.levels, strict=True):
        np.testing.assert_array_equal(level.keys, expected.keys)
        np.testing.assert_array_equal(level.counts, expected.counts)


def test_tokens_of_tables_may_become_one():
    documents = random_documents(4, n_documents=40)
    column = np.array([2, 0, 2, 1])
    renamed = [[int(column[t]) for t in document] for document in documents]
    whole, _ = count_ngrams(*joined(renamed), 3, 3)
    table, _ = count_ngrams(*joined(documents), 4, 3)
    for level, expected in zip(
        join_tables([table], columns=[column], n_tokens=3).levels, whole.levels, strict=True
    ):
        np.testing.assert_array_equal(level.keys, expected.keys)
        np.testing.assert_array_equal(level.counts, expected.counts)


@pytest.mark.parametrize("order", [2, 3])
def test_projection_is_the_count_of_a_lower_order(order):
    ids, starts = joined(random_documents(5))
    trie = build_trie(ids, starts, 4, order=4, eos=3)
    lower = trie.truncate(order)
    others = joined(random_documents(6))
    projected = trie.events(*others) @ trie.projection(lower)
    np.testing.assert_array_equal(projected.toarray(), lower.events(*others).toarray())
    np.testing.assert_array_equal(lower.next, build_trie(ids, starts, 4, order=order, eos=3).next)


def test_cumulative_counts_are_counts_of_ngrams():
    documents = random_documents(7)
    ids, starts = joined(documents)
    trie = build_trie(ids, starts, 4, order=3, eos=3)
    counts = (trie.events(ids, starts) @ trie.cumulative).toarray()
    for row, document in zip(counts, documents, strict=True):
        expected = Counter(ngrams_of(document, 3))
        found = {tokens_of(trie, arc): row[arc] for arc in np.flatnonzero(row)}
        assert found == dict(expected)


def kneser_ney_by_hand(documents, order, n_tokens, discounts):
    """P(token | history) by dicts and recursion, from the definition."""
    counts = [Counter() for _ in range(order + 1)]
    raw = Counter(g for document in documents for g in ngrams_of(document, order))
    for ngram, count in raw.items():
        if len(ngram) == order or ngram[0] == START:
            counts[len(ngram)][ngram] += count
        else:
            counts[len(ngram)][ngram] = sum(
                1 for other in raw if len(other) == len(ngram) + 1 and other[1:] == ngram
            )

    def off(count, length):
        return discounts[length - 1][min(count, 3) - 1] if count else 0.0

    def prob(token, history):
        shorter = prob(token, history[1:]) if history else 1.0 / n_tokens
        length = len(history) + 1
        seen = {g: c for g, c in counts[length].items() if g[:-1] == history}
        if not seen:
            return shorter
        total = sum(seen.values())
        count = seen.get((*history, token), 0)
        gamma = sum(off(c, length) for c in seen.values()) / total
        return (count - off(count, length)) / total + gamma * shorter

    return prob


@pytest.mark.parametrize("order", [1, 2, 3])
def test_kneser_ney_by_dicts(order):
    documents = random_documents(8, n_documents=60)
    ids, starts = joined(documents)
    trie = build_trie(ids, starts, 4, order=order, eos=3)
    model, found = kneser_ney(trie, trie.events(ids, starts).sum(axis=0))
    prob = kneser_ney_by_hand(documents, order, 4, found.values)
    for context, name in contexts_by_name(trie).items():
        row = np.exp(model.next_log_prob(np.array([context])))[0]
        np.testing.assert_allclose(row, [prob(t, name) for t in range(4)], rtol=1e-12)


def test_discounts_follow_counts_of_counts():
    trie = Trie.of_root(10)
    # Counts of 1, 2, 3, 4 in 4, 2, 1, 1 types: Y = 4 / (4 + 4).
    events = np.array([1, 1, 1, 1, 2, 2, 3, 4, 9, 0.0])
    _, found = kneser_ney(trie, events)
    np.testing.assert_allclose(found.values, [[1 - 0.5, 2 - 3 * 0.25, 3 - 4 * 0.5]])
    assert not found.is_fallback.any()
    _, found = kneser_ney(trie, np.full(10, 2.0))
    np.testing.assert_array_equal(found.values, [[0.5, 1.0, 1.5]])
    assert found.is_fallback.all()


@pytest.mark.parametrize("order", [2, 3])
def test_discounts_are_known_without_the_ngrams_that_occur_once(order):
    ids, starts = joined(random_documents(17, n_tokens=40, n_documents=150, longest=20))
    found = []
    for min_count in (1, 2):
        trie = build_trie(ids, starts, 40, order=order, eos=39, min_count=min_count)
        found.append(kneser_ney(trie, trie.events(ids, starts).sum(axis=0))[1])
    assert not found[0].is_fallback[1:].any()
    np.testing.assert_allclose(found[1].values, found[0].values, rtol=1e-12)


ESTIMATES = {
    "kneser-ney": lambda trie, events: kneser_ney(trie, events)[0],
    "witten-bell": witten_bell,
    "dirichlet": lambda trie, events: dirichlet(trie, events, 4.0),
    "additive": lambda trie, events: additive(trie, events, 0.1),
    "refined": lambda trie, events: refine(witten_bell(trie, events), events, 2.0),
}


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("estimate", ESTIMATES)
@pytest.mark.parametrize("min_count", [1, 3])
def test_distributions_sum_to_one_in_every_context(order, estimate, min_count):
    ids, starts = joined(random_documents(order))
    trie = build_trie(ids, starts, 4, order=order, eos=3, min_count=min_count)
    events = trie.events(ids, starts).sum(axis=0)
    for given in (events, np.where(np.arange(len(events)) % 2, events, 0.0), 0.3 * events):
        model = ESTIMATES[estimate](trie, given)
        np.testing.assert_allclose(model.total_prob(), 1.0, atol=1e-12)
        rows = model.next_log_prob(np.arange(trie.n_contexts))
        np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_likelihood_is_linear_in_events(estimate):
    ids, starts = joined(random_documents(9))
    trie = build_trie(ids, starts, 4, order=3, eos=3, min_count=2)
    model = ESTIMATES[estimate](trie, trie.events(ids, starts).sum(axis=0))
    others = random_documents(10)
    ids, starts = joined(others)
    walk = trie.walk(ids, starts)
    by_token = model.log_prob_of_walk(walk)
    np.testing.assert_allclose(model.log_prob_of(walk.contexts, ids), by_token, rtol=1e-12)
    rows = model.next_log_prob(walk.contexts)
    np.testing.assert_allclose(rows[np.arange(len(ids)), ids], by_token, rtol=1e-12)
    by_document = np.add.reduceat(by_token, starts[:-1])
    np.testing.assert_allclose(
        trie.events(ids, starts) @ model.event_log_prob, by_document, rtol=1e-12
    )


def test_probabilities_of_all_short_documents():
    documents = random_documents(11, n_tokens=3)
    ids, starts = joined(documents)
    trie = build_trie(ids, starts, 3, order=3, eos=2)
    model, _ = kneser_ney(trie, trie.events(ids, starts).sum(axis=0))
    every = [[*body, 2] for n in range(5) for body in product(range(2), repeat=n)]
    total = np.exp(trie.events(*joined(every)) @ model.event_log_prob).sum()
    # What is left is the probability of more than 4 tokens, by a forward pass.
    alive = np.zeros(trie.n_contexts)
    alive[trie.first_context] = 1.0
    rows = np.exp(model.next_log_prob(np.arange(trie.n_contexts)))
    for _ in range(5):
        after = np.zeros(trie.n_contexts)
        for context, token in product(np.flatnonzero(alive), range(2)):
            walk = trie.walk(np.array([token]), np.array([0, 1]), np.array([context]))
            after[walk.ends[0]] += alive[context] * rows[context, token]
        alive = after
    assert total == pytest.approx(1.0 - alive.sum(), abs=1e-12)


@pytest.mark.parametrize("min_count", [1, 3])
def test_draws_have_the_frequencies_of_the_model(min_count):
    ids, starts = joined(random_documents(12, n_tokens=6, n_documents=80))
    trie = build_trie(ids, starts, 6, order=3, eos=5, min_count=min_count)
    model = dirichlet(trie, trie.events(ids, starts).sum(axis=0), 2.0)
    rng = np.random.RandomState(0)
    p_values = []
    for context in range(trie.n_contexts):
        arcs = model.draw(np.full(4_000, context), rng)
        seen = np.bincount(trie.arc_token[arcs], minlength=6)
        expected = np.exp(model.next_log_prob(np.array([context])))[0]
        p_values.append(chisquare(seen, 4_000 * expected / expected.sum()).pvalue)
    # Bonferroni: by chance one run in a thousand fails.
    assert min(p_values) > 1e-3 / len(p_values)
    drawn = model.sample(np.full(500, trie.first_context), rng, max_length=7)
    assert drawn.lengths.max() == 7
    again = trie.walk(drawn.tokens, np.append(0, np.cumsum(drawn.lengths)))
    np.testing.assert_array_equal(again.arcs, drawn.arcs)
    np.testing.assert_array_equal(again.contexts, drawn.contexts)


def test_draws_of_what_is_rarely_backed_off_for():
    # After token 0 come 1 and 2, nearly always; 3 and 4 after a shorter context nearly never.
    documents = [[0, 1, 0, 2]] * 400 + [[3], [4]]
    ids, starts = joined(documents)
    trie = build_trie(ids, starts, 5, order=2)
    model = dirichlet(trie, trie.events(ids, starts).sum(axis=0), 500.0)
    context = int(trie.context_of_arc[0])
    left = 1.0 - model.lower_mass[context]
    rng = np.random.RandomState(1)
    tokens = trie.arc_token[model.draw(np.full(200_000, context), rng)]
    expected = np.exp(model.next_log_prob(np.array([context])))[0]
    assert left < 1.0
    seen = np.bincount(tokens, minlength=5)
    assert chisquare(seen, 200_000 * expected).pvalue > 1e-3


def test_refining_by_the_formula():
    ids, starts = joined(random_documents(13))
    trie = build_trie(ids, starts, 4, order=3, eos=3)
    base, _ = kneser_ney(trie, trie.events(ids, starts).sum(axis=0))
    events = trie.events(*joined(random_documents(14, n_documents=10))).sum(axis=0)
    refined = refine(base, events, 5.0)
    counts = trie.raw_counts(events)
    back = np.append(0, events[trie.n_arcs :][: trie.n_contexts - 1])
    old, new = np.exp(base.arc_log_prob), np.exp(refined.arc_log_prob)
    total = np.array([counts[trie.arc_context == c].sum() for c in range(trie.n_contexts)]) + back
    known = np.array([new[trie.lower[trie.arc_context == c]].sum() for c in range(trie.n_contexts)])
    assert (back > 0).any()
    for arc in range(trie.n_arcs):
        context = trie.arc_context[arc]
        expected = (counts[arc] + 5 * old[arc]) / (total[context] + 5)
        if context:
            gamma = np.exp(base.backoff_log_weight[context])
            share = old[arc] - gamma * old[trie.lower[arc]]
            prior = share + gamma * new[trie.lower[arc]]
            expected = (counts[arc] + 5 * prior) / (total[context] + 5)
        assert new[arc] == pytest.approx(expected, rel=1e-12)
    # All other tokens together, as the shorter context shares them.
    for context in range(1, trie.n_contexts):
        left = 1 - known[context]
        gamma = np.exp(base.backoff_log_weight[context])
        expected = (back[context] + 5 * gamma * left) / (total[context] + 5)
        found = np.exp(refined.backoff_log_weight[context]) * left
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_without_a_prior_contexts_have_the_shares_that_were_seen():
    ids, starts = joined(random_documents(13))
    trie = build_trie(ids, starts, 4, order=3, eos=3)
    base, _ = kneser_ney(trie, trie.events(ids, starts).sum(axis=0))
    events = trie.events(*joined(random_documents(17, n_documents=30))).sum(axis=0)
    refined = refine(base, events, 0.0)
    counts, total = trie.raw_counts(events), np.zeros(trie.n_contexts)
    total += trie.sum_by_context(counts)
    total[1:] += events[trie.n_arcs :][: trie.n_contexts - 1]
    seen = trie.spread(total) > 0
    shares = counts[seen] / trie.spread(total)[seen]
    assert np.exp(refined.arc_log_prob[seen]) == pytest.approx(shares)
    assert refined.total_prob() == pytest.approx(1.0)


@pytest.mark.parametrize("is_interpolated", [True, False])
def test_a_strong_base_stays_as_it_is(is_interpolated):
    ids, starts = joined(random_documents(15, n_tokens=8))
    trie = build_trie(ids, starts, 8, order=3, eos=7)
    events = trie.events(ids, starts).sum(axis=0)
    base = dirichlet(trie, events, 3.0)
    if not is_interpolated:
        # Arcs far below their shorter ones, as absolute discounts leave them; all sums are 1.
        base.arc_log_prob[trie.n_tokens :] += np.log(0.1)
        base = with_sums_of_one(base)
    assert base.total_prob() == pytest.approx(1.0)
    demonstrations = trie.events(*joined(random_documents(16, n_tokens=8))).sum(axis=0)
    strong = refine(base, demonstrations, 1e12)
    np.testing.assert_allclose(strong.arc_log_prob, base.arc_log_prob, atol=1e-8)
    np.testing.assert_allclose(strong.backoff_log_weight, base.backoff_log_weight, atol=1e-8)
    weak = refine(base, demonstrations, 1.0)
    assert weak.total_prob() == pytest.approx(1.0, abs=1e-12)
    assert demonstrations @ weak.event_log_prob > demonstrations @ base.event_log_prob


def with_sums_of_one(model):
    """The same arcs, with the back-off weights that make every distribution sum to one."""
    rest = np.log((1.0 - model.arc_mass[1:]) / (1.0 - model.lower_mass[1:]))
    return type(model)(model.trie, model.arc_log_prob, np.append(0.0, rest))


@pytest.mark.parametrize("n_tokens", [50, 2**40], ids=["packed", "by order"])
def test_pairs_are_ranked_by_prefix_then_token(n_tokens):
    rng = np.random.RandomState(0)
    prefix, token = rng.randint(30, size=2000).astype(np.int32), rng.randint(50, size=2000)
    keys, ranks = _rank(prefix, token.astype(np.int32), 30, n_tokens)
    expected, inverse = np.unique(prefix * np.int64(n_tokens) + token, return_inverse=True)
    assert_array_equal(keys, expected)
    assert_array_equal(ranks, inverse)
    keys, ranks = _rank(prefix[:0], token[:0], 30, n_tokens)
    assert (len(keys), len(ranks)) == (0, 0)


@pytest.mark.parametrize("shape", [(1, 1), (7, 8), (40, 3), (5, 2**33)])
def test_pairs_of_rows_and_columns_are_counted(shape):
    rng = np.random.RandomState(0)
    parts = [(rng.randint(shape[0], size=n), rng.randint(shape[1], size=n)) for n in (60, 0, 9)]
    counts = count_pairs(*zip(*parts, strict=True), shape)
    rows, columns = map(np.concatenate, zip(*parts, strict=True))
    expected = sparse.coo_array((np.ones(69), (rows, columns)), shape=shape).tocsr()
    assert counts.has_canonical_format
    assert (counts.dtype, counts.shape) == (np.float64, shape)
    for name in ("data", "indices", "indptr"):
        assert_array_equal(getattr(counts, name), getattr(expected, name))
