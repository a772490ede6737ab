"""Named stages in order: parameters, indexing, diagram and routing, whatever the stages do."""

from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch
from sklearn.utils._repr_html.estimator import _VisualBlock
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._data.fitted_models import check_fitted_model


def is_passthrough(step):
    """Tell a step that leaves its stage out."""
    return step is None or (isinstance(step, str) and step == "passthrough")


def is_learning(step):
    """Tell a stage that is fitted here from one that passes or is frozen."""
    return not (is_passthrough(step) or isinstance(step, FrozenEstimator))


class StageComposition(_BaseComposition):
    """Holds stages in ``steps``, and their fitted clones in ``steps_``. It fits nothing itself."""

    def get_params(self, deep=True):
        """Return the parameters, and with ``deep`` the stages and theirs (``policy__kl_coef``).

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the stages, by name, and their parameters.

        Returns
        -------
        params : dict
        """
        return self._get_params("steps", deep=deep)

    def set_params(self, **params):
        """Set parameters, stages by name, and parameters of stages (``policy__kl_coef``).

        Parameters
        ----------
        **params : dict
            Parameters by name.

        Returns
        -------
        self : StageComposition
        """
        self._set_params("steps", **params)
        return self

    def _check_names_and_stages(self):
        """Raise unless the steps are uniquely named stages."""
        subject = type(self).__name__
        steps = self.steps
        if not steps or not all(isinstance(step, tuple) and len(step) == 2 for step in steps):
            raise ValueError(
                f"{subject} needs steps, a non-empty list of (name, stage) tuples, got {steps!r}."
            )
        names, stages = zip(*steps, strict=True)
        self._validate_names(names)
        self._check_estimators_are_instances(stages)
        for name, stage in steps:
            if is_passthrough(stage):
                continue
            which = f"{subject} step {name!r} ({type(stage).__name__})"
            if not hasattr(stage, "rlhf_stage") or not hasattr(stage, "fit"):
                raise TypeError(
                    f"{which} is not a stage: it has no rlhf_stage or no fit. Use UnigramLM, "
                    "SFTRefiner, PreferenceRewardModel, PPOPolicyOptimizer, CandidatePolicy or "
                    "'passthrough', or declare rlhf_stage on its class as they do."
                )
            if not is_learning(stage):
                check_fitted_model(stage, parameter=name, subject=subject)
            elif stage.get_params(deep=False).get("vectorizer") is not None:
                raise ValueError(
                    f"{which} has a vectorizer of its own, but all stages share one vocabulary. "
                    f"Pass it as {subject}(..., vectorizer=...) and leave {name}__vectorizer at "
                    "None."
                )

    def _last_stage(self, *models):
        """Return name and stage, fitted where they are, of the last that provides one of models."""
        steps: Any = getattr(self, "steps_", self.steps)
        for name, step in reversed(steps):
            if not is_passthrough(step) and step.rlhf_stage.provides in models:
                return name, step
        return None, None

    @property
    def named_steps(self):
        """The steps as they were given, by name."""
        return Bunch(**dict(self.steps))

    @property
    def named_steps_(self):
        """The fitted steps, by name."""
        check_is_fitted(self)
        return Bunch(**dict(self.steps_))

    def __len__(self):
        return len(self.steps)

    def __getitem__(self, index):
        """Return one stage, by position or name, or a pipeline of a slice of them.

        From a fitted pipeline these are the fitted stages, and the slice is a fitted pipeline that
        needs no fit: with stages up to a policy, it is the loop up to there.
        """
        steps: Any = getattr(self, "steps_", self.steps)
        if not isinstance(index, slice):
            return dict(steps)[index] if isinstance(index, str) else steps[index][1]
        if index.step not in (1, None):
            raise ValueError(
                f"A slice of {type(self).__name__} has a step of 1, got {index.step}: the order of "
                "the stages is the loop."
            )
        part = type(self)(
            self.steps[index], vectorizer=self.vectorizer, memory=self.memory, verbose=self.verbose
        )
        if hasattr(self, "steps_"):
            part.steps_, part.vectorizer_ = self.steps_[index], self.vectorizer_
            part._vectorizer_key = self._vectorizer_key
        return part

    def __sklearn_is_fitted__(self):
        return hasattr(self, "steps_")

    def _sk_visual_block_(self):
        names = [
            f"{name}: {'passthrough' if is_passthrough(step) else type(step).__name__}"
            for name, step in self.steps
        ]
        stages = [step for _, step in self.steps]
        details = [str(step) for step in stages]
        return _VisualBlock("serial", stages, names=names, name_details=details, dash_wrapped=False)

    def get_metadata_routing(self):
        """Return how ``fit`` routes metadata to the ``fit`` of each stage.

        Returns
        -------
        routing : MetadataRouter
        """
        router = MetadataRouter(owner=self)
        for name, step in self.steps:
            if is_learning(step):
                router.add(
                    **{name: step}, method_mapping=MethodMapping().add(caller="fit", callee="fit")
                )
        return router
