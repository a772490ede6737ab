"""Published human preferences, downloaded once and checked against their SHA-256 ever after."""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from os import PathLike
from pathlib import Path

import numpy as np
from sklearn.datasets import get_data_home
from sklearn.datasets._base import RemoteFileMetadata
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_codex._bunch import DataBunch
from sklearn_codex._files.lines import place_of
from sklearn_codex._files.rows import Row, read_rows
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.reader import PairReader
from sklearn_codex.datasets._download import NetworkError, get_file
from sklearn_codex.labels import convert_labels

# Each at one commit, so that the files do not change; GitHub leads on to where it keeps large ones.
HH_RLHF_URL = "https://github.com/anthropics/hh-rlhf/raw/354e5c3cb8960630860dd5774a6ac2a58313bf4d/"
PANDALM_URL = (
    "https://raw.githubusercontent.com/WeOpenML/PandaLM/3871806e72b4832f815ecafd24d3503c73403f48/"
)

HH_RLHF_SHA256: Mapping[tuple[str, str], str] = {
    ("harmless-base", "test"): "ebfaaed21162a4de120ae85366075b34425e2a6303fac59b99555002f7016f03",
    ("helpful-base", "train"): "518a5bf288456fc9f3b7c980c54116fba0c52f274d3f4d344675d83e4058f6f4",
    ("helpful-base", "test"): "8be3fc1a13b27901631696f2be6f184c799f1baeaf145f53ac5db24960adc37b",
    ("helpful-online", "train"): "0994d18b82083f5c084ce04071b683958a724df8c7215ab1d851986642d36a2a",
    ("helpful-online", "test"): "39a475cc7e0df972902f8e3a0972726fce826ac65369bda8c671de4330c60a10",
    (
        "helpful-rejection-sampled",
        "train",
    ): "0cea2d2ab2187624ec1314e8cc6fb579f0fa987b3a33e8102b7556ed4d255f64",
    (
        "helpful-rejection-sampled",
        "test",
    ): "abc35dbc56015db1dae0faa484514ccbc3eee0133bfcd557fc69250619b028bb",
}
PANDALM_SHA256 = "cc154f9067c7382d7ea86f8f246511a5e1ac87e1fddd845c5938d789505b07a4"

SUBSETS = tuple(dict.fromkeys(subset for subset, _ in HH_RLHF_SHA256))
SPLITS = ("train", "test")

HH_RLHF_DESCR = """\
HH-RLHF
=======

Pairs of transcripts between a person and an assistant that differ in the last answer (at times in
more), of which a crowd worker preferred one, as more helpful or as less harmful. Collected by
Anthropic; MIT license; https://github.com/anthropics/hh-rlhf.

The transcripts hold text that may offend or upset; its authors mean it for research, above all
on models that do less harm.

Y. Bai et al., "Training a Helpful and Harmless Assistant with Reinforcement Learning from Human
Feedback", arXiv:2204.05862, 2022.
"""

PANDALM_DESCR = """\
PandaLM test set
================

999 pairs of answers by five language models of 7 billion parameters to 170 instructions, each
compared by three people. Apache-2.0 license; https://github.com/WeOpenML/PandaLM.

Y. Wang et al., "PandaLM: An Automatic Evaluation Benchmark for LLM Instruction Tuning
Optimization", arXiv:2306.05087, 2023.
"""

_CACHING = {
    "data_home": [str, PathLike, None],
    "download_if_missing": ["boolean"],
    "n_retries": [Interval(Integral, 0, None, closed="left")],
    "delay": [Interval(Real, 0, None, closed="left")],
}


