"""Processor time and peak memory of a unigram language model, from text to log-probabilities.

    python benchmarks/unigram_fit.py                   # files and lines, two minutes
    python benchmarks/unigram_fit.py --quick           # 200 files
    python benchmarks/unigram_fit.py --corpora lines --rules code

The text is the standard library, as files and as lines. Peers are what a user would write:
CountVectorizer with the same rule and MultinomialNB of one class, and NLTK's FreqDist and Lidstone
estimate. All three have to know the log-probability of every token; they are checked to be the
same. The turns of the three alternate, a figure is a median. Memory is the peak in a process of its
own, above that of the text.
"""

import argparse

import measure
import numpy as np
from nltk import FreqDist, LidstoneProbDist
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from sklearn_codex import TokenCounter, UnigramLM
from sklearn_codex._text.tokenizers import build_splitter

CORPORA = ("files", "lines")
RULES = ("whitespace", "word", "code")
SMOOTHING = 0.5
OURS, BAYES, NLTK = "UnigramLM", "CountVectorizer + MultinomialNB", "NLTK Lidstone"
QUICK_FILES = 200


def load(corpus, quick):
    texts = measure.read_library(QUICK_FILES if quick else None)
    if corpus == "files":
        return [text for text in texts if text.strip()]
    return [line for text in texts for line in text.split("\n") if line.strip()]


def fit(method, rule, texts):
    """Return tokens and their natural log-probabilities."""
    if method == OURS:
        model = UnigramLM(SMOOTHING, vectorizer=TokenCounter(rule, unk_token=None)).fit(texts)
        return model.vectorizer_.get_feature_names_out(), model.token_log_prob_
    split = build_splitter(rule, ())
    if method == BAYES:
        vectorizer = CountVectorizer(analyzer=split)
        counts = vectorizer.fit_transform(texts)
        model = MultinomialNB(alpha=SMOOTHING).fit(counts, np.zeros(len(texts)))
        return vectorizer.get_feature_names_out(), model.feature_log_prob_[0]
    counts = FreqDist(token for text in texts for token in split(text))
    model = LidstoneProbDist(counts, SMOOTHING, bins=len(counts))
    tokens = np.array(list(counts), dtype=object)
    return tokens, np.log([model.prob(token) for token in tokens])


def check_equal(results):
    """Raise unless all methods know the same tokens with the same log-probabilities."""
    (names, expected), *others = results.values()
    expected = dict(zip(names.tolist(), expected.tolist(), strict=True))
    for tokens, log_prob in others:
        assert len(tokens) == len(expected)
        ours = np.array([expected[token] for token in tokens.tolist()])
        assert np.abs(ours - log_prob).max() < 1e-9


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_FILES} files, one round")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=CORPORA)
    parser.add_argument("--rules", nargs="+", choices=RULES, default=RULES)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--peak-of", choices=(OURS, BAYES, NLTK), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    return arguments


def main():
    arguments = parse_arguments()
    if arguments.peak_of:
        texts = load(arguments.corpora[0], arguments.quick)
        print(measure.peak_of(lambda: fit(arguments.peak_of, arguments.rules[0], texts)))
        return
    measure.print_header("corpus", "rule", "model", "seconds", "of ours", "peak memory")
    for corpus in arguments.corpora:
        texts = load(corpus, arguments.quick)
        for rule in arguments.rules:
            fits = {
                method: lambda method=method, rule=rule, texts=texts: fit(method, rule, texts)
                for method in (OURS, BAYES, NLTK)
            }
            seconds, results = measure.take_turns(fits, arguments.rounds)
            check_equal(results)
            for method in fits:
                options = ["--peak-of", method, "--corpora", corpus, "--rules", rule]
                options += ["--quick"] * arguments.quick
                measure.print_row(
                    f"{corpus}, {len(texts):,}",
                    rule,
                    method,
                    f"{seconds[method]:.2f} s",
                    f"{seconds[method] / seconds[OURS]:.1f}x",
                    measure.show_memory(measure.peak_in_child(*options)),
                )


if __name__ == "__main__":
    main()
