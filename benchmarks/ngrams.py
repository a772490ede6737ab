"""N-gram language models: processor time against NLTK and KenLM, and perplexity by order.

    python benchmarks/ngrams.py                    # all, about five minutes
    python benchmarks/ngrams.py speed --quick      # 200 files
    python benchmarks/ngrams.py perplexity         # a table of docs/guide/ngrams.rst
    python benchmarks/ngrams.py prior              # the other, half a minute

"speed" takes lines of the standard library, split at blanks. Interpolated modified Kneser-Ney
estimates are fitted to token ids and score them, against NLTK's KneserNeyInterpolated (which has
one discount) and KenLM's C++, asked a sentence at a time from Python about the same ARPA file; it
has no fit in Python. Before, they are checked to be the same: with KenLM the log10 of lines to
1e-5 a token, with NLTK probabilities of a model of order 2 with one discount. Then text to counts
of n-grams, against counts of single tokens, and bytes of fitted models. The turns of methods
alternate, a figure is a median of processor time.

"perplexity" pretrains on the code and docstrings of the standard library, and asks for the
perplexity of function bodies that are not in it, each behind its signature and docstring.

"prior" holds a quarter out as the demo does, refines the pretrained model on function bodies by
``prior_strength``, and asks for the perplexity of those held out.
"""

import argparse
import tempfile
from pathlib import Path

import measure
import numpy as np
from sklearn.frozen import FrozenEstimator

from sklearn_codex import NGramCounter, NGramLM, SFTRefiner, TokenCounter
from sklearn_codex._ngrams.scoring import score_documents
from sklearn_codex._ngrams.smoothing import kneser_ney
from sklearn_codex._ngrams.table import count_ngrams
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex.datasets import load_stdlib_code
from sklearn_codex.model_selection import record_train_test_split

QUICK_FILES = 200
# Tokens that NLTK is given, which takes 100 ms to score one of 10 million.
NLTK_FIT, NLTK_SCORE = 200_000, 100
START, END = "<s>", "</s>"


def load_lines(quick):
    texts = measure.read_library(QUICK_FILES if quick else None)
    lines = (" ".join(line.split()) for text in texts for line in text.split("\n"))
    # KenLM takes these three for what they mean in its files.
    return [line for line in lines if line and not {START, END, "<unk>"} & {*line.split()}]


def fit_ids(ids, starts, n_tokens, order, eos):
    """Fit to token ids: what NGramLM does once it has them."""
    table, arcs = count_ngrams(ids, starts, n_tokens, order)
    trie = Trie.of_table(table, eos=eos)
    used = np.bincount(arcs, minlength=trie.n_events).astype(float)
    return kneser_ney(trie, used)[0]


def score_ids(model, ids, starts):
    """Return the log-likelihood of all documents."""
    return score_documents(model, ids, starts).sum()


def ids_of(counter, lines):
    return counter._ids_of(lines)


def check_against_kenlm(model, lines):
    """Write an ARPA file, check KenLM's scores of it, and return what scores lines by KenLM."""
    import kenlm

    path = Path(tempfile.mkdtemp()) / "model.arpa"
    model.to_arpa(path)
    theirs = kenlm.Model(str(path))
    scores = np.array([theirs.score(line) for line in lines])
    error = np.abs(scores - model.score_samples(lines) / np.log(10))
    n_tokens = np.array([line.count(" ") + 2 for line in lines])
    assert (error / n_tokens).max() < 1e-5, error.max()
    print(
        f"KenLM on {len(lines):,} lines, order {model.order_}: log10 of a token differs by at most "
        f"{(error / n_tokens).max():.1e}, of a line by {error.max():.1e}"
    )
    return lambda lines: sum(theirs.score(line) for line in lines)


