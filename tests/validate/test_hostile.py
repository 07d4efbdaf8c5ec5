"""Everything in the list of threats is refused under its own code, and nothing outside is read."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path

import pytest
import study
from rich.console import Console

from slidebox.validate import report, validate
from slidebox.validate.collect import Collector
from slidebox.validate.tree import scan


def look(folder: Path):
    out = Collector()
    tree = scan(folder, out)
    return tree, {f.code for f in out.all()}, out.all()


def test_symlinks(submission: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.tif"
    study.image(secret)
    (submission / "images/b.ome.tif").symlink_to(secret)
    (submission / "elsewhere").symlink_to(tmp_path)
    (submission / "dangling").symlink_to("nowhere")
    tree, _, findings = look(submission)
    assert sorted(f.file for f in findings if f.code == "FILE_SYMLINK") == [
        "dangling",
        "elsewhere",
        "images/b.ome.tif",
    ]
    assert not any("secret" in p or p.startswith("elsewhere") for p in tree.files)


def test_record_and_lists_through_links_are_not_read(tmp_path: Path) -> None:
    outside = study.write(tmp_path / "outside")
    folder = tmp_path / "S-TEST1"
    folder.mkdir()
    (folder / "study.yaml").symlink_to(outside / "study.yaml")
    assert {f.code for f in validate(folder).findings} == {"RECORD_MISSING", "FILE_SYMLINK"}
    (folder / "study.yaml").unlink()
    (folder / "study.yaml").write_text(study.STUDY)
    (folder / "files.tsv").symlink_to(outside / "files.tsv")
    result = validate(folder)
    assert result.filesets == []
    assert {"FILE_SYMLINK", "FILE_LIST_MISSING"} <= {f.code for f in result.findings}


def test_pagetab_file_list_outside_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.tsv").write_text("Files\nsecret\n")
    folder = tmp_path / "S-1"
    folder.mkdir()
    for name in ("../secret.tsv", str(tmp_path / "secret.tsv"), "link.tsv", "dir/secret.tsv"):
        (folder / "study.tsv").write_text(
            f"Submission\tS-1\n\nStudy\tST\n\nStudy Component\tC1\nName\tA\nFile List\t{name}\n"
        )
        for link, target in (("link.tsv", tmp_path / "secret.tsv"), ("dir", tmp_path)):
            if not (folder / link).is_symlink():
                (folder / link).symlink_to(target)
        result = validate(folder)
        assert "FILE_LIST_MISSING" in {f.code for f in result.findings}
        assert "secret" not in str([f.message for f in result.findings if "listed" in f.message])


def test_hardlink_to_outside(submission: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("x")
    os.link(tmp_path / "outside.txt", submission / "notes.txt")
    assert "FILE_HARDLINK" in look(submission)[1]


def test_hardlinks_within_are_no_danger(submission: Path) -> None:
    os.link(submission / "images/a.ome.tif", submission / "images/b.ome.tif")
    assert "FILE_HARDLINK" not in look(submission)[1]


def test_fifo_and_socket_do_not_hang(bare: Path, monkeypatch) -> None:
    submission = bare
    (bare / "images").mkdir()
    os.mkfifo(submission / "images/pipe.tif")
    os.mkfifo(submission / "files2.tsv")
    monkeypatch.chdir(submission)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("sock")
        files = study.FILES + "images/pipe.tif\tImages\t\nsock\tImages\t\n"
        (submission / "files.tsv").write_text(files)
        found = validate(submission).findings
    assert sorted(f.file for f in found if f.code == "FILE_SPECIAL") == [
        "files2.tsv",
        "images/pipe.tif",
        "sock",
    ]


def test_record_that_is_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "study.yaml")
    assert {"RECORD_MISSING", "FILE_SPECIAL"} == {f.code for f in validate(tmp_path).findings}


@pytest.mark.parametrize("name", ["a\nb.tif", "a\x1b[31mb.tif", "a\x7f.tif", "a\u2028b.tif"])
def test_control_characters_in_names(submission: Path, name: str) -> None:
    (submission / name).touch()
    _, codes, findings = look(submission)
    assert "NAME_CONTROL" in codes
    shown = next(f.file for f in findings if f.code == "NAME_CONTROL")
    assert shown.isprintable()


def test_names_that_are_not_utf8(bare: Path) -> None:
    Path(os.fsdecode(os.fsencode(bare) + b"/caf\xe9.tif")).touch()
    result = validate(bare)
    found = next(f for f in result.findings if f.code == "NAME_NOT_UTF8")
    assert found.file == "caf\\xe9.tif"
    out = io.StringIO()
    report.print_terminal(result, Console(file=out))
    report.html(result).encode()


def test_accent_and_case_twins(submission: Path) -> None:
    for name in ("é.txt", "e\u0301.txt", "B.txt", "b.txt"):
        (submission / name).write_text("x")
    codes = look(submission)[1]
    assert {"NAME_UNICODE", "NAME_CASE", "NAME_CHARACTERS"} <= codes


def test_unreadable_and_empty(submission: Path) -> None:
    (submission / "empty.txt").touch()
    (submission / "nothing").mkdir()
    codes = look(submission)[1]
    assert {"FILE_EMPTY", "FOLDER_EMPTY"} <= codes


def test_long_paths(submission: Path) -> None:
    deep = submission
    for _ in range(5):
        deep = deep / ("d" * 220)
        deep.mkdir()
    (deep / "a.txt").write_text("x")
    assert "NAME_TOO_LONG" in look(submission)[1]


def test_yaml_bombs_and_tags(bare: Path) -> None:
    bomb = "a: &a [x,x,x]\n" + "".join(
        f"{c}: &{c} [{', '.join('*' + p for _ in range(9))}]\n"
        for p, c in zip("abcdefgh", "bcdefghi", strict=True)
        for p in [p]
    )
    for text, code in (
        (bomb, "YAML_ALIAS"),
        ("title: !!python/object/apply:os.system ['touch /tmp/owned']", "YAML_TAG"),
        ("[" * 5000, "RECORD_TOO_DEEP"),
        ("title: a\n" * 3, "FIELD_TWICE"),
        ("x" * (9 << 20), "RECORD_TOO_LARGE"),
        ("title: caf\xe9", "TEXT_NOT_UTF8"),
        ("", "RECORD_EMPTY"),
        ("title: \x00", "YAML_SYNTAX"),
    ):
        (bare / "study.yaml").write_bytes(text.encode("latin-1"))
        assert code in {f.code for f in validate(bare).findings}, code


def test_json_bombs(tmp_path: Path) -> None:
    for text, code in (
        ('{"@graph": ' + "[" * 100_000, "JSON_SYNTAX"),
        ('{"@graph": [], "@graph": []}', "FIELD_TWICE"),
        ('{"@graph": 1}', "RECORD_EMPTY"),
        ('{"@graph": [' + "9" * 5000 + "]}", "JSON_SYNTAX"),
    ):
        (tmp_path / "ro-crate-metadata.json").write_text(text)
        assert code in {f.code for f in validate(tmp_path).findings}, code


def test_markup_and_formulas_stay_text(bare: Path) -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
    (bare / "study.yaml").write_text(
        study.STUDY.replace("Nuclei of cultured", f"'{evil} cultured").replace(
            "two conditions", "two conditions'"
        ).replace("10.1234/test.5678", "'=HYPERLINK(\"http://x\")'")
    )  # fmt: skip
    result = validate(bare)
    assert result.record.title.startswith(evil)
    assert "FIELD_MARKUP" in {f.code for f in result.findings}
    page = report.html(result)
    assert "<script" not in page and "<img" not in page and "onerror=alert(2)&gt;" in page


def test_terminal_escapes_are_not_passed_on(bare: Path) -> None:
    (bare / "study.yaml").write_text(study.STUDY.replace("CC-BY-4.0", '"\\e]0;owned\\a[red]x"'))
    out = io.StringIO()
    report.print_terminal(validate(bare), Console(file=out))
    assert "\x1b" not in out.getvalue() and "\a" not in out.getvalue()
    assert "LICENCE_UNKNOWN" in out.getvalue() and "[red]" in out.getvalue()


def test_formulas_in_lists(bare: Path) -> None:
    (bare / "files.tsv").write_text(
        "path\tpart\ta\tb\tc\n"
        "x.tif\tImages\t=cmd|' /C calc'!A0\t@SUM(A1)\t-2.5\n"
        "y.tif\tImages\t-\t+5\t-cmd|x\n"
    )
    found = [(f.line, f.field) for f in validate(bare).findings if f.code == "CELL_FORMULA"]
    assert found == [(2, "a"), (2, "b"), (3, "c")]


def test_file_that_changes_while_it_is_validated(bare: Path) -> None:
    (bare / "files.tsv").write_text("path\tpart\na.txt\tImages\nb.txt\tImages\n")
    (bare / "a.txt").write_text("x")
    (bare / "b.txt").write_text("x")

    def meddle(stage: str, done: int, total: int) -> None:
        if stage == "Comparing lists and files":
            (bare / "a.txt").write_text("other")
            (bare / "b.txt").unlink(missing_ok=True)

    found = {f.file for f in validate(bare, progress=meddle).findings if f.code == "FILE_CHANGED"}
    assert found == {"a.txt", "b.txt"}


def test_deposit_that_adds(bare: Path) -> None:
    (bare / "labels").mkdir()
    (bare / "labels/b.csv").write_text("a\n")
    (bare / "files.tsv").write_text(
        "path\tpart\tsource_image\nlabels/b.csv\tMasks\timages/a.ome.tif\n"
    )
    first = {f.code for f in validate(bare).findings}
    assert {"SOURCE_UNKNOWN", "PART_EMPTY"} <= first
    later = {f.code for f in validate(bare, known=["images/a.ome.tif"]).findings}
    assert not {"SOURCE_UNKNOWN", "PART_EMPTY"} & later


class Sealed:
    """As deposit.read_ready gives it."""

    accession = "S-TEST1"

    def __init__(self, folder: Path) -> None:
        self.list = [
            (str(p.relative_to(folder)), p.stat().st_size, p.stat().st_mtime_ns)
            for p in sorted(folder.rglob("*"))
            if p.is_file()
        ]

    def entries(self):
        yield from self.list


def test_files_that_changed_after_sealing(bare: Path) -> None:
    submission = bare
    (bare / "labels").mkdir()
    (bare / "labels/a.tif").touch()
    (bare / "files.tsv").write_text("path\tpart\n")
    sealed = Sealed(submission)
    assert "FILE_CHANGED" not in {f.code for f in validate(submission, ready=sealed).findings}
    with (submission / "labels/a.tif").open("ab") as handle:
        handle.write(b"x")
    (submission / "new.txt").write_text("x")
    sealed.list.append(("gone.txt", 1, 1))
    found = [
        f.file for f in validate(submission, ready=sealed).findings if f.code == "FILE_CHANGED"
    ]
    assert sorted(found) == ["gone.txt", "labels/a.tif", "new.txt"]


def test_accession_of_another(bare: Path) -> None:
    submission = bare
    sealed = Sealed(submission)
    sealed.accession = "S-OTHER"
    assert "ACCESSION_MISMATCH" in {f.code for f in validate(submission, ready=sealed).findings}


def test_two_records(bare: Path) -> None:
    submission = bare
    (submission / "ro-crate-metadata.json").write_text('{"@graph": []}')
    found = next(f for f in validate(submission).findings if f.code == "RECORD_AMBIGUOUS")
    assert "study.yaml" in found.message and "ro-crate-metadata.json" in found.message


def test_thousands_alike_are_counted_not_listed(bare: Path) -> None:
    rows = "".join(f"images/{i}.tif\tImages\t\n" for i in range(3000))
    (bare / "files.tsv").write_text("path\tpart\tsource_image\n" + rows)
    found = [f for f in validate(bare).findings if f.code == "FILE_MISSING"]
    assert len(found) == 1001 and "2,000 more" in found[-1].message
