"""docs/reference/study-yaml.md, made from the model."""

from __future__ import annotations

import sys
from typing import Any, get_args

from pydantic import BaseModel

from .model import ANNOTATION_TYPES, Record

HEAD = """\
# study.yaml and files.tsv

A submission in its simplest form is a folder with the images, `study.yaml` that describes the
study, and `files.tsv` that says for each file which part of the study it belongs to.
`slidebox init DIR` writes both, with comments, from what is in the folder.

`study.yaml` is plain YAML without tags, anchors and aliases. Words stay as they are written (`no`
is a word, `2024-01-31` a date as text). Where a list is asked for, one thing may stand without
brackets; where something with a name is asked for, the name alone will do (`organism: Homo
sapiens`). A field that the record does not know is kept under `extra` of its part, with a warning.

The names are REMBI's (Recommended Metadata for Biological Images) and MIFA's (annotations).
Which must be filled in is said below with "Required"; `slidebox validate` says it with the line.

This page is made from `workflow/slidebox/record/model.py`; a test holds the two together.

## files.tsv

One file a line, cells parted by tabs, UTF-8. The first line names the columns:

| column | what |
|---|---|
| `path` | From the submission's folder on, `/` between names; a folder means all in it. Required |
| `part` | Name of a study component or annotation set. Required unless there is only one |
| `source_image` | For annotation files: path of the image that they are about |
| `size` | Bytes; compared when given |
| `sha256` | Compared when the archive reads the file, and by `--deep` |

Other columns are free and are kept.

A `path` may be a pattern of the names of one image's planes, as Bio-Formats' `.pattern` files have
it: `plate1/img_T<01-10>_C<DAPI,GFP>_Z<>.tif`. A range counts and keeps its zeros (`<00-20:5>` in
steps of 5), a list takes each of its words, `<>` is any number that is there. The letters before
it say the axis: `T` (also `time`, `frame`, and `man_track`, `man_seg`, `mask` of the Cell Tracking
Challenge), `C` (`ch`, `channel`, `w`) or `Z` (`slice`, `plane`);
words of a list become names of channels. Folders may have places too (`T<1-3>/img_Z<>.tif`). Each
file that is missing, or of another size or type than the first, is named by validation. The pattern
may stand for the image in `source_image`. Names with two of `_T001_C02_Z03` in them are mostly
joined without a pattern.

## Types of annotations

{types}
"""


def _model_of(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """(the model inside an annotation, whether it is a list of it)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for inner in get_args(annotation):
        if isinstance(inner, type) or get_args(inner):
            found, _ = _model_of(inner)
            if found:
                return found, True
    return None, False


def _kind(annotation: Any) -> str:
    text = str(annotation)
    if "Literal" in text:
        return " or ".join(str(a) for a in get_args(annotation))
    if "list[" in text:
        return "list"
    if "dict" in text:
        return "anything"
    return "number" if "int" in text else "text"


def _table(model: type[BaseModel], name: str, seen: list[tuple[str, type[BaseModel]]]) -> str:
    rows = ["| field | what it is | |", "|---|---|---|"]
    for field, info in model.model_fields.items():
        if field == "extra":
            continue
        inner, many = _model_of(info.annotation)
        kind = _kind(info.annotation)
        if inner:
            at = f"{name}.{field}" if name else field
            kind = f"list, see [{at}](#{at.replace('.', '').lower()})" if many else "see below"
            seen.append((at, inner))
        rows.append(f"| `{field}` | {kind} | {info.description or ''} |")
    return "\n".join(rows) + "\n"


def page() -> str:
    """The whole page as Markdown."""
    seen: list[tuple[str, type[BaseModel]]] = []
    out = [HEAD.format(types=", ".join(f"`{t}`" for t in ANNOTATION_TYPES))]
    out.append("## The study\n\n" + _table(Record, "", seen))
    while seen:
        at, model = seen.pop(0)
        about = (model.__doc__ or "").strip().split("\n")[0]
        below: list[tuple[str, type[BaseModel]]] = []
        out.append(f"## {at}\n\n{about}\n\n" + _table(model, at, below))
        seen[:0] = below
    return "\n".join(out)


if __name__ == "__main__":
    sys.stdout.write(page())
