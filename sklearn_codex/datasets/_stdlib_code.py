"""Real Python code for the whole loop: the standard library of the running interpreter."""

import platform
import re
from collections import Counter
from collections.abc import Iterator
from numbers import Integral, Real

import numpy as np
from numpy.random import RandomState
from scipy.special import expit
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_codex._bunch import DataBunch
from sklearn_codex.datasets._degradations import DEGRADATIONS
from sklearn_codex.datasets._function_body import FunctionBody
from sklearn_codex.datasets._stdlib_sources import (
    Function,
    Module,
    iter_corpus,
    iter_functions,
    module_names,
    read_module,
    stdlib_directory,
    unique_functions,
)

UNSAFE_TOKENS = ("eval", "exec")

TOKEN = re.compile(r"[^\W\d]\w*|\d+|[^\w\s]")
DESCR = """\
Standard library code
=====================

Code and text for pretraining, supervised fine-tuning, reward modelling and policy optimisation,
read from the sources of the standard library of Python {python_version}.

:Modules: {n_modules}
:Corpus: {n_corpus} documents, one for each top-level definition and one for each docstring
:Demonstrations: {n_demonstrations} functions, each a prompt (signature, docstring) and its body
:Preferences: {n_preferences} pairs on {n_prompts} prompts

Corpus and demonstrations are real code, written by the authors of CPython. No function of the
demonstrations or the preferences is in the corpus, and no prompt is in both.

**The preference labels are SIMULATED: no person compared these pairs.** Each pair holds the real
body of a function and the same body with one flaw, put there by a program. A simulated annotator
prefers the real body with the Bradley-Terry probability

    P(real preferred)
        = sigmoid((severity + length_bias * (tokens_real - tokens_flawed)) / temperature)

with temperature = {temperature:g}, length_bias = {length_bias:g} and the severities below. This
package chose the severities and nobody measured them; that the real body is the better one is an
assumption too. `preference_truth` says for each pair which body is real, the flaw and the
probability.

Flaws (severity):

{flaws}
"""


def _degrade(
    functions: list[Function],
    n_preferences: int | None,
    pairs_per_prompt: int,
    random_state: RandomState,
) -> Iterator[tuple[Function, str, str]]:
    """Yield function, kind of degradation and degraded body, the kinds as even as they can be."""
    names = list(DEGRADATIONS)
    uses = Counter(dict.fromkeys(names, 0))
    limit = np.inf if n_preferences is None else n_preferences
    for function in functions:
        body = FunctionBody(function.body, function.parameters)
        order = [names[i] for i in random_state.permutation(len(names))]
        found: dict[str, str] = {}
        for name in sorted(order, key=uses.__getitem__):
            if len(found) == pairs_per_prompt or uses.total() == limit:
                break
            degraded = DEGRADATIONS[name].apply(body, random_state)
            if degraded is not None and degraded not in found:
                found[degraded] = name
                uses[name] += 1
                yield function, name, degraded
        if uses.total() == limit:
            return


def _annotate(
    pairs: list[tuple[Function, str, str]],
    temperature: float,
    length_bias: float,
    random_state: RandomState,
) -> tuple[list[dict], list[dict]]:
    """Let the simulated annotator choose in every pair; return the records and their truth."""
    severity = np.array([DEGRADATIONS[name].severity for _, name, _ in pairs])
    extra = np.array([_n_tokens(function.body) - _n_tokens(text) for function, _, text in pairs])
    probability = expit((severity + length_bias * extra) / temperature)
    prefers_real = random_state.uniform(size=len(pairs)) < probability
    records, truth = [], []
    for (function, name, degraded), p, real in zip(pairs, probability, prefers_real, strict=True):
        chosen, rejected = (function.body, degraded) if real else (degraded, function.body)
        records.append({"prompt": function.prompt, "chosen": chosen, "rejected": rejected})
        truth.append(
            {
                "original": "chosen" if real else "rejected",
                "degradation": name,
                "severity": DEGRADATIONS[name].severity,
                "probability": float(p),
                "source": function.source,
            }
        )
    return records, truth


