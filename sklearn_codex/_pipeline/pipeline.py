"""The whole loop as one estimator: records in, models flow from stage to stage."""

from inspect import signature

from sklearn.callback import CallbackSupportMixin
from sklearn.pipeline import _name_estimators
from sklearn.utils._param_validation import HasMethods, Hidden
from sklearn.utils._user_interface import _print_elapsed_time
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._data.records import check_records, is_records
from sklearn_codex._data.vectorizers import COUNTER
from sklearn_codex._doc_links import link_estimators
from sklearn_codex._fits import whole_fit
from sklearn_codex._pipeline.choices import best_responses, value_of_choices
from sklearn_codex._pipeline.composition import StageComposition, is_passthrough
from sklearn_codex._pipeline.counting import check_no_empty, count_documents
from sklearn_codex._pipeline.fitting import (
    PipelineFit,
    check_rewards_above,
    choose_kinds,
    route_fit_params,
)
from sklearn_codex._pipeline.losses import find_sft_loss, weigh_losses
from sklearn_codex.text import check_texts

__all__ = ["RLHFPipeline", "make_rlhf_pipeline"]


def _provides(model, method, *others):
    """Check, for ``available_if``, that the last stage providing a model, or others, has a method.

    ``others`` are models of which a stage has a method of its own name for what is asked.
    """

    def check(self):
        _, stage = self._last_stage(model, *others)
        if stage is None:
            raise AttributeError(
                f"{type(self).__name__} has no {method}: none of its stages provides a {model}."
            )
        if stage.rlhf_stage.provides == model:
            getattr(stage, method)
        return True

    return check


