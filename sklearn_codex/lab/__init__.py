"""The laboratory: algorithms of RLHF held against where they rest exactly."""

__all__: list[str] = []
