"""One fit of ``RLHFPipeline``: what is checked before it, and how models come down the stages."""

import pickle

import joblib
from sklearn.base import clone
from sklearn.utils.metadata_routing import _routing_enabled, process_routing
from sklearn.utils.validation import _check_method_params, has_fit_parameter

from sklearn_codex._checks.matrices import as_csr
from sklearn_codex._data.fitted_models import freeze
from sklearn_codex._data.records import COLUMNS_OF_KIND
from sklearn_codex._pipeline.choices import rows_of_candidates
from sklearn_codex._pipeline.code_hash import hash_code
from sklearn_codex._pipeline.composition import is_learning, is_passthrough
from sklearn_codex._pipeline.counting import (
    caches,
    check_no_empty,
    choose_vectorizer,
    counts_in_context,
    fit_and_count,
    hash_documents,
    open_memory,
)
from sklearn_codex._pipeline.stored_stage import call_cached
from sklearn_codex._renames import current_parameters
from sklearn_codex.labels import expand_soft_labels


def check_rewards_above(pipeline, records):
    """Raise where a stage needs a reward, there is none above it, and records do not score.

    A stage can do without a policy from above, by its own default. Without a reward it would look
    for logged ones, which only records of candidates hold.
    """
    has_reward = False
    for name, stage in pipeline.steps:
        if is_passthrough(stage):
            continue
        if is_learning(stage) and not has_reward:
            _check_reward_of(name, stage, type(pipeline).__name__, records)
        has_reward = has_reward or stage.rlhf_stage.provides == "reward"


def _check_reward_of(name, stage, subject, records):
    """Raise where a stage with no reward above it needs one."""
    given = stage.get_params(deep=False)
    for parameter, model in stage.rlhf_stage.fills.items():
        if model != "reward" or given.get(parameter) is not None:
            continue
        learns = stage.rlhf_stage.learns_reward
        if learns and records.candidate_arrays(subject=subject).y is not None:
            continue
        raise ValueError(
            f"{subject} step {name!r} ({type(stage).__name__}) needs a reward, and no stage above "
            f"it provides one. Put a PreferenceRewardModel above it, or set {name}__{parameter}"
            f"{', or give all candidates scores to learn from' if learns else ''}."
        )


def choose_kinds(pipeline, records):
    """Return the kind of record that each learning stage reads: the first it can that X holds."""
    kinds = {}
    for name, stage in pipeline.steps:
        if not is_learning(stage):
            continue
        reads = stage.rlhf_stage.reads
        kinds[name] = next((kind for kind in reads if len(records.rows(kind))), None)
        if kinds[name] is None:
            columns = ", or ".join(f"{COLUMNS_OF_KIND[kind]}" for kind in reads)
            raise ValueError(
                f"{type(pipeline).__name__} step {name!r} ({type(stage).__name__}) needs "
                f"{' or '.join(reads)} records, and X has none: {records.describe()}. Add records "
                f"with the columns {columns}. In cross-validation use cv=RecordKFold() "
                "(sklearn_codex.model_selection), which keeps every kind in every fold."
            )
    return kinds


def _fit_stage(key, stage, X, y, params, pipeline, context, work):
    """Fit a stage; ``key`` stands for all of it where results are cached."""
    work.begin()
    with context.propagate_callback_context(stage):
        context.call_on_fit_task_begin(estimator=pipeline, X=X, y=y)
        stage.fit(X, y, **params)
        context.call_on_fit_task_end(estimator=pipeline, X=X, y=y)
    return work.end(stage)


