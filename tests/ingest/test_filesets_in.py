"""filesets.json is JSON for anyone and read line by line by us; tables are found beside labels."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidebox.ingest import filesets
from slidebox.ingest.images import label_tables

JSON = st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x), max_leaves=5)


@given(st.lists(st.dictionaries(st.text(), JSON, min_size=1)), st.dictionaries(st.text(), JSON))
def test_what_is_written_is_read_however_it_is_laid_out(tmp_path_factory, rows, record):
    path = tmp_path_factory.mktemp("sets") / "filesets.json"
    head = {"accession": "SB-1", "record": record}
    filesets.write(path, head, rows)
    assert json.loads(path.read_text(encoding="utf-8")) == {**head, "filesets": rows}
    assert (filesets.head(path), list(filesets.each(path))) == (head, rows)
    path.write_text(json.dumps({**head, "filesets": rows}, indent=1), encoding="utf-8")
    assert (filesets.head(path), list(filesets.each(path))) == (head, rows)


def test_a_list_that_is_cut_off_is_no_shorter_list(tmp_path):
    path = tmp_path / "filesets.json"
    filesets.write(path, {"accession": "SB-1"}, [{"path": "a"}, {"path": "b"}])
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(ValueError, match="cut off"):
        list(filesets.each(path))


def test_tables_belong_to_labels_by_name_or_by_what_they_say():
    def one(path, access="public", source=None):
        return {"path": path, "access": access, "source_image": source}

    labels = [one("a/1.ome.tiff"), one("a/2.png"), one("a/3.png")]
    tables = [one("a/1.csv"), one("b/x.tsv", source="a/2.png"), one("a/3.csv", "restricted")]
    found = label_tables([*labels, *tables], labels)
    assert found == {"a/1.ome.tiff": "a/1.csv", "a/2.png": "b/x.tsv"}
