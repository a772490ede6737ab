"""``sklearn-codex fit``: a model file from records."""

import argparse
from functools import partial

from sklearn_codex._output import is_terminal, written_together
from sklearn_codex._output._paths import same_file
from sklearn_codex._plain import plain
from sklearn_codex.cli._options import (
    STANDARD,
    add_columns,
    add_seed,
    check_new,
    new_command,
    write_out,
)
from sklearn_codex.report._json import json_text
from sklearn_codex.report._terminal import show, tell

_KINDS = ("corpus", "demonstrations", "preferences")
_C = 0.01
# Of words and of the policy: what nothing is left to do for beside vectors.
_OF_WORDS = {
    "records": None,
    "corpus": None,
    "demonstrations": None,
    "order": 1,
    "tokenizer": "script-word",
    "min_count": 2,
    "min_ngram_count": 1,
    "smoothing": None,
    "prior_strength": None,
    "kl_coef": None,
}


def add_parser(commands) -> None:
    """Add the command."""
    parser = new_command(
        commands,
        "fit",
        run,
        summary="fit the loop on records and write a model file",
        description=(
            "Fit the stages that the records allow: texts a pretrained model, demonstrations "
            "(completion, perhaps prompt) a refined one, preferences (in any layout that audit "
            "reads, ties and soft labels too) a reward model, and with a reward and texts the "
            "exactly optimal policy. Figures of held-out prompts go to standard output as JSON. "
            "With --order 2 or more the models see the words before each word, and completions and "
            "responses are what follows their prompts; of order 1, a text is a bag of words."
        ),
        examples=(
            "  sklearn-codex fit records.jsonl --out model.skops\n"
            "  sklearn-codex fit --corpus books.txt --demonstrations sft.jsonl \\\n"
            "      --preferences prefs.jsonl.gz --out model.skops --figures figures.json\n"
            "  sklearn-codex fit votes.csv --label vote --convention 1=a,2=b,0=tie \\\n"
            "      --out model.skops\n"
            "  sklearn-codex fit records.jsonl --order 3 --out model.skops\n"
            "  cat records.jsonl | sklearn-codex fit - --out model.skops --kl-coef 0.5\n"
            "  sklearn-codex fit --preferences prefs.jsonl --embeddings prefs.npy --out r.skops"
        ),
    )
    _add_files(parser)
    _add_counts(parser)
    _add_strengths(parser)
    add_seed(parser)
    add_columns(parser, by="column of what is held out together, beside the prompt")


def _add_files(parser) -> None:
    """Add what is read and what is written."""
    parser.add_argument(
        "records",
        nargs="?",
        metavar="RECORDS",
        help="records of all kinds, each row a text (text), a demonstration (completion) or a "
        "preference; - is standard input",
    )
    parser.add_argument("--corpus", metavar="FILE", help="texts, a line each, or records")
    parser.add_argument("--demonstrations", metavar="FILE", help="records with completion")
    parser.add_argument("--preferences", metavar="FILE", help="pairs, as for audit")
    parser.add_argument(
        "--embeddings",
        metavar="FILE.npy",
        help="vectors of the responses of --preferences, floats of shape (pairs, 2, d) or "
        "(2 pairs, d), in the order in which the file has the two responses: chosen before "
        "rejected, or A before B; to learn a reward of instead of words, C chosen by prompt",
    )
    parser.add_argument("--out", required=True, metavar="MODEL", help="model file, *.skops")
    parser.add_argument(
        "--figures", default=STANDARD, metavar="FILE", help="file of the figures (default: -)"
    )
    parser.add_argument("--force", action="store_true", help="replace existing files")


def _add_counts(parser) -> None:
    """Add how text is counted and smoothed, and how much of it is held out."""
    parser.add_argument(
        "--order",
        type=int,
        default=_OF_WORDS["order"],
        metavar="N",
        help="words of the longest n-grams of the models: each word is predicted from up to N - 1 "
        "before it (default: %(default)s, no order of words)",
    )
    parser.add_argument(
        "--smoothing",
        type=_smoothing,
        metavar="N_OR_NAME",
        help="smoothing of the pretrained model: a number is added to each count; with --order 2 "
        "or more also kneser-ney, witten-bell or dirichlet (default: 0.1, or kneser-ney)",
    )
    parser.add_argument(
        "--tokenizer",
        choices=("script-word", "script", "word", "whitespace", "code"),
        default=_OF_WORDS["tokenizer"],
        help="how text is counted (default: %(default)s)",
    )
    for name, what in (
        ("min_count", "occurrences a token needs to be in the vocabulary"),
        ("min_ngram_count", "occurrences an n-gram needs to be known, with --order 2 or more"),
        ("test_size", "share of the prompts held out for the figures, 0 for none"),
    ):
        default = _OF_WORDS.get(name, 0.25)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(default),
            default=default,
            metavar="N",
            help=f"{what} (default: %(default)s)",
        )