def check_against_nltk(lines, discount=0.75):
    """Check all probabilities of order 2 where definitions coincide; return NLTK's class."""
    from nltk.lm import KneserNeyInterpolated
    from nltk.util import everygrams

    words = [[START, *line.split(), END] for line in lines]
    theirs = KneserNeyInterpolated(2, discount=discount)
    tokens = sorted({word for sentence in words for word in sentence})
    theirs.fit((everygrams(sentence, max_len=2) for sentence in words), tokens)
    counter = NGramCounter(2, tokenizer="whitespace", unk_token=None, eos_token=END).fit(lines)
    trie = counter.trie_
    events = counter.transform(lines).sum(axis=0)
    # NLTK discounts no unigrams, and has one discount for all counts.
    ours, _ = kneser_ney(trie, events, [[0.0] * 3, [discount] * 3])
    names = counter.get_feature_names_out()[: trie.n_tokens]
    contexts = [
        trie.start,
        *trie.context_of_arc[: trie.n_tokens][trie.context_of_arc[: trie.n_tokens] > 0],
    ]
    error = 0.0
    for context in contexts[:40]:
        name = START if context == trie.start else names[trie.arc_of_context[context]]
        row = np.exp(ours.next_log_prob(np.array([context])))[0]
        expected = [theirs.score(word, [name]) for word in names]
        error = max(error, np.abs(row - expected).max())
    assert error < 1e-12, error
    print(
        f"NLTK on {len(lines)} lines, order 2: {40 * len(names):,} probabilities differ by at most "
        f"{error:.1e}"
    )


