"""A causal language model whose logits are a table, for trainers of neural ones."""

from typing import Any

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

PAD, EOS = 0, 1
# A logit that no sampling reaches and no gradient moves. It is finite, for a table is read by a
# matrix product, in which 0 times infinity is no number.
NEVER = -1e4


class TabularConfig(PreTrainedConfig):
    """Sizes of a :class:`TabularCausalLM`.

    Parameters
    ----------
    vocab_size : int, default=2
        Tokens V, ``<pad>`` (0) and ``<eos>`` (1) among them.
    hidden_size : int, default=1
        States S, the rows of the table.
    **kwargs
        What other configurations take.
    """

    model_type = "sklearn_codex_tabular"

    def __init__(self, vocab_size: int = 2, hidden_size: int = 1, **kwargs: Any):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = 1
        self.num_attention_heads = 1
        # No code has to be loaded from elsewhere: the classes are registered below.
        self.auto_map: dict[str, str] = {}
        fixed = {"pad_token_id": PAD, "eos_token_id": EOS, "tie_word_embeddings": False}
        super().__init__(**{**fixed, **kwargs})


class TabularBackbone(PreTrainedModel):
    """Reads tokens one by one: the last hidden state is the one-hot vector of the state.

    Parameters
    ----------
    config : TabularConfig
        Sizes. The moves between states are all to the first until they are loaded or set.
    """

    config_class = TabularConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True

    def __init__(self, config: TabularConfig):
        super().__init__(config)
        # Trainers switch this on by default; there is no layer to recompute.
        self.gradient_checkpointing = False
        moves = torch.zeros(config.hidden_size, config.vocab_size, dtype=torch.long)
        self.register_buffer("moves", moves)
        # Cast with the rest of the model: there is no parameter here to take the dtype from.
        self.register_buffer("one", torch.ones(()))
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: "torch.Tensor | None" = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Return the one-hot states (n, T, S) after each of T tokens.

        Parameters
        ----------
        input_ids : tensor of int of shape (n, T)
            Tokens.
        attention_mask : tensor of shape (n, T), default=None
            Where it is 0 the token is padding, which changes no state.
        **kwargs
            What else trainers pass: nothing in it changes the logits.

        Returns
        -------
        BaseModelOutputWithPast
            ``last_hidden_state`` of shape (n, T, S).
        """
        state = torch.zeros(len(input_ids), dtype=torch.long, device=input_ids.device)
        states = []
        for place, token in enumerate(input_ids.unbind(dim=1)):
            moved = self.moves[state, token]
            if attention_mask is not None:
                moved = torch.where(attention_mask[:, place] > 0, moved, state)
            state = moved
            states.append(state)
        hidden = torch.nn.functional.one_hot(torch.stack(states, dim=1), self.config.hidden_size)
        return BaseModelOutputWithPast(last_hidden_state=hidden * self.one)


class TabularCausalLM(PreTrainedModel, GenerationMixin):
    r"""A causal language model of transformers whose logits are a table.

    A finite automaton reads the tokens, and the logits of the next one are the row of the state it
    is in: the context is a prefix (:class:`TabularTask`), an n-gram, or a position and the last
    token, whatever the states stand for. Every policy over few answers is such a table, so that a
    trainer of TRL that trains it, unchanged, should come to rest where its algorithm rests exactly.

    Parameters
    ----------
    config : TabularConfig
        Sizes; :meth:`from_table` makes one.

    Attributes
    ----------
    lm_head : torch.nn.Linear
        The table: ``lm_head.weight`` has shape (V, S), a column for each state. It is all that is
        trained.
    model : TabularBackbone
        The automaton: ``model.moves`` of shape (S, V) is the state after each token.

    Notes
    -----
    With one-hot state :math:`h_t \in \{0, 1\}^S` after the t-th token, the log-probabilities of the
    next are :math:`\log softmax(W h_t)`. State 0 is that before the first token; padding leaves the
    state as it is. Nothing is cached while text is generated: each step reads the text anew.

    TRL makes the reference model of some trainers by loading the folder that the model came from,
    so that a model has to be saved and loaded before it is trained: ``save_pretrained``, then
    ``from_pretrained``.

    Examples
    --------
    One token, "a" or ``<eos>``, in one state each:

    >>> import numpy as np
    >>> import torch
    >>> from sklearn_codex.lab.torch import TabularCausalLM
    >>> moves = [[0, 1, 0], [1, 1, 1]]  # pad, eos, "a"
    >>> table = np.log([[1e-9, 0.25, 0.75], [1e-9, 1.0, 1e-9]])
    >>> model = TabularCausalLM.from_table(moves, table)
    >>> logits = model(torch.tensor([[2, 2, 1]])).logits
    >>> torch.softmax(logits, -1)[0].detach().numpy().round(2)
    array([[0.  , 0.25, 0.75],
           [0.  , 0.25, 0.75],
           [0.  , 1.  , 0.  ]], dtype=float32)
    """

    config_class = TabularConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    main_input_name = "input_ids"
    _no_split_modules: list[str] = []

    def __init__(self, config: TabularConfig):
        super().__init__(config)
        self.model = TabularBackbone(config)
        self.lm_head = torch.nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @classmethod
    def from_table(cls, moves: Any, log_prob: Any) -> "TabularCausalLM":
        """Return the model of an automaton and of a table.

        Parameters
        ----------
        moves : array-like of int of shape (S, V)
            The state after each token in each state; 0 is the first.
        log_prob : array-like of shape (S, V)
            Logits, such as log-probabilities; ``-inf`` is a token that never comes.

        Returns
        -------
        TabularCausalLM
            A model in float32.

        Raises
        ------
        ValueError
            If the shapes differ, a move leads to no state, a logit is NaN or ``+inf``, or a state
            has no token that can come.
        """
        steps, table = np.asarray(moves), np.asarray(log_prob, dtype=np.float64)
        if table.ndim != 2 or steps.shape != table.shape or table.shape[1] < 2:
            raise ValueError(
                "TabularCausalLM needs moves and log_prob of one shape (S, V), V at least 2 for "
                f"<pad> and <eos>, got {steps.shape} and {table.shape}."
            )
        if steps.dtype.kind not in "iu" or steps.min() < 0 or steps.max() >= len(steps):
            raise ValueError(
                f"TabularCausalLM needs moves that are states, int from 0 to {len(steps) - 1}, got "
                f"{steps.dtype} from {steps.min()} to {steps.max()}."
            )
        if np.isnan(table).any() or np.isposinf(table).any():
            raise ValueError(
                "TabularCausalLM needs log_prob of finite numbers or -inf, got NaN or inf. Pass "
                "logarithms of probabilities."
            )
        if np.isneginf(table).all(axis=1).any():
            state = int(np.argmax(np.isneginf(table).all(axis=1)))
            raise ValueError(
                f"TabularCausalLM needs a token that can come in every state, but state {state} "
                "has -inf alone. Let <eos> come there: 0 in column 1."
            )
        model = cls(TabularConfig(vocab_size=table.shape[1], hidden_size=len(table)))
        with torch.no_grad():
            model.model.moves.copy_(torch.as_tensor(steps.astype(np.int64)))
            weight = torch.as_tensor(np.maximum(table, NEVER).T, dtype=torch.float32)
            model.lm_head.weight.copy_(weight)
        return model

    def get_output_embeddings(self) -> torch.nn.Linear:
        """Return the table, which trainers look up by this name."""
        return self.lm_head

    def table(self) -> np.ndarray:
        """Return the log-probabilities (S, V) of the next token in each state, float64."""
        logits = self.lm_head.weight.detach().to("cpu", torch.float64).T
        return torch.log_softmax(logits, dim=-1).numpy()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: "torch.Tensor | None" = None,
        labels: "torch.Tensor | None" = None,
        logits_to_keep: "int | torch.Tensor" = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Return the logits (n, T, V) of the token after each, and the loss of labels.

        Parameters
        ----------
        input_ids : tensor of int of shape (n, T)
            Tokens.
        attention_mask : tensor of shape (n, T), default=None
            Where it is 0 the token is padding.
        labels : tensor of int of shape (n, T), default=None
            The tokens again; -100 is left out of the loss.
        logits_to_keep : int or tensor of int, default=0
            How many of the last logits are returned, or which; 0 means all.
        **kwargs
            What else trainers pass.

        Returns
        -------
        CausalLMOutputWithPast
            ``logits``, and with labels ``loss``: the mean over tokens of minus their
            log-probability, in nats.
        """
        hidden = self.model(input_ids, attention_mask=attention_mask).last_hidden_state
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(hidden[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size)
        return CausalLMOutputWithPast(loss=loss, logits=logits)

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        attention_mask: "torch.Tensor | None" = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return what :meth:`forward` is called with at a step of ``generate``: the whole text."""
        return {"input_ids": input_ids, "attention_mask": attention_mask, "logits_to_keep": 1}


AutoConfig.register(TabularConfig.model_type, TabularConfig)
AutoModelForCausalLM.register(TabularConfig, TabularCausalLM)