@validate_params(
    {
        "subset": [StrOptions(set(SUBSETS)), "array-like"],
        "split": [StrOptions({*SPLITS, "all"})],
        **_CACHING,
    },
    prefer_skip_nested_validation=True,
)
def fetch_hh_rlhf(
    subset="helpful-base",
    *,
    split="train",
    data_home=None,
    download_if_missing=True,
    n_retries=3,
    delay=1.0,
):
    """Load human preferences for helpful or harmless answers (HH-RLHF), downloading if necessary.

    =========================  ============  ===========
    Subset                     train         test
    =========================  ============  ===========
    helpful-base               16 MB         0.9 MB
    helpful-online             20 MB         1.1 MB
    helpful-rejection-sampled  26 MB         1.4 MB
    harmless-base              not offered   0.7 MB
    =========================  ============  ===========

    Parameters
    ----------
    subset : str or list of str, default="helpful-base"
        One or several of the subsets above. The training part of harmless-base is not offered: its
        repository has no SHA-256 that it could be checked against. Read a copy of your own by
        :func:`read_preferences`.
    split : {"train", "test", "all"}, default="train"
        Which part, as published; "all" is the training part, then the test part.
        `check_preferences(X, y, split=data.split)` tells which prompts stand in both.
    data_home : str or path-like, default=None
        Folder of the cache. None means that of scikit-learn, `sklearn.datasets.get_data_home()`.
    download_if_missing : bool, default=True
        Whether to download what is not in the cache, or to raise an OSError.
    n_retries : int, default=3
        How many times to try again where a connection fails, is reset, stands still for 30 seconds
        or ends early, or the host is busy.
    delay : float, default=1.0
        Seconds before the first of these; each next wait is twice as long.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes:

        X : ndarray of shape (n_pairs, 3)
            Prompt (the turns that both share, up to the last one of the assistant), response
            A and response B, an object array of str.
        y : ndarray of shape (n_pairs,)
            1 where A is preferred, 0 where B is. The preferred response is A and B in turn.
        groups : ndarray of shape (n_pairs,)
            Index of the prompt of each pair.
        subset, split : ndarray of shape (n_pairs,)
            Where each pair comes from, str.
        DESCR : str
            Description, source and license.

    Raises
    ------
    OSError
        If the files are not in the cache and may not be or could not be downloaded, or differ from
        what was published.
    ValueError
        If a subset is unknown or not offered.

    Examples
    --------
    >>> from sklearn_codex.datasets import fetch_hh_rlhf
    >>> data = fetch_hh_rlhf("harmless-base", split="test")  # doctest: +SKIP
    >>> data.X.shape  # doctest: +SKIP
    (2312, 3)
    """
    parts = _check_parts(subset, split)
    folder = Path(get_data_home(data_home=data_home)) / "hh_rlhf"
    paths = {}
    for name, side in parts:
        remote = RemoteFileMetadata(
            filename=f"{name}-{side}.jsonl.gz",
            url=f"{HH_RLHF_URL}{name}/{side}.jsonl.gz",
            checksum=HH_RLHF_SHA256[name, side],
        )
        paths[name, side] = _fetch(remote, folder, download_if_missing, n_retries, delay)
    reader = PairReader(Given(chosen="chosen", rejected="rejected"), "fetch_hh_rlhf")
    data = reader.read(_rows_of_parts(paths), source=HH_RLHF_URL)
    return DataBunch(
        X=data.X,
        y=data.y,
        groups=data.groups,
        subset=data.columns["subset"],
        split=data.columns["split"],
        DESCR=HH_RLHF_DESCR,
    )


def _check_parts(subset, split) -> list[tuple[str, str]]:
    """Return the (subset, split) asked for, all of them offered."""
    names = [subset] if isinstance(subset, str) else list(subset)
    sides = SPLITS if split == "all" else (split,)
    unknown = [name for name in names if name not in SUBSETS]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(
            f"fetch_hh_rlhf needs subset to be one or several of {SUBSETS}, each once, got "
            f"{subset!r}."
        )
    parts = [(name, side) for name in names for side in sides]
    for part in parts:
        if part not in HH_RLHF_SHA256:
            raise ValueError(
                f"fetch_hh_rlhf does not offer the {part[1]} part of {part[0]}, which has no "
                f'published SHA-256 to check it against. Use split="test", or download '
                f"{HH_RLHF_URL}{part[0]}/{part[1]}.jsonl.gz and pass its path to read_preferences."
            )
    return parts


def _rows_of_parts(paths: Mapping[tuple[str, str], Path]) -> Iterator[tuple[str, Row]]:
    for (name, side), path in paths.items():
        for where, row in read_rows(path, place_of(path, "fetch_hh_rlhf")):
            yield where, {**row, "subset": name, "split": side}


