"""Parquet files joined without reading them: what outside readers make of the result."""

from __future__ import annotations

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidebox.catalogue.parquet_join import join

SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("number", pa.int64()),
        ("size", pa.float64()),
        ("yes", pa.bool_()),
        ("texts", pa.list_(pa.string())),
    ]
)
ROW = st.fixed_dictionaries(
    {
        "text": st.none() | st.text(max_size=20),
        "number": st.none() | st.integers(-(2**63), 2**63 - 1),
        "size": st.none() | st.floats(allow_nan=False),
        "yes": st.none() | st.booleans(),
        "texts": st.none() | st.lists(st.none() | st.text(max_size=5), max_size=3),
    }
)


def joined(folder, tables: list[pa.Table], rows: int, **options) -> tuple:
    parts = []
    for number, table in enumerate(tables):
        parts.append(folder / f"part{number}.parquet")
        pq.write_table(table, parts[-1], compression="zstd", row_group_size=rows, **options)
    with (folder / "whole.parquet").open("wb") as out:
        sizes = join(parts, out)
    return folder / "whole.parquet", parts, sizes


@settings(max_examples=10, deadline=None)
@given(st.lists(st.lists(ROW, max_size=40), min_size=1, max_size=5), st.integers(1, 10))
def test_any_tables_joined_are_all_their_rows(tmp_path_factory, lists, rows):
    tables = [pa.Table.from_pylist(rows, schema=SCHEMA) for rows in lists]
    path, parts, sizes = joined(tmp_path_factory.mktemp("join"), tables, rows)
    whole = pa.concat_tables(tables)
    assert pq.read_table(path).equals(whole)
    assert duckdb.sql(f"SELECT * FROM '{path}'").to_arrow_table().cast(SCHEMA).equals(whole)
    # Row groups are where the metadata says, and the parts' bytes are in the file as they were.
    read = pq.ParquetFile(path)
    groups = [read.read_row_group(n) for n in range(read.num_row_groups)]
    assert pa.concat_tables(groups or [whole.slice(0, 0)]).equals(whole)
    at, data = 4, path.read_bytes()
    for part, size in zip(parts, sizes, strict=True):
        assert data[at : at + size] == part.read_bytes()[4 : 4 + size]
        at += size


def test_a_large_table_is_read_by_its_statistics_and_columns(tmp_path):
    tables = [
        pa.table({"place": range(n, n + 1000), "name": [f"n{k}" for k in range(n, n + 1000)]})
        for n in range(0, 40_000, 1000)
    ]
    for options in ({}, {"write_page_index": True, "use_dictionary": False}):
        path, *_ = joined(tmp_path, tables, 300, **options)
        assert pq.read_metadata(path).num_row_groups == 160
        found = pd.read_parquet(path, filters=[("place", ">=", 39_990)], columns=["name"])
        assert list(found["name"]) == [f"n{k}" for k in range(39_990, 40_000)]
        (row,) = duckdb.sql(f"SELECT name FROM '{path}' WHERE place = 20123").fetchall()
        assert row == ("n20123",)


def test_tables_of_other_columns_and_broken_files_are_refused(tmp_path):
    one, two = pa.table({"a": [1]}), pa.table({"b": ["x"]})
    with pytest.raises(ValueError, match=r"part1\.parquet: its columns are not those of"):
        joined(tmp_path, [one, two], 10)
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "part0.parquet").read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"cut\.parquet is no whole Parquet file"):
        join([tmp_path / "cut.parquet"], (tmp_path / "out").open("wb"))
