"""Candidate responses of prompts from files and frames."""

import numpy as np
from sklearn.utils._param_validation import validate_params

from sklearn_codex._bunch import DataBunch
from sklearn_codex._files.tables import open_rows
from sklearn_codex._layouts.candidates import read_candidates as read_rows_of_candidates
from sklearn_codex._layouts.given import Given

SUBJECT = "read_candidates"
_SCORES = ("scores", "score", "ratings", "rating", "rewards", "reward")
_LOG_PROBS = ("logprobs", "logprob", "log_probs", "log_prob")


@validate_params(
    {
        "path_or_frame": "no_validation",
        **{name: [str, None] for name in ("prompt", "response", "groups", "scores", "logprobs")},
    },
    prefer_skip_nested_validation=True,
)
def read_candidates(
    path_or_frame, *, prompt=None, response=None, groups=None, scores=None, logprobs=None
):
    """Read candidate responses of prompts from a file or a frame into arrays.

    Parameters
    ----------
    path_or_frame : str, path-like, table, or list of dict
        A file, folder, pattern or table, as :func:`read_preferences` takes them. A row has a prompt
        and a list of responses, or a prompt and one response; a response is text, a conversation,
        or an object with a text.
    prompt : str, default=None
        Column of the prompt. None looks for names as prompt, instruction or question.
    response : str, default=None
        Column of the responses. None looks for names as responses, candidates, completions or
        answer.
    groups : str, default=None
        Column of what belongs together where rows have one response each. None means the prompt.
    scores : str, default=None
        Column of how good each response is: a list beside a list. None looks for names as scores.
    logprobs : str, default=None
        Column of their log-probabilities under the reference. None looks for names as logprobs.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes:

        X : ndarray of shape (n_rows, 2)
            Prompt and response of each candidate, an object array of str.
        y : ndarray of shape (n_rows,) or None
            Their scores, None where there are none.
        groups : ndarray of int of shape (n_rows,)
            Which candidates are of one prompt. Each list is a prompt of its own.
        reference_log_prob : ndarray of shape (n_rows,) or None
            Their log-probabilities, None where there are none.
        n, n_prompts : int
            Candidates and prompts.
        source : str
            The path, or the type of the table.
        layout : str
            What the file was read as.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If a row has no response, or several columns could have it; if nothing says which rows
        belong together; or if a number is missing. The message has the line.

    See Also
    --------
    sklearn_codex.CandidatePolicy : Chooses among them.

    Examples
    --------
    >>> from sklearn_codex import CandidatePolicy
    >>> from sklearn_codex.datasets import read_candidates
    >>> data = read_candidates(
    ...     [
    ...         {"prompt": "2 + 2?", "responses": ["4", "5", "four"], "scores": [1, 0, 0.5]},
    ...         {"prompt": "Hi", "responses": ["Hello!", "What?"], "scores": [1, 0]},
    ...     ]
    ... )
    >>> data.X[:2].tolist(), data.y, data.groups
    ([['2 + 2?', '4'], ['2 + 2?', '5']], array([1. , 0. , 0.5, 1. , 0. ]), array([0, 0, 0, 1, 1]))
    >>> policy = CandidatePolicy().fit(data.X, data.y, groups=data.groups)
    >>> policy.predict(data.X, groups=data.groups)
    array([ True, False, False,  True, False])
    """
    rows, place, name = open_rows(path_or_frame, SUBJECT)
    found = read_rows_of_candidates(
        rows,
        Given(prompt=prompt, groups=groups),
        response=response,
        numbers={
            "scores": _SCORES if scores is None else scores,
            "logprobs": _LOG_PROBS if logprobs is None else logprobs,
        },
        place=place,
    )
    X = np.empty((len(found.groups), 2), dtype=object)
    X[:, 0], X[:, 1] = found.prompts, found.responses
    numbers = {role: np.array(values) for role, values in found.numbers.items()}
    return DataBunch(
        X=X,
        y=numbers.get("scores"),
        groups=np.array(found.groups),
        reference_log_prob=numbers.get("logprobs"),
        n=len(X),
        n_prompts=max(found.groups) + 1,
        source=name,
        layout=found.layout,
    )
