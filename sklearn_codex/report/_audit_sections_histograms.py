"""How long responses are and how sure models are, as histograms."""

from itertools import pairwise

from sklearn_codex.report._blocks import Histogram, TableBlock


def lengths_block(audit):
    """Return the lengths of preferred and other responses as blocks, none where none has won."""
    figures = audit["lengths"]
    if figures is None:
        return []
    return [
        Histogram(
            "Lengths of responses",
            "characters of a response, in equal steps of its logarithm",
            "responses",
            figures["edges"],
            [("preferred", figures["preferred"]), ("not preferred", figures["other"])],
            "Where the two hills part, length and preference go together; whether length is all "
            "there is, the accuracies above tell.",
            TableBlock(
                ("characters", "preferred", "not preferred"),
                [
                    (between, preferred, other)
                    for between, preferred, other in zip(
                        _between(figures["edges"]),
                        figures["preferred"],
                        figures["other"],
                        strict=True,
                    )
                ],
            ),
            log_x=True,
        )
    ]


def margins_block(audit, units):
    """Return the margins of labels by the best model as blocks, none without a model."""
    figures = audit["margins"]
    if figures is None:
        return []
    edges, counts = figures["edges"], figures["counts"]
    against = sum(n for n, high in zip(counts, edges[1:], strict=True) if high <= 1e-12)
    return [
        Histogram(
            "How far the best model agrees with the labels",
            "margin towards the label, nats of log-odds",
            "pairs",
            edges,
            [("pairs", counts)],
            f"Of {sum(counts):,} labels {against:,} are on the left, where a model that never saw "
            f"the {units.one} says the opposite. The outermost bars hold all that is farther out: "
            "a tail on the left is where to read labels.",
            TableBlock(
                ("margin", "pairs"),
                [
                    (f"{low:.2f} to {high:.2f}", n)
                    for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True)
                ],
            ),
            marks=[(0.0, "undecided")],
        )
    ]


def _between(edges):
    return [f"{low:,.0f} to {high:,.0f}" for low, high in pairwise(edges)]