def _add_strengths(parser) -> None:
    """Add what weighs against demonstrations, rewards and preferences."""
    parser.add_argument(
        "--prior-strength",
        type=_strength,
        metavar="N",
        help="tokens the pretrained model weighs against demonstrations, in each context; auto is "
        "the power of 10 with which demonstrations of prompts held out are most likely (default: "
        "1000, or auto with --order 2 or more)",
    )
    parser.add_argument(
        "--kl-coef",
        type=float,
        metavar="N",
        help="weight of the KL to the reference, per nat of a document (default: 1, or what keeps "
        "length finite, where 1 does not with --order 2 or more)",
    )
    parser.add_argument(
        "--C",
        type=float,
        metavar="N",
        help=f"inverse strength of the penalty of the reward (default: {_C}, or chosen with "
        "--embeddings)",
    )


def _smoothing(word: str) -> float | str:
    """Return what smooths, a number or the name of a method, which the model checks."""
    try:
        return float(word)
    except ValueError:
        return word


def _strength(word: str) -> float | str:
    """Return the strength of a prior, a number or "auto"."""
    if word == "auto":
        return word
    try:
        return float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number of tokens or auto, got {word!r}") from None


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from sklearn_codex import save_model
    from sklearn_codex.cli._preferences import Inputs

    if arguments.out == STANDARD or is_terminal(arguments.out):
        raise ValueError("A model file cannot go to standard output. Name it with --out.")
    outputs = [("--out", arguments.out), ("--figures", arguments.figures)]
    inputs = [("RECORDS", arguments.records)]
    inputs += [(f"--{name}", getattr(arguments, name)) for name in (*_KINDS, "embeddings")]
    check_new(arguments, outputs, inputs)
    _check_twice(arguments.records, inputs[1:])
    if arguments.embeddings is not None:
        model, figures, tell_read = _fit_vectors(arguments)
    else:
        read = Inputs(arguments)
        _read(arguments, read)
        model, figures = _fit_words(arguments, read)
        tell_read = read.tell
    with written_together():
        save_model(model, arguments.out, overwrite=arguments.force)
        if arguments.figures != STANDARD:
            write_out(arguments, json_text(figures, indent=2) + "\n", "figures")
    tell_read()
    if arguments.figures == STANDARD:  # when the model is safe
        show(json_text(figures, indent=2) + "\n")
    return 0


def _fit_words(arguments, read):
    """Return the loop that records allow, and its figures."""
    from sklearn_codex.cli._models import fit_pipeline

    pipeline, figures = fit_pipeline(
        read.records,
        read.keys,
        order=arguments.order,
        tokenizer=arguments.tokenizer,
        min_count=arguments.min_count,
        min_ngram_count=arguments.min_ngram_count,
        smoothing=arguments.smoothing,
        prior_strength=arguments.prior_strength,
        C=_C if arguments.C is None else arguments.C,
        kl_coef=arguments.kl_coef,
        test_size=arguments.test_size,
        seed=arguments.seed,
    )
    return pipeline, figures | {"read_as": read.read_as}


def _fit_vectors(arguments):
    """Return the reward of vectors, its figures, and what says what the pairs were read as."""
    from sklearn_codex._layouts.given import given_of
    from sklearn_codex.cli._embeddings import fit_reward_of_vectors, read_embeddings
    from sklearn_codex.cli._inputs import place_of_argument
    from sklearn_codex.cli._preferences import describe_pairs, read_pairs, say_pairs

    idle = [name for name, value in _OF_WORDS.items() if getattr(arguments, name) != value]
    if idle or arguments.preferences is None:
        option = "RECORDS" if idle[:1] == ["records"] else "--" + "".join(idle[:1])
        problem = (
            f"{option.replace('_', '-')} is of words. Leave it out" if idle else "none is given"
        )
        raise ValueError(
            "--embeddings FILE.npy has the vectors of the pairs of --preferences FILE, and "
            f"{problem}: fit --preferences FILE --embeddings FILE.npy --out MODEL."
        )
    pairs = read_pairs(arguments.preferences, given_of(arguments))
    place = place_of_argument(arguments.preferences)
    model, figures = fit_reward_of_vectors(
        read_embeddings(arguments.embeddings, pairs, place),
        pairs,
        C=arguments.C,
        test_size=arguments.test_size,
        seed=arguments.seed,
    )
    read_as = {place: {"n_preferences": pairs.n, **describe_pairs(pairs)}}
    return (
        model,
        figures | {"read_as": read_as},
        partial(tell, say_pairs(arguments.preferences, pairs)),
    )


def _check_twice(records, others) -> None:
    """Raise where a file of records of all kinds is given for one kind too, which counts twice."""
    for option, path in others:
        if records is not None and path is not None and same_file(records, path):
            raise ValueError(
                f"{option} {plain(path)} is the file of RECORDS too, whose rows would count twice. "
                "Leave one out."
            )


def _read(arguments, read) -> None:
    """Add the records of all files given to what was read."""
    if arguments.records is not None:
        read.add_records(arguments.records)
    if arguments.corpus is not None:
        read.add_texts(arguments.corpus)
    if arguments.demonstrations is not None:
        read.add_demonstrations(arguments.demonstrations)
    if arguments.preferences is not None:
        read.add_pairs(arguments.preferences)
    read.check(
        "fit needs records. Name a file of them, or --corpus, --demonstrations, --preferences."
    )