@link_estimators
class RLHFPipeline(CallbackSupportMixin, StageComposition):
    r"""Pretraining, fine-tuning, reward model and policy optimisation as one estimator of records.

    Unlike in a :class:`~sklearn.pipeline.Pipeline`, what comes down from stage to stage is not a
    transformed X but models: the policy so far and the reward so far. Each stage reads the records
    of its kind, and gets the models from above, frozen, for those of its parameters
    `policy` and `reward_model` that were left at None. So stages may repeat.

    Parameters
    ----------
    steps : list of (str, stage) tuples
        Names and stages, in order: `UnigramLM`, `SFTRefiner`, `PreferenceRewardModel`,
        `PPOPolicyOptimizer`, `KTOPolicyOptimizer`, `CandidatePolicy`, or any estimator whose class
        has such an attribute `rlhf_stage`. They are cloned, never fitted themselves.
        `"passthrough"` or None leaves a stage out; a fitted model in
        :class:`~sklearn.frozen.FrozenEstimator` is a stage that is not fitted again.
    vectorizer : transformer, default=None
        Turns text into counts, once, over the vocabulary that all stages share; None means what
        the first stage counts by that is particular, ``NGramCounter(order)`` of an `NGramLM`, else
        ``TokenCounter()``. It is fitted on the corpus texts, the completions and all responses of
        all training records, whichever stages there are. Prompts are not counted, but where it
        counts n-grams, the first tokens of a completion or a response are counted as what follows
        its prompt.
    memory : str or object with the joblib.Memory interface, default=None
        Caches the counts and each fitted stage, so that a search over the parameters of a stage
        counts the text and fits the stages above it once a fold; the counts of the demonstrations
        that ``score`` and ``objective`` judge as well. A stage is found by its parameters, its data
        and those of the stages above; a function or class of yours among them by its code too, with
        the functions, classes and constants (str, numbers, tuples, compiled patterns) that it
        names. Clear the cache after a change that is in none of these: in a list or a model that a
        function reads as a global variable, in a module that it names, or in an installed package.
        If a string is given, it is the path of the caching directory. Where it cannot be read or
        written, such as on a full disk, there is a warning and the fit goes on without it.
    verbose : bool, default=False
        Whether to print the time elapsed in each stage.

    Attributes
    ----------
    steps_ : list of (str, fitted stage) tuples
        Fitted clones of the steps; "passthrough" where a step was left out.
    named_steps : Bunch
        The steps as they were given, by name.
    named_steps_ : Bunch
        The fitted steps, by name.
    vectorizer_ : transformer
        The fitted vectorizer.

    See Also
    --------
    make_rlhf_pipeline : Names the stages by their types.
    sklearn_codex.model_selection.RecordKFold : Cross-validation of records.

    Notes
    -----
    **Records** are a list of dicts or a DataFrame (pandas, polars, pyarrow). What a row has decides
    its kind: a corpus text has `text`; a demonstration has `completion`, and perhaps `prompt`; a
    preference has `chosen` and `rejected`, or `response_a`, `response_b` and `label` (1 where A is
    preferred, 0 where B is, 0.5 for a tie, or the probability that A is), and perhaps `prompt`;
    an unpaired record has `completion` and `label`, true or 1 where it is desirable, false or 0
    where it is not, or the probability that it is, and perhaps `prompt`; candidates have
    `responses`, a list, and perhaps `prompt`, and beside the list `scores`, how good each is, and
    `logprobs`, how probable each is under the reference of `CandidatePolicy`. The candidates of one
    record belong together. Scores are what `CandidatePolicy` learns from where no reward comes from
    above, and what ``score`` holds it against. Any record may have `sample_weight`, what it weighs
    in the fit of its stage; a pair of soft label p weighs p for A and 1 - p for B. None and NaN
    mean that a row has no such column; of dicts, a `label` that is None beside a `completion`,
    where others have one, is an error, as it may be a demonstration or a judgement that was
    lost, and in a table a warning.

    **Words in order.** With an `NGramLM` or an `NGramCounter` all policies are models of n-grams,
    and prompts are what documents go on from: demonstrations are learned, responses compared and
    records scored after their prompts, candidates as well, and documents of an optimised policy
    start after those of the records that its stage reads. Models of single tokens look at no
    prompt.

    **The objective** of the loop is

    .. math:: L(M) = \alpha L_{SFT}(M) + \beta L_{RLHF}(M) + \gamma \Omega(M),

    which :meth:`objective` takes apart; ``score`` is its negative.

    **Metadata.** With ``enable_metadata_routing=True``, ``fit`` routes what stages request by
    ``set_fit_request``. Without it, ``fit(X, sample_weight=w)`` gives `w` to each stage that takes
    weights, and ``fit(X, sft__sample_weight=w)`` to the stage "sft" alone. Either way, an array as
    long as X is sliced to the records that a stage reads.

    References
    ----------
    .. [1] Ouyang, L. et al. (2022). "Training language models to follow instructions with human
       feedback." NeurIPS 35, 27730-27744.

    Examples
    --------
    >>> from sklearn_codex import RLHFPipeline, PPOPolicyOptimizer, PreferenceRewardModel
    >>> from sklearn_codex import SFTRefiner, UnigramLM
    >>> records = [{"text": "the cat sat on the mat"}, {"text": "a dog ran"}]
    >>> records += [{"prompt": "who?", "completion": "the cat"}, {"completion": "the dog"}]
    >>> records += [{"prompt": "who?", "chosen": "a cat", "rejected": "a dog"}] * 2
    >>> loop = RLHFPipeline([
    ...     ("pretrain", UnigramLM()),
    ...     ("sft", SFTRefiner(prior_strength=10)),
    ...     ("reward", PreferenceRewardModel()),
    ...     ("policy", PPOPolicyOptimizer(random_state=0)),
    ... ]).fit(records)
    >>> loop[:2].predict(["anything"])
    array(['the'], dtype=...)
    >>> cat, dog = loop.reward(["cat", "dog"])
    >>> bool(cat > dog)
    True
    >>> parts = loop.objective(records)
    >>> bool(parts.rlhf_loss < loop.objective(records, stage="sft").rlhf_loss)
    True
    """

    _parameter_constraints: dict = {
        "steps": [list, Hidden(tuple)],
        "vectorizer": [COUNTER, None],
        "memory": [None, str, HasMethods(["cache"])],
        "verbose": ["boolean"],
    }

    def __init__(self, steps, *, vectorizer=None, memory=None, verbose=False):
        self.steps = steps
        self.vectorizer = vectorizer
        self.memory = memory
        self.verbose = verbose

    @whole_fit(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **params):
        """Fit the stages, one after the other.

        Parameters
        ----------
        X : list of dict, array of dict, or DataFrame of length n_records
            Records.
        y : None
            Ignored, present for the scikit-learn API: labels are in the records.
        **params : dict
            Metadata for the stages, see Notes of the class.

        Returns
        -------
        self : RLHFPipeline

        Raises
        ------
        TypeError
            If a step is not a stage.
        ValueError
            If X holds no record of a kind that a stage needs, a record is of no kind or of several,
            or a stage needs a reward and has none above. Nothing has been fitted then.
        """
        self._check_names_and_stages()
        records = check_records(X, subject=type(self).__name__)
        kinds = choose_kinds(self, records)
        check_rewards_above(self, records)
        fit_params = route_fit_params(self, params)
        root = self._init_callback_context(max_subtasks=len(self.steps))
        root.call_on_fit_task_begin(estimator=self, X=X, y=y)
        fit = PipelineFit(self, records)
        steps = []
        for position, (name, stage) in enumerate(self.steps):
            context = root.subcontext(task_name=f"fit-{name}")
            with _print_elapsed_time(type(self).__name__, self._log_message(position)):
                fitted = fit.fit_stage(stage, kinds.get(name), fit_params.get(name, {}), context)
            steps.append((name, fitted))
        self.vectorizer_, self.steps_ = fit.vectorizer, steps
        self._vectorizer_key = fit.vectorizer_key
        root.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _log_message(self, position):
        if not self.verbose:
            return None
        return f"(step {position + 1} of {len(self.steps)}) Processing {self.steps[position][0]}"

    @available_if(_provides("policy", "predict", "choice"))
    def predict(self, X):
        """Return the most probable next token of the last policy after each document.

        Where the last policy chooses among candidates, return the best response of each record.

        Parameters
        ----------
        X : sequence of str, array-like of shape (n_documents, V), or records
            Documents, as text, as counts by ``vectorizer_``, or in records: then the document of a
            record is its text, its completion, or its preferred response (A of a tie). Records of
            candidates, and nothing else, where the last policy chooses among them.

        Returns
        -------
        tokens : ndarray of shape (n_documents,)
            Tokens, or texts of responses, as an object array of str.
        """
        chooser = self._choice()
        if chooser is not None:
            return best_responses(chooser, X, subject=type(self).__name__)
        return self._check_policy().predict(self._check_documents(X))

    @available_if(_provides("policy", "score_samples"))
    def score_samples(self, X):
        """Return the log-likelihood of each document under the last policy, in nats.

        Parameters
        ----------
        X : sequence of str, array-like of shape (n_documents, V), or records
            Documents, as in :meth:`predict`.

        Returns
        -------
        log_likelihood : ndarray of shape (n_documents,)
        """
        return self._check_policy().score_samples(self._check_documents(X))

    @available_if(_provides("policy", "perplexity"))
    def perplexity(self, X):
        """Return the perplexity per token of the last policy.

        Parameters
        ----------
        X : sequence of str, array-like of shape (n_documents, V), or records
            Documents, as in :meth:`predict`.

        Returns
        -------
        perplexity : float
        """
        return self._check_policy().perplexity(self._check_documents(X))

    @available_if(_provides("policy", "sample"))
    def sample(self, n_samples=1, random_state=None, *, prompts=None):
        """Draw documents from the last policy.

        Parameters
        ----------
        n_samples : int, default=1
            How many documents; with prompts, how many for each.
        random_state : int, RandomState instance or None, default=None
            Source of all draws.
        prompts : sequence of str, default=None
            What documents go on from, without being part of them.

        Returns
        -------
        documents : list of str of length n_samples
            With prompts there are n_prompts * n_samples, those of the first prompt first.

        Raises
        ------
        ValueError
            If there are prompts, and the policy is of a kind that cannot go on from one.
        """
        policy = self._check_policy()
        if prompts is None:
            return policy.sample(n_samples, random_state=random_state)
        if "prompts" not in signature(policy.sample).parameters:
            raise ValueError(
                f"{type(self).__name__} got prompts to go on from, but the last policy is a model "
                f"of single tokens ({type(policy).__name__}), which writes the same after each. "
                "Leave them out, or pretrain an NGramLM."
            )
        return policy.sample(n_samples, random_state=random_state, prompts=prompts)

    @available_if(_provides("reward", "reward"))
    def reward(self, X):
        """Return the reward of each document under the last reward model.

        Parameters
        ----------
        X : sequence of str, array-like of shape (n_documents, V), or records
            Documents, as in :meth:`predict`; they may be empty.

        Returns
        -------
        reward : ndarray of shape (n_documents,)
        """
        check_is_fitted(self)
        return self._last_stage("reward")[1].reward(self._check_documents(X, allow_empty=True))

    @available_if(_provides("policy", "score_samples"))
    def objective(self, X, *, stage=None):
        """Return the parts of alpha L_SFT + beta L_RLHF + gamma Omega.

        Only L_SFT depends on the rows given. The others are expectations under the policy, by the
        ``evaluate`` of the last stage that has one (a `PPOPolicyOptimizer`), whose reference
        policy, reward, rules and coefficients they take: exact, but for a reward or a rule that
        does not add over tokens, which is averaged over documents drawn with a fixed seed. Without
        such a stage, alpha is 1, and beta and gamma, with their parts, are 0.

        Parameters
        ----------
        X : list of dict, array of dict, or DataFrame of length n_records
            Records.
        stage : str, default=None
            Name of the stage whose policy is judged; None means the last policy. So the policies
            before and after fine-tuning and optimisation are compared on one scale.

        Returns
        -------
        objective : Bunch
            - sft_loss : float, L_SFT, cross-entropy per token of the completions of the
              demonstrations in X, in nats; where X has none, of its corpus texts
            - rlhf_loss : float, L_RLHF, minus the expected reward of a document
            - omega : float, Omega, Kullback-Leibler divergence of the policy from the reference
              per document, in nats, plus the expected penalty of the rules, plus what the policy
              stage pays besides, in units of gamma: `missing_eos_penalty` times the share of
              documents that are cut, minus `entropy_coef` times the entropy of a document
            - alpha, beta, gamma : float, `sft_coef`, `reward_coef` (over `reward_scale_`, by which
              `normalize_reward` divides) and the last `kl_coef_`
            - total : float, their sum of products

        Raises
        ------
        ValueError
            If X holds neither demonstrations nor corpus texts, or `stage` has no policy.
        """
        policy = self._check_policy(stage)
        return weigh_losses(self, policy, find_sft_loss(self, policy, X))

    @available_if(_provides("policy", "score_samples", "choice"))
    def score(self, X, y=None):
        """Return minus the objective, ``-objective(X).total``; greater is better.

        Where the last policy chooses among candidates, return the expectation, under it, of their
        `scores` in X, a mean over records; without `scores` what it maximised, reward less price of
        KL, which does not compare between different ``kl_coef``.

        Labels are not looked at: of a `KTOPolicyOptimizer` or `DPOPolicyOptimizer` as the last
        stage this is the likelihood of demonstrations alone, which is best for a policy that hardly
        moves. To search their `C` or `loss`, use
        :data:`~sklearn_codex.model_selection.policy_scorers`.

        Parameters
        ----------
        X : list of dict, array of dict, or DataFrame of length n_records
            Records.
        y : None
            Ignored, present for the scikit-learn API.

        Returns
        -------
        score : float
        """
        chooser = self._choice()
        if chooser is not None:
            return value_of_choices(chooser, X, subject=type(self).__name__)
        return -self.objective(X).total

    def _choice(self):
        """Return the last fitted policy if it chooses among candidates, else None."""
        check_is_fitted(self)
        stage = self._last_stage("policy", "choice")[1]
        return stage if stage.rlhf_stage.provides == "choice" else None

    def _check_documents(self, X, *, allow_empty=False):
        """Return documents, given as text, counts or records, as counts by ``vectorizer_``."""
        subject = type(self).__name__
        records = check_records(X, subject=subject) if is_records(X) else None
        documents = X if records is None else records.documents()
        texts = check_texts(documents, subject=subject)
        if texts is None:
            return X
        prompts = [None] * len(texts) if records is None else records.prompt
        counts = count_documents(self.vectorizer_, texts, prompts, subject=subject)
        if not allow_empty:
            check_no_empty(self.vectorizer_, counts, texts, subject=subject)
        return counts

    def _check_policy(self, name=None):
        """Return the last fitted policy, or that of a stage."""
        check_is_fitted(self)
        if name is None:
            return self._last_stage("policy")[1]
        policies = {
            step_name: step
            for step_name, step in self.steps_
            if not is_passthrough(step) and step.rlhf_stage.provides == "policy"
        }
        if not isinstance(name, str) or name not in policies:
            raise ValueError(
                f"{type(self).__name__} has no policy of a stage {name!r}. Use one of "
                f"{list(policies)}, or None for the last."
            )
        return policies[name]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.dict = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        return tags


def make_rlhf_pipeline(*stages, vectorizer=None, memory=None, verbose=False):
    """Build an :class:`RLHFPipeline` whose stages are named by their types in lowercase.

    Parameters
    ----------
    *stages : stages
        Stages in order; of one type, they are numbered: "sftrefiner-1", "sftrefiner-2".
    vectorizer : transformer, default=None
        Turns text into counts for all stages; None means as of :class:`RLHFPipeline`.
    memory : str or object with the joblib.Memory interface, default=None
        Caches fitted stages.
    verbose : bool, default=False
        Whether to print the time elapsed in each stage.

    Returns
    -------
    pipeline : RLHFPipeline

    Examples
    --------
    >>> from sklearn_codex import SFTRefiner, UnigramLM, make_rlhf_pipeline
    >>> make_rlhf_pipeline(UnigramLM(), SFTRefiner())
    RLHFPipeline(steps=[('unigramlm', UnigramLM()), ('sftrefiner', SFTRefiner())])
    """
    return RLHFPipeline(
        _name_estimators(stages), vectorizer=vectorizer, memory=memory, verbose=verbose
    )
