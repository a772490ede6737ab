"""The figures of an audit as tables, one a part of it."""

from sklearn_codex._tables import as_columns


def tables_of(audit):
    """Return columns by name of each table of which an audit has something."""
    parts = {
        "to_do": [_flat(item, "effect") for item in audit["to_do"]],
        "tests": [{"name": name, **test} for name, test in audit["verdicts"].items()],
        "health": audit["health"],
        "leakage": _rows(audit["leakage"]),
        "models": [*_models(audit["prediction"]), *_models(audit["embeddings"])],
        "form": _weights(audit["form"]),
        "tokens": _weights(audit["tokens"]),
        "labels_to_check": _rows(audit["labels_to_check"]),
        "pairs_to_label": _rows(audit["pairs_to_label"]),
    }
    tables = {name: as_columns(rows) for name, rows in parts.items()}
    tables |= {
        "calibration": _lists(audit["prediction"] and audit["prediction"]["calibration"]),
        "policy": _lists(audit["policy"] and audit["policy"]["frontier"]),
        "lengths": _bins(audit["lengths"]),
        "margins": _bins(audit["margins"]),
    }
    return {name: table for name, table in tables.items() if table}


def _rows(part):
    return [] if part is None else part["rows"]


def _flat(item, name):
    """Return an item with the fields of one of its figures beside its own."""
    rest = {key: value for key, value in item.items() if key != name}
    return rest | {f"{name}_{key}": value for key, value in (item[name] or {}).items()}


def _models(prediction):
    if prediction is None:
        return []
    return [
        {
            "model": name,
            **{
                f"{measure}{end}": figures[measure][field]
                for measure in ("accuracy", "log_loss", "auc")
                for end, field in (("", "value"), ("_low", "low"), ("_high", "high"))
            },
        }
        for name, figures in prediction["models"].items()
    ]


def _weights(part):
    return [] if part is None else [*part["for"], *part["against"][::-1]]


def _lists(part):
    """Return the lists of a part that are as long as the longest of numbers."""
    if not part:
        return {}
    lists = {name: values for name, values in part.items() if isinstance(values, list)}
    n = max(map(len, lists.values()), default=0)
    return {name: values for name, values in lists.items() if len(values) == n}


def _bins(histogram):
    if histogram is None:
        return {}
    counts = {name: values for name, values in histogram.items() if name != "edges"}
    return {"from": histogram["edges"][:-1], "to": histogram["edges"][1:], **counts}