def _n_tokens(text: str) -> int:
    return len(TOKEN.findall(text))


def _build_corpus(modules: list[Module], functions: list[Function]) -> tuple[list[dict], list[str]]:
    """Make the corpus of everything outside `functions`; return the records and their kinds."""
    taken: dict[str, set[int]] = {module.name: set() for module in modules}
    for function in functions:
        taken[function.source.partition(":")[0]].update(function.lines)
    documents = [d for module in modules for d in iter_corpus(module, taken[module.name])]
    documents = [(kind, text) for kind, text in documents if TOKEN.search(text)]
    return [{"text": text} for _, text in documents], [kind for kind, _ in documents]


def _describe(data: Bunch, **settings: float) -> str:
    """Fill the description with the figures of the data."""
    return DESCR.format(
        python_version=data.python_version,
        n_corpus=len(data.corpus),
        n_demonstrations=len(data.demonstrations),
        n_preferences=len(data.preferences),
        n_prompts=len({record["prompt"] for record in data.preferences}),
        flaws="\n".join(
            f"- {name} ({kind['severity']:g}): {kind['description']}"
            for name, kind in data.degradations.items()
        ),
        **settings,
    )


@validate_params(
    {
        "n_modules": [Interval(Integral, 1, None, closed="left"), None],
        "n_demonstrations": [Interval(Integral, 0, None, closed="left"), None],
        "n_preferences": [Interval(Integral, 0, None, closed="left"), None],
        "pairs_per_prompt": [Interval(Integral, 1, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "length_bias": [Interval(Real, None, None, closed="neither")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def load_stdlib_code(
    *,
    n_modules=150,
    n_demonstrations=None,
    n_preferences=None,
    pairs_per_prompt=4,
    temperature=1.0,
    length_bias=0.0,
    random_state=0,
):
    r"""Load code, demonstrations and simulated preferences from the standard library.

    Everything is read from the `.py` sources of the running interpreter; nothing is downloaded.
    Tests, IDLE, `lib2to3`, `ensurepip`, generated tables (`encodings`, `pydoc_data`) and installed
    packages are left out.

    **The labels of the preferences are simulated**, see Notes.

    Parameters
    ----------
    n_modules : int or None, default=150
        Number of modules, drawn at random; None, or more than there are, takes all (451 for Python
        3.11). The default is meant for a demonstration of the whole loop, 10 for a test.
    n_demonstrations : int or None, default=None
        Greatest number of demonstrations. The functions that pass the quality filters are shuffled;
        the first half gives demonstrations, the second preferences. None keeps the whole half.
    n_preferences : int or None, default=None
        Greatest number of preference pairs; None keeps all.
    pairs_per_prompt : int, default=4
        Greatest number of pairs for one function, each with another degradation. Pairs of one
        prompt share the real body: group by prompt when splitting.
    temperature : float, default=1.0
        Noise of the simulated annotator, positive: towards 0 it always prefers the greater utility,
        towards infinity it tosses a coin.
    length_bias : float, default=0.0
        Utility that the simulated annotator gives to each token of a body. Positive prefers the
        longer one.
    random_state : int, RandomState instance or None, default=0
        Draws the modules, the split of the functions, the degradations and the labels. An int gives
        the same data for the same version of Python.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, built anew at each call, with the attributes:

        corpus : list of dict
            Documents, column `text`. Module by module, first the code: one document for each
            top-level function or class and for each run of other top-level statements, without the
            docstrings; then the text: one document for each docstring.
        corpus_kind : list of {"code", "docstring"}
            What each document of the corpus is.
        demonstrations : list of dict
            Columns `prompt` (signature and docstring) and `completion` (the body, dedented).
        demonstration_source : list of str
            `module:qualified name` of each demonstration.
        preferences : list of dict
            Columns `prompt`, `chosen` and `rejected`: what the simulated annotator chose, which is
            at times the degraded body.
        preference_truth : list of dict
            For each pair: `original`, which of `"chosen"` and `"rejected"` is the real body;
            `degradation`, the kind; `severity`; `probability`, with which the annotator prefers
            the real body; `source`, the function.
        records : list of dict
            Corpus, demonstrations and preferences, in this order: the input of a pipeline.
        degradations : dict
            For each kind its `severity` and `description`.
        unsafe_tokens : tuple of str
            Tokens that run text as code, for a rule or a penalty.
        python_version : str
            Version of the interpreter whose library was read.
        DESCR : str
            Description of the data with all the figures.

    Raises
    ------
    FileNotFoundError
        If the interpreter has no sources of its library, as a frozen or zipped one.

    See Also
    --------
    make_preferences : Simulated pairs whose reward weights are known.

    Notes
    -----
    A function is used if it is at the top level of a module or of a class, is no test, has a
    docstring of 5 to 120 words on lines of its own, and then a body of 2 to 30 lines that are not
    blank; if it is ASCII without tabs, has no string over several lines (dedenting would change it)
    and no `NotImplemented`; and if neither its prompt nor its body was seen before.

    A preference pair holds the real body and the same body with one of 25 degradations, chosen so
    that all kinds are as frequent as they can be. An edit changes the characters of the flaw only.
    Some degradations lengthen a body, some shorten it and some keep its length. The simulated
    annotator follows Bradley and Terry [1]_,

    .. math::

        P(\text{real preferred}) = \sigma\left(\frac{\text{severity} + \text{length\_bias}
        \cdot (\text{tokens}_\text{real} - \text{tokens}_\text{degraded})}
        {\text{temperature}}\right)

    where a token is a word, a number or one other character. The severities are a choice, not a
    measurement.

    References
    ----------
    .. [1] R. A. Bradley and M. E. Terry, "Rank Analysis of Incomplete Block Designs: I. The Method
       of Paired Comparisons", Biometrika 39 (3/4), 1952.

    Examples
    --------
    >>> from sklearn_codex.datasets import load_stdlib_code
    >>> data = load_stdlib_code(n_modules=5, n_preferences=20)
    >>> sorted(data.preferences[0])
    ['chosen', 'prompt', 'rejected']
    >>> sorted(data.preference_truth[0])
    ['degradation', 'original', 'probability', 'severity', 'source']
    >>> data.degradations["unsafe_exec"]
    {'severity': 4.0, 'description': 'A statement goes through `exec` as a string.'}
    """
    rng = check_random_state(random_state)
    directory = stdlib_directory()
    names = module_names(directory)
    if n_modules is not None and n_modules < len(names):
        names = [names[i] for i in sorted(rng.choice(len(names), n_modules, replace=False))]
    modules = [m for name in names if (m := read_module(directory, name)) is not None]

    functions = unique_functions(f for module in modules for f in iter_functions(module))
    functions = [functions[i] for i in rng.permutation(len(functions))]
    half = len(functions) // 2
    shown = functions[:half][:n_demonstrations]
    pairs = list(_degrade(functions[half:], n_preferences, pairs_per_prompt, rng))

    preferences, truth = _annotate(pairs, temperature, length_bias, rng)
    demonstrations = [{"prompt": f.prompt, "completion": f.body} for f in shown]
    corpus, corpus_kind = _build_corpus(modules, shown + [function for function, _, _ in pairs])
    data = DataBunch(
        corpus=corpus,
        corpus_kind=corpus_kind,
        demonstrations=demonstrations,
        demonstration_source=[f.source for f in shown],
        preferences=preferences,
        preference_truth=truth,
        records=[*corpus, *demonstrations, *preferences],
        degradations={
            name: {"severity": kind.severity, "description": kind.description}
            for name, kind in DEGRADATIONS.items()
        },
        unsafe_tokens=UNSAFE_TOKENS,
        python_version=platform.python_version(),
    )
    data.DESCR = _describe(
        data, n_modules=len(modules), temperature=temperature, length_bias=length_bias
    )
    return data
