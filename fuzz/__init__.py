"""Fuzzers: hostile, broken and odd input, whose every outcome is a result or a clear error."""
