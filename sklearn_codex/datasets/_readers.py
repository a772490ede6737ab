"""Preference pairs from files and frames, whatever their columns are called."""

from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from typing import Any

from sklearn.utils import Bunch
from sklearn.utils._param_validation import validate_params

from sklearn_codex._files.rows import read_rows
from sklearn_codex._files.tables import open_rows
from sklearn_codex._layouts.given import ROLES, Given, read_convention
from sklearn_codex._layouts.reader import PairReader
from sklearn_codex._plain import plain

SUBJECT = "read_preferences"


@validate_params(
    {
        "path_or_frame": "no_validation",
        **{role: [str, None] for role in ROLES},
        "label": [str, list, tuple, None],
        "convention": [str, Mapping, None],
    },
    prefer_skip_nested_validation=True,
)
def read_preferences(
    path_or_frame,
    *,
    prompt=None,
    chosen=None,
    rejected=None,
    response_a=None,
    response_b=None,
    label=None,
    response=None,
    convention=None,
    weight=None,
    annotator=None,
    groups=None,
):
    r"""Read preference pairs from a file or a frame into arrays.

    Parameters
    ----------
    path_or_frame : str, path-like, table, or list of dict
        A file, a folder or a pattern of files: JSON lines, JSON (lists of records, of columns), CSV
        with a header line, text in UTF-8; Parquet, Arrow or Feather, or what `save_to_disk` of
        datasets wrote; plain or in gzip, bz2, xz, zstandard or zip. What a file is shows in its
        first bytes, not in its name. Or a table that has been read already: of pandas, polars,
        pyarrow or datasets.
    prompt : str, default=None
        Column of the prompt, which a table need not have. None looks for the names in Notes, for
        this and the next five.
    chosen, rejected : str, default=None
        Columns of the preferred response and of the other one.
    response_a, response_b : str, default=None
        Columns of two responses, instead of `chosen` and `rejected`.
    label : str or list of str, default=None
        Column of what is preferred, or of how good the one response of a row is; or those of the
        labels of several people, whose mean is the label.
    response : str, default=None
        Column of the response where a row has one, to be compared with the others of its prompt.
    convention : str or mapping, default=None
        How labels are written: a key of :data:`sklearn_codex.labels.LABEL_CONVENTIONS`, such as
        "one_two" where 1 or 2 is the better response; "probability" or "percent" that A is
        preferred, "strength" where positive numbers are for A, each with "_second" for B; a scale
        such as "scale_1_7", its end for A first; "higher" or "lower", which of the scores of two
        responses is that of the better; or what each label means, a, b, tie or the probability that
        A is preferred, as a mapping or in text, "1=a,2=b,0=tie"; there "skip=drop" leaves out the
        rows with that label, which `notes` count. None means the labels in Notes.
    weight : str, default=None
        Column of weights, numbers that are not negative. None means 1 a pair.
    annotator : str, default=None
        Column of who gave the label.
    groups : str, default=None
        Column of the groups, such as the task that several prompts ask for. None means the prompt.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes:

        X : ndarray of shape (n_pairs, 3)
            Prompt, response A and response B, an object array of str. "" where there is no prompt.
        y : ndarray of shape (n_pairs,)
            Probability that A is preferred: 1, 0, 0.5 for a tie, or a soft label between.
        both_bad : ndarray of bool of shape (n_pairs,)
            Which ties say that both responses are bad, such as `tie (bothbad)`, or a one-hot column
            of such a name.
        groups : ndarray of shape (n_pairs,)
            Index of the group of each pair, for `groups=` of a splitter. Prompts that differ in
            blanks only are one group; a pair without a prompt is its own.
        n : int
            Number of pairs.
        columns : dict of ndarray of shape (n_pairs,)
            The other columns: numbers where all values are, else objects, None where a row has
            none. Values from CSV are str.
        source : str
            The path, or the type of the table.
        sample_weight : ndarray of shape (n_pairs,)
            What each pair weighs, for `sample_weight=` of `fit`: 1, or what the layout says, such
            as less for the pairs of one ranking.
        annotator : ndarray of shape (n_pairs,)
            Who gave the label, where a column or the layout says so, else None.
        where : ndarray of str of shape (n_pairs,)
            Where in the file a pair stands, such as "line 3" (from 1), or "record 2" (from 0) of a
            table.
        oriented : ndarray of bool of shape (n_pairs,)
            Whether the file has the pair as chosen and rejected: it does not tell which of the two
            was shown first.
        layout : str
            What the file was read as, such as "HH-RLHF".
        n_rows : int
            Number of rows of the file; a ranking is one row and several pairs.
        notes : list of str
            How rows became pairs, and how labels were read.
        roles : dict of list of str
            Names of the columns that were read: of the "prompt", the "responses", the "label", and
            the "others".
        unused_text : list of str
            Names of the columns that hold text and are not read: one of them may be a prompt that
            was not found.
        unused_keys : list of str
            Names of those that number prompts, such as "prompt_id", for `groups`.
        scores : list of ScoreFinding
            Columns of scores that are not read, such as `score_chosen` and `score_rejected`, or
            `margin`, compared with what is preferred: the names `better` and `worse`, `n_compared`
            pairs, `n_equal` scores, and the `contradicting` pairs.

    Raises
    ------
    OSError
        If the file cannot be opened.
    TypeError
        If a column of text holds something else.
    ValueError
        If a row has no preference, two of them, or a label of unknown meaning, if the file is
        empty or damaged. The message has the line. No row is ever left out, but those without any
        value and those that `convention` drops, which `notes` count.

    See Also
    --------
    sklearn_codex.health.check_preferences : Tells whether the data are fit to learn from.
    sklearn_codex.datasets.fetch_hh_rlhf : Published preferences.
    sklearn_codex.datasets.fetch_pandalm : Published preferences.

    Notes
    -----
    Columns are found by the words of their names, whatever their case, their order and what stands
    between them: "Response A", "responseA" and "model_a_response" are one kind. Published layouts
    are known by their columns together, and how their labels are written is known, too.

    Two responses
        Two names that differ in one word, a and b, 1 and 2, 0 and 1, left and right, first and
        second, beside a word such as response, answer, output, completion, text, conversation or
        summary. With them, what tells the better one, the first of these that there is: a column
        such as label, winner, preference, choice, verdict or a_is_better; one-hot columns such as
        winner_model_a and winner_tie; votes, such as annotator1 and annotator2, whose mean is the
        label; scores, such as score_a and score_b.
    A better and a worse response
        The same with chosen and rejected, preferred and dispreferred, accepted and rejected, winner
        and loser, better and worse, good and bad, positive and negative, correct and incorrect. A
        label beside them is not read.
    The prompt
        A column such as prompt, instruction, question, query, user_input, problem or messages;
        joined with input, context or a document if there is one, after the turns of history and of
        system. Of two columns that both name what is asked the text of one has to be in the other.
        Without such names, a column such as post, text or title.

    Where the names tell several pairs, labels or prompts, nothing is read: the error names both,
    and the parameter that says which is meant. A label that can mean two things is an error too.
    Where no prompt is found, `notes` say which columns of text are not read.

    Of `chosen` and `rejected`, the first pair gets the chosen response as A, the second as B, and
    so on in turn, so that both classes occur; the Bradley-Terry model is antisymmetric, so the
    orientation does not change what is learned.

    Conversations, lists of `{"role": ..., "content": ...}`, become the contents of their messages
    joined by a newline. Without a prompt, the messages with which both responses begin are the
    prompt; so is, where both responses are transcripts as in HH-RLHF, what they share up to and
    with the last "\n\nAssistant:". With a prompt, conversations that repeat it are cut.

    Examples
    --------
    >>> from sklearn_codex.datasets import read_preferences
    >>> data = read_preferences(
    ...     [
    ...         {"prompt": "2 + 2?", "chosen": "4", "rejected": "5", "source": "web"},
    ...         {"prompt": "2 + 2?", "chosen": "four", "rejected": "five", "source": "book"},
    ...     ]
    ... )
    >>> data.X.tolist()
    [['2 + 2?', '4', '5'], ['2 + 2?', 'five', 'four']]
    >>> data.y, data.groups, data.columns["source"].tolist()
    (array([1., 0.]), array([0, 0]), ['web', 'book'])
    """
    if isinstance(convention, str):
        convention = read_convention(convention, command=False)
    return read_given(
        path_or_frame,
        Given(
            prompt=prompt,
            chosen=chosen,
            rejected=rejected,
            response_a=response_a,
            response_b=response_b,
            label=label,
            response=response,
            weight=weight,
            annotator=annotator,
            groups=groups,
            convention=convention,
        ),
        SUBJECT,
    )


def read_given(source: Any, given: Given, subject: str, *, place: str | None = None) -> Bunch:
    """Return the pairs of a path or a table, as :func:`read_preferences` does.

    Parameters
    ----------
    source : str, path-like or table
        As ``path_or_frame`` there.
    given : Given
        What the caller says of columns and labels, and in which terms errors speak.
    subject : str
        What errors begin with, before the name of the file; "" for nothing but its path.
    place : str, default=None
        What errors call the file instead, such as "standard input".
    """
    if isinstance(source, (str, PathLike)) and (place is not None or not subject):
        name = str(fspath(source))
        place = plain(name) if place is None else place
        rows: Iterator[tuple[str, Mapping]] = read_rows(source, place)
    else:
        rows, place, name = open_rows(source, subject)
    try:
        return PairReader(given, place).read(rows, source=name)
    except RecursionError:
        raise ValueError(
            f"{place} has values that are nested too deeply. Write what is so deep as text, or "
            "leave it out."
        ) from None
    except (TypeError, ValueError) as error:
        if "\n" in str(error) and type(error) in (TypeError, ValueError):  # in names of columns
            raise type(error)(plain(str(error))) from error
        raise
