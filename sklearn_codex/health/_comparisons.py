"""Preferences as a graph: circles of preference, and responses that nothing connects."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from sklearn_codex._tables import Table
from sklearn_codex._verdicts import judge_mean
from sklearn_codex.health._data import PreferenceData, code, first_rows
from sklearn_codex.health._report import Finding, count, percent

SECTION = "Comparisons"
MAX_STEPS = 50_000_000
"""Triples are counted up to this many pairs of edges that meet in a response."""

RARE = 0.05
"""A share of circular triples up to this is noise that any set of judges has."""
_NOT_CHECKED = "Circles and connections are not checked: X holds feature differences, no text."


def check_comparisons(data: PreferenceData):
    """Find intransitive preferences and responses of a prompt that cannot be compared.

    Returns
    -------
    findings : list of Finding
    tables : dict
        ``cycles``, one row for each prompt with a circle of strict preferences: its first ``row``,
        ``n_in_cycle`` responses that stand in one, and, of ``n_triples`` of responses all compared
        with each other, the ``n_circular`` ones, a > b > c > a. ``components``, one row for each
        prompt whose responses fall apart: its first ``row``, ``n_responses``, ``n_components``.
    """
    if not data.is_text:
        text = Finding(SECTION, "skipped", _NOT_CHECKED)
        return [text], {"cycles": None, "components": None, "n_parts": None}
    first = first_rows(data.context)
    node_a, node_b, context = _number_nodes(data)  # (n_pairs,), (n_pairs,), (n_nodes,)
    prefers = _net_preferences(data, node_a, node_b, len(context))
    cycles, triples, circular = _count_cycles(prefers, context, first)
    components = _count_components(node_a, node_b, context, first)
    n_responses = len(data.responses)
    edges = sparse.coo_array((np.ones(len(data)), (data.a, data.b)), shape=(n_responses,) * 2)
    n_parts, _ = connected_components(edges, directed=False)
    findings = [
        _judge_cycles(cycles, triples, circular),
        _judge_components(data, components, len(first), n_parts),
    ]
    return findings, {"cycles": cycles, "components": components, "n_parts": n_parts}


def _number_nodes(data):
    """Return the nodes that each pair joins, and the context of each: a response in a prompt."""
    contexts = np.tile(data.context, 2).tolist()
    responses = np.concatenate([data.a, data.b]).tolist()
    nodes = code(zip(contexts, responses, strict=True))  # (2 n_pairs,)
    context = np.empty(nodes.max() + 1, dtype=np.intp)
    context[nodes] = contexts
    return nodes[: len(data)], nodes[len(data) :], context


def _net_preferences(data, node_a, node_b, n_nodes):
    """Return a CSR array (n_nodes, n_nodes), 1 where the mean label prefers the row's node."""
    lean = data.y - 0.5
    net = sparse.coo_array((lean, (node_a, node_b)), shape=(n_nodes, n_nodes)).tocsr()
    net = sparse.csr_array(net - net.T)
    net.data = (net.data > 1e-9).astype(np.float64)
    net.setdiag(0)
    net.eliminate_zeros()
    return net


def _count_cycles(prefers, context, first):
    """Return the table of cycles, and the triples and circular ones of each context."""
    n_nodes = prefers.shape[0]
    _, component = connected_components(prefers, connection="strong")
    in_cycle = np.bincount(component)[component] > 1  # (n_nodes,)
    n_contexts = len(first)
    triples = circular = np.full(n_nodes, np.nan)
    compared = sparse.csr_array(prefers + prefers.T)
    if np.sum(np.diff(compared.indptr).astype(float) ** 2) <= MAX_STEPS:
        # Each triple is counted at each of its three responses, and in both directions around.
        triples = np.asarray((compared @ compared).multiply(compared).sum(axis=1)).ravel() / 6
        # (P P)_ac counts the b with a > b > c; P'_ac is whether c > a closes the circle.
        circular = np.asarray((prefers @ prefers).multiply(prefers.T).sum(axis=1)).ravel() / 3
    per_context = [
        np.bincount(context, values, n_contexts)
        for values in (in_cycle.astype(float), triples, circular)
    ]
    found = np.flatnonzero(per_context[0])
    rounded = [np.rint(values[found]) for values in per_context]
    cycles = Table(
        row=first[found],
        n_in_cycle=rounded[0].astype(np.intp),
        n_triples=rounded[1],
        n_circular=rounded[2],
    )
    return cycles, np.rint(per_context[1]), np.rint(per_context[2])


def _count_components(node_a, node_b, context, first):
    n_nodes = len(context)
    edges = sparse.coo_array((np.ones(len(node_a)), (node_a, node_b)), shape=(n_nodes, n_nodes))
    _, component = connected_components(edges, directed=False)
    n_responses = np.bincount(context, minlength=len(first))
    n_components = np.bincount(context[first_rows(component)], minlength=len(first))
    apart = np.flatnonzero(n_components > 1)
    return Table(row=first[apart], n_responses=n_responses[apart], n_components=n_components[apart])


def _judge_cycles(cycles, triples, circular) -> Finding:
    n_triples, n_circular = triples.sum(), circular.sum()
    if not cycles.row.size:
        if n_triples:
            text = f"No circle of preferences in {count(int(n_triples), 'triple')} of responses."
            return Finding(SECTION, "ok", text)
        text = "No circle of preferences; no three responses are all compared with each other."
        return Finding(SECTION, "ok", text)
    text = (
        f"{count(cycles.row.size, 'prompt')} {'has' if cycles.row.size == 1 else 'have'} a circle "
        "of preferences (a > b > c > a), which no reward can follow"
    )
    are_many = False
    if n_triples > 0:  # false where triples are not counted
        text += (
            f": {n_circular:,.0f} of {n_triples:,.0f} triples of responses "
            f"({percent(n_circular / n_triples)}; labels by coin would give 25%)"
        )
        contexts = np.flatnonzero(triples)
        beyond = circular[contexts] - RARE * triples[contexts]
        are_many = judge_mean(beyond, contexts).is_above
    if are_many:
        text += (
            f". More than {percent(RARE)}, and not by chance: the labels follow no single taste."
        )
    else:
        text += f". A few are noise: more than {percent(RARE)} are not shown."
    return Finding(SECTION, "look" if are_many else "note", text, cycles.row, "cycles")


def _judge_components(data, components, n_contexts, n_parts) -> Finding:
    has_contexts = data.prompts is not None or data.groups is not None
    if has_contexts:
        unit = "prompt" if data.prompts is not None else "group"
        overall = f" Over all {unit}s there are {count(n_parts, 'part')}."
        apart = (
            f"In {components.row.size:,} of {count(n_contexts, unit)} the responses fall apart "
            "into parts that are not compared with each other."
        )
        together = f"Within each {unit} all responses are connected by comparisons."
    else:
        overall = ""
        apart = f"The responses fall apart into {n_parts:,} parts that are not compared."
        together = "All responses are connected by comparisons."
    if not components.row.size:
        return Finding(SECTION, "ok", together + overall)
    meaning = " A ranking of the responses is then undetermined; a reward of features is not."
    return Finding(SECTION, "note", apart + overall + meaning, table="components")