def route_fit_params(pipeline, params):
    """Return the metadata for the ``fit`` of each learning stage, by its name."""
    learning = {name: stage for name, stage in pipeline.steps if is_learning(stage)}
    if _routing_enabled():
        routed = process_routing(pipeline, "fit", **params)
        return {name: dict(routed[name]["fit"]) for name in learning}
    fit_params: dict[str, dict] = {name: {} for name in learning}
    if params.get("sample_weight") is not None:
        for name, stage in learning.items():
            if has_fit_parameter(stage, "sample_weight"):
                fit_params[name]["sample_weight"] = params["sample_weight"]
    for key, value in params.items():
        name, _, parameter = key.partition("__")
        if key == "sample_weight":
            continue
        if not parameter or name not in learning:
            raise ValueError(
                f"{type(pipeline).__name__}.fit got an unknown parameter {key!r}. Pass "
                "sample_weight, or a parameter of the fit of one stage as <step>__<parameter>, "
                f"with one of the steps {list(learning)}."
            )
        fit_params[name][parameter] = value
    return fit_params


def _check_takes_weights(stage, what):
    if not has_fit_parameter(stage, "sample_weight"):
        raise ValueError(
            f"{type(stage).__name__} takes no sample_weight, and so cannot be fitted on {what}. "
            "Leave them out, or use a stage that does."
        )


def _expand(stage, X, y, params):
    """Return pairs with soft labels as weighted ones of two classes, with their parameters."""
    _check_takes_weights(stage, "ties and soft labels")
    given = {name: value for name, value in params.items() if name != "sample_weight"}
    pairs = expand_soft_labels(X, y, sample_weight=params.get("sample_weight"))
    given = _check_method_params(X, given, indices=pairs.index)
    return pairs.X, pairs.y, given | {"sample_weight": pairs.sample_weight}


