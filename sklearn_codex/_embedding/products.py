"""What a response has in common with its prompt, in the coordinates of an embedding."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone

from sklearn_codex._checks.matrices import is_sparse
from sklearn_codex._embedding.unit_rows import unit_rows
from sklearn_codex._text.inputs import check_texts


class PromptProducts(TransformerMixin, BaseEstimator):
    """Products of the coordinates of the embeddings of prompt and response, each row of norm 1.

    Features of the prompt alone cancel in the difference of two rewards; with these a linear reward
    has weights of the response that depend on the prompt: w . (e(x) * e(y)).

    Parameters
    ----------
    embedder : transformer
        Of texts; a clone is fitted on the distinct prompts and responses.
    """

    wants_prompt = True

    def __init__(self, embedder):
        self.embedder = embedder

    def fit(self, X, y=None):
        """Fit the embedder on the distinct prompts and responses of rows (n, 2)."""
        prompts, responses = self._texts(X)
        self.embedder_ = clone(self.embedder).fit(list(dict.fromkeys([*prompts, *responses])))
        return self

    def transform(self, X):
        """Return the products (n, d) of rows (prompt, response); 0 where a prompt is empty."""
        prompts, responses = self._texts(X)
        distinct = list(dict.fromkeys([*prompts, *responses]))
        position = {text: place for place, text in enumerate(distinct)}
        vectors = self.embedder_.transform(distinct)
        vectors = vectors.toarray() if is_sparse(vectors) else np.asarray(vectors)
        of_prompts, of_responses = (
            vectors[[position[text] for text in texts]] for texts in (prompts, responses)
        )
        has_prompt = np.array([bool(prompt.strip()) for prompt in prompts])
        # Each of norm 1 before: the product of two great, or small, ones is beyond floats.
        products = unit_rows(unit_rows(of_prompts) * unit_rows(of_responses))
        return has_prompt[:, np.newaxis] * products

    def _texts(self, X):
        """Return prompts and responses, lists of str."""
        rows = np.asarray(X, dtype=object)
        subject = type(self).__name__
        columns = []
        if rows.ndim == 2 and rows.shape[1] == 2:
            columns = [check_texts(list(column), subject=subject) for column in rows.T]
        if len(columns) != 2 or None in columns:
            raise TypeError(
                f"{subject} needs rows (prompt, response) of text, got values of shape "
                f"{rows.shape}."
            )
        return columns

    def get_feature_names_out(self, input_features=None):
        """Return the names (d,) of the columns: those of the embedder."""
        return self.embedder_.get_feature_names_out()
