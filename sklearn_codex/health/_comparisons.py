"""Preferences as a graph: circles of preference, and responses that nothing connects."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from sklearn_codex._tables import Table
from sklearn_codex._verdicts import judge_mean
from sklearn_codex.health._data import PreferenceData, code, first_rows
from sklearn_codex.health._report import Finding, Status, find

MAX_STEPS = 50_000_000
"""Triples are counted up to this many pairs of edges that meet in a response."""

RARE = 0.05
"""A share of circular triples up to this is noise that any set of judges has."""


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
        nothing = {"cycles": None, "components": None, "n_parts": None}
        return [find("no comparisons", "skipped")], nothing
    first = first_rows(data.context)
    node_a, node_b, context = _number_nodes(data)  # (n_pairs,), (n_pairs,), (n_nodes,)
    prefers = _net_preferences(data, node_a, node_b, len(context))
    cycles, triples, circular = _count_cycles(prefers, context, first)
    components = _count_components(node_a, node_b, context, first)
    n_responses = len(data.responses)
    edges = sparse.coo_array((np.ones(len(data)), (data.a, data.b)), shape=(n_responses,) * 2)
    n_parts, _ = connected_components(edges, directed=False)
    findings = [
        _judge_cycles(data, cycles, triples, circular),
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


def _judge_cycles(data, cycles, triples, circular) -> Finding:
    n_prompts = cycles.row.size
    are_counted = not np.isnan(triples).any()
    contexts = np.flatnonzero(triples)
    are_many = False
    if n_prompts and are_counted and contexts.size:
        beyond = circular[contexts] - RARE * triples[contexts]
        are_many = judge_mean(beyond, contexts).is_above
    status: Status = "ok"
    if n_prompts:
        status = "look" if are_many else "note"
    return find(
        "cycles",
        status,
        cycles.row,
        "cycles",
        n_prompts=n_prompts,
        n_triples=int(triples.sum()) if are_counted else None,
        n_circular=int(circular.sum()) if are_counted else None,
        rare=RARE,
        are_many=are_many,
        unit=data.context_unit,
    )


def _judge_components(data, components, n_contexts, n_parts) -> Finding:
    n_apart = components.row.size
    return find(
        "components",
        "note" if n_apart else "ok",
        table="components",
        n_apart=n_apart,
        n_contexts=n_contexts,
        n_parts=n_parts,
        unit=data.context_unit,
    )
