"""Organisms and imaging methods against the bundled subsets of NCBITaxon and FBbi."""

from __future__ import annotations

from collections.abc import Callable

from ..record import Record
from .vocabulary import fbbi_id, taxon_id, vocabulary

_ANY_METHOD = "microscopy"


def check_terms(record: Record, add: Callable[..., None]) -> None:
    """Names and ids of organisms and imaging methods; ``add(code, message, field, mend)``."""
    for i, sample in enumerate(record.biosamples):
        for j, organism in enumerate(sample.organism):
            _check(
                ("ORGANISM_UNKNOWN", "ORGANISM_ID", "ORGANISM_MISMATCH"),
                "ncbitaxon",
                taxon_id,
                "NCBITaxon:{}",
                organism.name,
                organism.ncbi_taxon,
                (
                    f"biosamples[{i}].organism[{j}].name",
                    f"biosamples[{i}].organism[{j}].ncbi_taxon",
                ),
                add,
            )
    for i, acquisition in enumerate(record.image_acquisitions):
        for j, method in enumerate(acquisition.imaging_methods):
            at = f"image_acquisitions[{i}].imaging_methods[{j}]"
            _check(
                ("METHOD_UNKNOWN", "METHOD_ID", "METHOD_MISMATCH"),
                "fbbi",
                fbbi_id,
                "FBbi:{}",
                method.name,
                method.fbbi,
                (f"{at}.name", f"{at}.fbbi"),
                add,
            )


def _check(
    codes: tuple[str, str, str],
    subset: str,
    parse: Callable[[str], str | None],
    form: str,
    name: str,
    term: str,
    fields: tuple[str, str],
    add: Callable[..., None],
) -> None:
    unknown, malformed, mismatch = codes
    terms = vocabulary(subset)
    if name.strip().startswith("<"):
        return  # a placeholder has its own finding
    by_name = terms.find(name)
    number = parse(term) if term.strip() else None
    if term.strip() and number is None:
        known = form.format(by_name) if by_name else None
        add(
            malformed,
            f"{term[:60]!r} is no id of the form {form.format('123')}",
            fields[1],
            f"Write {known}." if known else None,
        )
    elif number and number in terms.names and by_name != number and name.strip():
        if by_name is not None:
            add(
                mismatch,
                f"{form.format(number)} is {terms.names[number]}, not {name[:80]!r}",
                fields[1],
                f"{name[:80]} is {form.format(by_name)}.",
            )
        return  # a name of one's own beside a known id is fine
    if by_name is None and number is None and name.strip():
        near = terms.near(name)
        add(
            unknown,
            f"{name[:80]!r} is none of the terms that are known here",
            fields[0],
            f"Did you mean {terms.names[near]} ({form.format(near)})?"
            if near
            else "Give the term's id, or leave it as free text.",
        )
