"""Language models that are one categorical distribution over V tokens."""

from sklearn_codex._categorical import FloatArray
from sklearn_codex._language.distributions import CategoricalDistribution
from sklearn_codex._language.model import LanguageModelMixin


class CategoricalLanguageModelMixin(LanguageModelMixin):
    """Methods of a model whose whole state is ``token_log_prob_`` (V,), natural log.

    A document is the vector n of its token counts; its log-likelihood is ``n @ token_log_prob_``.
    """

    token_log_prob_: FloatArray

    @property
    def _distribution(self):
        return CategoricalDistribution(self.token_log_prob_)