class PipelineFit:
    """One fit of a pipeline: its counts, and the models that have come down so far.

    Parameters
    ----------
    pipeline : RLHFPipeline
        The pipeline being fitted.
    records : Records
        All training records.

    Attributes
    ----------
    vectorizer : transformer
        Fitted on the documents of all records.
    vectorizer_key : str or None
        What it is made of; None where nothing is cached.
    """

    def __init__(self, pipeline, records):
        self.pipeline = pipeline
        self.records = records
        self._memory = open_memory(pipeline)
        # A cache is keyed by what a model is made of, not by the model: the same model pickles
        # otherwise once it has been loaded from the cache, and the stages below would miss.
        self._caches = caches(self._memory)
        vectorizer = choose_vectorizer(pipeline)
        texts, prompts = records.all_texts(), records.all_prompts()
        digest = hash_documents(vectorizer, texts, prompts) if self._caches else None
        self.vectorizer_key = self._key(type(vectorizer), vectorizer.get_params(), digest)
        (self.vectorizer, counts), _ = self._call(
            fit_and_count,
            self.vectorizer_key,
            **{"vectorizer": vectorizer, "texts": texts, "prompts": prompts},
        )
        self._counts = counts[: len(records)]  # (n_records, V)
        n_pairs = len(records.rows("preference"))
        self._other_counts = counts[len(records) :][:n_pairs]  # (n_preferences, V)
        candidates = [
            (prompt, tuple(own))
            for prompt, own in zip(records.prompt, records.candidates, strict=True)
            if own is not None
        ]
        columns = (records.kind, records.label, records.weight, candidates)
        self._data_key = self._key(self.vectorizer_key, *columns)
        self._models, self._keys = {}, {}

    def _call(self, function, key, shared=None, **arguments):
        """Return the result of a function, and whether it is not from the cache."""
        return call_cached(
            self._memory,
            function,
            {"key": key, **arguments},
            ignore=list(arguments),
            shared=shared or {},
            subject=type(self.pipeline).__name__,
        )

    def _key(self, *parts):
        if not self._caches:
            return None
        try:
            # Functions and classes are hashed by name, which stays when they are changed.
            return joblib.hash((joblib.hash(parts), hash_code(parts)))
        except pickle.PicklingError as error:
            raise TypeError(
                f"{type(self.pipeline).__name__} with memory finds what is cached by its "
                f"parameters, and one of them has no name to go by: {error.args[0]}. Use a "
                "function defined in a module instead of a lambda or a nested one, or memory=None."
            ) from error

    def fit_stage(self, stage, kind, params, context):
        """Return the fitted stage and hand it down to the stages below."""
        if is_passthrough(stage):
            self._report(context)
            return "passthrough"
        if kind is None:
            key = self._key(stage)
            self._report(context)
            fitted = stage
        else:
            rows = self.records.rows(kind)
            params = _check_method_params(self.records, params, indices=rows)
            params = self._add_prompts(stage, rows, self._add_weights(stage, rows, params))
            above = [self._keys.get(model) for model in stage.rlhf_stage.fills.values()]
            key = self._key(type(stage), stage.get_params(), kind, params, self._data_key, above)
            stage = self._fill(clone(stage))
            X, y, params = self._data(stage, kind, rows, params)
            shared = self._shared()
            fitted, was_fitted = self._call(
                _fit_stage,
                key,
                shared,
                **{"stage": stage, "X": X, "y": y, "params": params},
                **{"pipeline": self.pipeline, "context": context},
            )
            if not was_fitted:
                self._report(context, X, y)
        model = fitted.rlhf_stage.provides
        self._models[model], self._keys[model] = freeze(fitted), key
        return fitted

    def _shared(self):
        """Return what the next stage may refer to, by name."""
        shared = {"vectorizer": self.vectorizer}
        for name, model in self._models.items():
            shared[name], shared[f"{name}.estimator"] = model, model.estimator
        return shared

    def _report(self, context, X=None, y=None):
        """Tell callbacks of a stage that has nothing to fit, or is loaded from the cache."""
        context.call_on_fit_task_begin(estimator=self.pipeline, X=X, y=y)
        context.call_on_fit_task_end(estimator=self.pipeline, X=X, y=y)

    def _fill(self, stage):
        """Set the parameters left at None that the models from above and the vectorizer fill."""
        given = current_parameters(stage)
        filled = {
            parameter: self._models[model]
            for parameter, model in stage.rlhf_stage.fills.items()
            if given.get(parameter) is None and model in self._models
        }
        if "vectorizer" in given:
            filled["vectorizer"] = freeze(self.vectorizer)
        return stage.set_params(**filled)

    def _data(self, stage, kind, rows, params):
        """Return what a stage reads: counts (n_of_kind, V), differences of pairs, candidates."""
        subject = type(self.pipeline).__name__
        if kind == "candidates":
            return rows_of_candidates(self.records, params, subject=subject)
        if kind == "preference":
            X, y = as_csr(self._counts[rows] - self._other_counts), self.records.labels(rows)
            if y.dtype.kind == "f" and not stage.rlhf_stage.soft_labels:
                return _expand(stage, X, y, params)
            return X, y, params
        counts, texts = self._counts[rows], [self.records.text[row] for row in rows]
        check_no_empty(self.vectorizer, counts, texts, subject=subject, name=kind)
        if kind == "unpaired":
            y = self.records.labels(rows)
            if y.dtype.kind == "f" and not stage.rlhf_stage.soft_labels:
                return _expand(stage, counts, y, params)
            return counts, y, params
        return counts, None, params

    def _add_weights(self, stage, rows, params):
        """Return the parameters of a fit with the weights that the records have."""
        weight = self.records.weight[rows]
        if (weight == 1).all():
            return params
        if params.get("sample_weight") is not None:
            raise ValueError(
                f"{type(self.pipeline).__name__} got weights twice, as sample_weight of fit and in "
                "the records. Leave out one of them."
            )
        _check_takes_weights(stage, "records with a sample_weight")
        return params | {"sample_weight": weight}

    def _add_prompts(self, stage, rows, params):
        """Return the parameters of a fit with the prompts that documents of a policy start after.

        Demonstrations are counted after their prompts already.
        """
        if not stage.rlhf_stage.starts_after_prompts or "prompts" in params:
            return params
        prompts = [self.records.prompt[row] or "" for row in rows]
        if not any(prompts) or not counts_in_context(self.vectorizer):
            return params
        return params | {"prompts": prompts}
