"""Text as it comes in: what counts as text, the rules that split it, the columns it gets."""
