"""Documents, pairs and records: what the estimators read, and how it becomes numbers."""
