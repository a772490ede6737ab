"""Tables as models of transformers, and losses of torch as functions of arrays."""
