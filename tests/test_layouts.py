import csv
import json

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from preference_layouts import LAYOUTS, expected, normalize

from sklearn_codex.datasets import read_preferences


@pytest.mark.parametrize("entry", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_says_the_same(entry):
    data = read_preferences(entry.rows(), **entry.options or {})
    assert normalize(data.X, data.y, data.groups) == expected(entry.pairs)
    assert data.layout == entry.called
    assert data.oriented.all() if entry.oriented else not data.oriented.any()
    assert len(data.sample_weight) == data.n == data.n_rows == len(entry.pairs)
    assert data.sample_weight.tolist() == pytest.approx([1.0] * data.n)


def as_csv(rows, path, write):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {
                    k: v if v is None or isinstance(v, (str, int)) else write(v)
                    for k, v in row.items()
                }
            )
    return path


CONTAINERS = {
    "JSON in CSV": lambda rows, path: as_csv(rows, path, json.dumps),
    "repr in CSV": lambda rows, path: as_csv(rows, path, repr),
    "pandas": lambda rows, path: pd.DataFrame(rows),
    "pyarrow": lambda rows, path: pa.Table.from_pylist(rows),
    "pyarrow, pandas": lambda rows, path: pa.Table.from_pylist(rows).to_pandas(),
    "polars": lambda rows, path: pl.DataFrame(rows, infer_schema_length=None, strict=False),
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("entry", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_in_tables_and_cells(entry, make, tmp_path):
    data = read_preferences(make(entry.rows(), tmp_path / "data"), **entry.options or {})
    assert normalize(data.X, data.y, data.groups) == expected(entry.pairs)
    assert data.layout == entry.called


@pytest.mark.parametrize("entry", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_with_columns_of_any_case_and_more_of_them(entry):
    rows = [
        {"Number": i, **{name.title(): row[name] for name in row}, "notes": "some words"}
        for i, row in enumerate(entry.rows())
    ]
    if entry.called == "Skywork":  # which is known by having no other column
        entry = entry._replace(called="TRL preference")
    data = read_preferences(rows, **entry.options or {})
    assert normalize(data.X, data.y, data.groups) == expected(entry.pairs)
    assert data.layout == entry.called
    assert {"Number", "notes"} <= data.columns.keys()
