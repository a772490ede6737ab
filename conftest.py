"""What is not collected: modules that need the extra ``lab``, where it is not installed."""

from importlib.util import find_spec

_LAB = "sklearn_codex/lab/_trl"
collect_ignore = (
    []
    if find_spec("torch") and find_spec("transformers")
    else [f"{_LAB}/{name}.py" for name in ("adapter", "_model", "_tokens")]
)