def measure_nltk(lines, order):
    """Return the seconds a token that NLTK takes to fit and to score."""
    from nltk.lm import KneserNeyInterpolated
    from nltk.lm.preprocessing import padded_everygram_pipeline

    some = lines[: max(1, NLTK_FIT * len(lines) // sum(map(len, map(str.split, lines))))]
    words = [line.split() for line in some]
    n_tokens = sum(map(len, words)) + len(words)

    def fit():
        model = KneserNeyInterpolated(order)
        model.fit(*padded_everygram_pipeline(order, words))
        return model

    seconds, models = measure.take_turns({"fit": fit}, 1)
    tokens = [START] * (order - 1) + [word for sentence in words for word in sentence]
    tokens = tokens[: NLTK_SCORE + order - 1]

    def score():
        return [
            models["fit"].score(tokens[at], tokens[at - order + 1 : at])
            for at in range(order - 1, len(tokens))
        ]

    score_seconds, _ = measure.take_turns({"score": score}, 1)
    return seconds["fit"] / n_tokens, score_seconds["score"] / NLTK_SCORE


def bytes_of(model):
    """Return the bytes of all arrays of a fitted model and its vectorizer, names aside.

    And with the tables that it keeps to find n-grams, once it has scored anything.
    """
    trie = model._read_trie
    arrays = [*trie.__getstate__().values(), model.arc_log_prob_, model.backoff_log_weight_]
    arrays.append(vars(model)["event_count_"])
    # All else that a trie has once it was used: keys, contexts of arcs, and tables of slots.
    made = [value for name, value in vars(trie).items() if name not in trie.__getstate__()]
    fitted, used = (
        {id(values): values.nbytes for values in some if hasattr(values, "nbytes")}
        for some in (arrays, arrays + made)
    )
    return sum(fitted.values()), sum(used.values())


def measure_ids(lines, order, n_rounds):
    counter = NGramCounter(order, tokenizer="whitespace", min_count=2, eos_token=END).fit(lines)
    model = NGramLM(order, vectorizer=FrozenEstimator(counter)).fit(lines)
    ids, starts = ids_of(counter, lines)
    kenlm_score = check_against_kenlm(model, lines[:20_000])
    n_tokens = counter.trie_.n_tokens
    eos = counter.eos_index_
    seconds, results = measure.take_turns(
        {
            "fit": lambda: fit_ids(ids, starts, n_tokens, order, eos),
            "score": lambda: score_ids(model._backoff, ids, starts),
            "score of text": lambda: model.score_samples(lines).sum(),
            "KenLM": lambda: kenlm_score(lines),
        },
        n_rounds,
    )
    assert abs(results["score"] / np.log(10) - results["KenLM"]) < 1e-4 * len(lines)
    nltk_fit, nltk_score = measure_nltk(lines, order)
    micro = {name: 1e6 * value / len(ids) for name, value in seconds.items()}
    n_arcs = counter.trie_.n_arcs
    measure.print_header(
        "order", "tokens", "n-grams", "what", "of ours, us a token", "NLTK", "KenLM"
    )
    for what, nltk, kenlm in (
        ("fit to ids", nltk_fit, None),
        ("score ids", nltk_score, micro["KenLM"]),
        ("score text", None, micro["KenLM"]),
    ):
        ours = micro[{"fit to ids": "fit", "score ids": "score"}.get(what, "score of text")]
        measure.print_row(
            order,
            f"{len(ids):,}",
            f"{n_arcs:,}",
            what,
            f"{ours:.2f}",
            "" if nltk is None else f"{1e6 * nltk:,.0f}",
            "" if kenlm is None else f"{kenlm:.2f}",
        )
    fitted, used = (n_bytes / n_arcs for n_bytes in bytes_of(model))
    print(f"bytes an n-gram of the fitted model, names aside: {fitted:.0f}, used: {used:.0f}")


def measure_text(lines, files, n_rounds):
    measure.print_header(
        "corpus", "rule", "order", "fit_transform", "transform", "of single tokens"
    )
    for name, texts in (("files", files), ("lines", lines)):
        for rule in ("whitespace", "code"):
            make = {1: lambda rule=rule: TokenCounter(rule, eos_token=END)}
            for order in (2, 3):
                make[order] = lambda rule=rule, order=order: NGramCounter(
                    order, tokenizer=rule, eos_token=END
                )
            fits, _ = measure.take_turns(
                {
                    n: lambda new=new, texts=texts: new().fit_transform(texts)
                    for n, new in make.items()
                },
                n_rounds,
            )
            fitted = {n: new().fit(texts) for n, new in make.items()}
            applied, _ = measure.take_turns(
                {n: lambda c=c, texts=texts: c.transform(texts) for n, c in fitted.items()},
                n_rounds,
            )
            for order in make:
                measure.print_row(
                    f"{name}, {len(texts):,}",
                    rule,
                    order,
                    f"{fits[order]:.2f} s",
                    f"{applied[order]:.2f} s",
                    f"{fits[order] / fits[1]:.1f}x, {applied[order] / applied[1]:.1f}x",
                )


def measure_perplexity(orders, quick):
    data = load_stdlib_code(n_modules=20 if quick else 150)
    corpus = [record["text"] for record in data.corpus]
    prompts = [record["prompt"] for record in data.demonstrations]
    bodies = [record["completion"] for record in data.demonstrations]
    print(f"{len(corpus):,} documents, {len(bodies):,} function bodies held out")
    measure.print_header("order", "n-grams", "Kneser-Ney", "Witten-Bell", "Dirichlet")
    for order in orders:
        counter = NGramCounter(order, tokenizer="code", min_count=2, eos_token=END)
        counts = counter.fit_transform(corpus)
        held_out = counter.transform_after(prompts, bodies)
        row = [order, f"{counter.trie_.n_arcs:,}"]
        for smoothing in ("kneser-ney", "witten-bell", "dirichlet"):
            model = NGramLM(order, smoothing=smoothing, vectorizer=FrozenEstimator(counter))
            row.append(f"{model.fit(counts).perplexity(held_out):.1f}")
        measure.print_row(*row)


def measure_prior(orders, quick):
    data = load_stdlib_code(n_modules=20 if quick else 150, random_state=0)
    train, test = record_train_test_split(data.records, test_size=0.25, random_state=0)
    corpus = [record["text"] for record in train if "text" in record]
    (prompts, bodies), held_out = (
        [[row[name] for row in side if "completion" in row] for name in ("prompt", "completion")]
        for side in (train, test)
    )
    strengths = [1, 10, 100, 1000, 10_000, 100_000]
    print(f"{len(bodies)} function bodies to learn from, {len(held_out[0])} held out")
    measure.print_header("order", "bodies", "before", *map(str, strengths))
    for order in orders:
        counter = NGramCounter(
            order, tokenizer="code", min_count=2, min_ngram_count=2, eos_token=END
        ).fit(corpus + bodies)
        base = NGramLM(order, vectorizer=FrozenEstimator(counter)).fit(corpus)
        asked = counter.transform_after(*held_out)
        for n in (30, len(bodies)):
            row = [order, n, f"{base.perplexity(asked):.1f}"]
            for strength in strengths:
                model = SFTRefiner(FrozenEstimator(base), prior_strength=strength)
                model.fit(bodies[:n], prompts=prompts[:n])
                row.append(f"{model.perplexity(asked):.1f}")
            measure.print_row(*row)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="?", choices=("speed", "perplexity", "prior"))
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_FILES} files, one round")
    parser.add_argument("--orders", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    n_rounds = 1 if arguments.quick else 3
    if arguments.what in ("speed", None):
        lines = load_lines(arguments.quick)
        check_against_nltk(lines[:300])
        for order in (3, 5):
            measure_ids(lines, order, n_rounds)
        files = measure.read_library(QUICK_FILES if arguments.quick else None)
        measure_text(lines, [text for text in files if text.strip()], n_rounds)
    if arguments.what in ("perplexity", None):
        measure_perplexity(arguments.orders, arguments.quick)
    if arguments.what in ("prior", None):
        measure_prior(arguments.orders, arguments.quick)


if __name__ == "__main__":
    main()