@validate_params(_CACHING, prefer_skip_nested_validation=True)
def fetch_pandalm(*, data_home=None, download_if_missing=True, n_retries=3, delay=1.0):
    """Load human preferences between answers to instructions (PandaLM), downloading if necessary.

    =================  ============================
    Pairs                                       999
    Prompts                                     170
    Annotators a pair                             3
    Labels             1, 0, or 0.5 for a tie (105)
    Download                                 0.9 MB
    =================  ============================

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder of the cache. None means that of scikit-learn, `sklearn.datasets.get_data_home()`.
    download_if_missing : bool, default=True
        Whether to download what is not in the cache, or to raise an OSError.
    n_retries : int, default=3
        How many times to try again where a connection fails, is reset, stands still for 30 seconds
        or ends early, or the host is busy.
    delay : float, default=1.0
        Seconds before the first of these; each next wait is twice as long.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes:

        X : ndarray of shape (999, 3)
            Prompt (the instruction and, below it, its input), response A and response B, an object
            array of str.
        y : ndarray of shape (999,)
            The label of most annotators: 1 where A is preferred, 0 where B is, 0.5 for a tie.
        groups : ndarray of shape (999,)
            Index of the prompt of each pair.
        annotators : ndarray of shape (999, 3)
            The label of each annotator.
        models : ndarray of shape (999, 2)
            Names of the models that wrote A and B, an object array of str.
        DESCR : str
            Description, source and license.

    Raises
    ------
    OSError
        If the file is not in the cache and may not be or could not be downloaded, or differs from
        what was published.

    Examples
    --------
    >>> from sklearn_codex.datasets import fetch_pandalm
    >>> data = fetch_pandalm()  # doctest: +SKIP
    >>> data.X.shape  # doctest: +SKIP
    (999, 3)
    """
    remote = RemoteFileMetadata(
        filename="testset-v1.json",
        url=f"{PANDALM_URL}data/testset-v1.json",
        checksum=PANDALM_SHA256,
    )
    folder = Path(get_data_home(data_home=data_home)) / "pandalm"
    path = _fetch(remote, folder, download_if_missing, n_retries, delay)
    rows = list(read_rows(path, place_of(path, "fetch_pandalm")))
    reader = PairReader(Given(), "fetch_pandalm")
    data = reader.read(((where, _translate(row)) for where, row in rows), source=PANDALM_URL)
    return DataBunch(
        X=data.X,
        y=data.y,
        groups=data.groups,
        annotators=np.array([_votes(row) for _, row in rows]),
        models=np.array([row["cmp_key"].split("_") for _, row in rows], dtype=object),
        DESCR=PANDALM_DESCR,
    )


def _votes(row: Row) -> list[float]:
    """Return the labels of the three annotators."""
    return convert_labels([row[f"annotator{i}"] for i in (1, 2, 3)], "one_two").tolist()


def _translate(row: Row) -> Row:
    """Return a record of PandaLM in the columns of ``read_preferences``."""
    votes = _votes(row)
    most = max(set(votes), key=votes.count)
    return {
        "prompt": "\n\n".join(filter(None, [row["instruction"], row["input"]])),
        "response_a": _as_text(row["response1"]),
        "response_b": _as_text(row["response2"]),
        "label": most if votes.count(most) > 1 else 0.5,
    }


def _as_text(answer) -> str:
    """Return an answer as the model wrote it: six times it wrote true, which the file has bare."""
    return answer if isinstance(answer, str) else json.dumps(answer)


def _fetch(remote: RemoteFileMetadata, folder: Path, download, n_retries, delay) -> Path:
    """Return the path of a file in the cache that has the right checksum, downloading if allowed.

    Raises
    ------
    OSError
        If there is no such file and it may not be or could not be downloaded.
    """
    path = folder / remote.filename
    if not download:
        if not path.exists():
            raise OSError(
                f"{path} is missing, and download_if_missing is False. Set it to True, or put "
                f"{remote.url} there."
            )
        if _sha256(path) != remote.checksum:
            raise OSError(
                f"{path} has not the SHA-256 of what was published, {remote.checksum}, and "
                "download_if_missing is False. Set it to True to replace the file."
            )
        return path
    if path.exists():
        checksum = _sha256(path)
        if checksum == remote.checksum:
            return path
        warnings.warn(
            f"SHA256 checksum of existing local file {path.name} ({checksum}) differs from "
            f"expected ({remote.checksum}): re-downloading from {remote.url} .",
            stacklevel=3,
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        get_file(remote.url, path, remote.checksum, n_retries=n_retries, delay=delay)
    except NetworkError as error:
        raise OSError(
            f"Could not get {remote.url}: {error} Nothing of it was kept. Try again later, or "
            f"download it by other means to {path}."
        ) from error
    return path


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
