"""`RLHFPipeline`: stages in order, what flows between them, and what is cached."""
