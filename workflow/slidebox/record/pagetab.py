"""BioStudies PageTab (JSON or TSV) to the record: BioImages templates v4 and v5, MIFA, and older.

What has a field in the model goes there; all else that the form says stays in ``extra`` of the
part where it was said: unknown attributes under their own name, qualifiers under ``qualifiers``,
sections of unknown kind under ``sections``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..findings import Finding
from . import json_lines, pagetab_tsv
from .codes import finding
from .json_lines import BadJson, plain
from .model import (
    AnnotationSet,
    Association,
    Author,
    Biosample,
    Grant,
    ImageAcquisition,
    ImageAnalysis,
    ImageCorrelation,
    ImagingMethod,
    Link,
    Organisation,
    Organism,
    Publication,
    Record,
    Software,
    Specimen,
    StudyComponent,
)
from .pagetab_sections import (
    Section,
    dicts,
    flat,
    key,
    line_of,
    says_something,
    term_of,
    text_of,
    whole,
)
from .positions import Positions


@dataclass
class PageTab:
    """What a PageTab record gave.

    ``lists`` are (part's name, name of its file list, field, line); ``files`` are (part's name,
    file object, line) of files that the record lists itself.
    """

    record: Record | None
    where: Positions
    findings: list[Finding] = field(default_factory=list)
    lists: list[tuple[str, str, str, int | None]] = field(default_factory=list)
    files: list[tuple[str, dict, int | None]] = field(default_factory=list)


def is_submission(tree: Any) -> bool:
    """Whether a JSON value is a PageTab submission."""
    return isinstance(tree, dict) and isinstance(tree.get("section"), dict)


def loads(text: str, file: str) -> PageTab:
    """Read the text of a PageTab record, JSON or TSV."""
    where = Positions(file)
    twice: list[tuple[str, int]] = []
    if text.lstrip()[:1] in ("{", "["):
        try:
            tree, twice = json_lines.loads(text)
        except BadJson as error:
            return PageTab(None, where, [finding("JSON_SYNTAX", str(error), file, error.line)])
    else:
        tree = pagetab_tsv.loads(text)
    if not is_submission(tree):
        message = "the file is no PageTab submission: it has no root section"
        return PageTab(None, where, [finding("RECORD_EMPTY", message, file, 1)])
    reader = _Reader(where)
    for name, line in twice:
        reader.say("FIELD_TWICE", f"{name!r} is given twice", line, name)
    return reader.read(tree)


class _Reader:
    def __init__(self, where: Positions) -> None:
        self.where = where
        self.out = PageTab(None, where)
        self.record = Record()
        self.organisations: dict[str, str] = {}
        self.affiliations: list[tuple[Author, int, list[dict]]] = []

    def say(self, code: str, message: str, line: int | None, at: str, mend: str | None = None):
        self.out.findings.append(finding(code, message, self.where.file, line, at, mend))

    def read(self, tree: dict) -> PageTab:
        root = Section(tree, "", self.where)
        study = tree["section"]
        section = Section(study, "", self.where)
        record = self.record
        record.accession = text_of(tree.get("accno"))
        if line := line_of(tree, "accno"):
            self.where.lines["accession"] = line
        record.title = section.one("title", "Title") or root.one("title", "Title")
        record.release_date = section.one(
            "release_date", "ReleaseDate", "Release date"
        ) or root.one("release_date", "ReleaseDate")
        record.description = section.one("description", "Description") or section.one(
            "description", "Abstract"
        )
        record.keywords = section.many("keywords", "Keyword", "Keywords")
        record.license = section.one("license", "License", "Licence")
        record.acknowledgements = section.one(
            "acknowledgements", "Acknowledgements", "Acknowledgments", "Acknowledgement"
        )
        record.funding_statement = section.one("funding_statement", "Funding statement")
        record.rules_of_use = section.one("rules_of_use", "Rules of use")
        self._links(flat(study.get("links")))
        self._modules(flat(study.get("subsections")))
        self._files(study, "")
        self._resolve()
        record.extra = section.rest("links", "subsections") | record.extra
        if told := root.rest("accno", "section"):
            record.extra["submission"] = told
        self.out.record = record
        return self.out

    # --- sections -------------------------------------------------------------------------------

    def _modules(self, sections: Iterable[dict]) -> None:
        makers = {
            "author": self._author,
            "organisation": self._organisation,
            "organization": self._organisation,
            "publication": self._publication,
            "funding": self._funding,
            "biosample": self._biosample,
            "specimen": self._specimen,
            "imageacquisition": self._acquisition,
            "imagecorrelation": self._correlation,
            "imageanalysis": self._analysis,
            "studycomponent": self._component,
            "annotations": self._annotations,
            "annotation": self._annotations,
        }
        for node in sections:
            kind = key(node.get("type"))
            if not says_something(node):
                if node.get("accno"):
                    self.record.extra.setdefault("empty_sections", []).append(plain(node))
            elif kind in makers:
                if kind not in ("studycomponent", "annotations", "annotation"):
                    self._files(node, "")
                makers[kind](node)
            elif any(key(a.get("name")) == "filelist" for a in dicts(node.get("attributes"))):
                self._component(node)
            else:
                self.record.extra.setdefault("sections", []).append(plain(node))

    def _start(self, node: dict, kind: str) -> Section:
        return Section(node, f"{kind}[{len(getattr(self.record, kind))}]", self.where)

    def _end(self, section: Section, kind: str, part: Any, *known: str) -> None:
        part.extra = section.rest(*known) | part.extra
        getattr(self.record, kind).append(part)

    def _author(self, node: dict) -> None:
        s = self._start(node, "authors")
        author = Author(
            name=s.one("name", "Name"),
            email=s.one("email", "E-mail", "Email"),
            orcid=s.one("orcid", "ORCID"),
            role="; ".join(s.many("role", "Role")),
        )
        references = s.nodes("organisations", "Affiliation", "Organisation", "Organization")
        self.affiliations.append((author, len(self.record.authors), references))
        self._end(s, "authors", author)

    def _organisation(self, node: dict) -> None:
        s = self._start(node, "organisations")
        organisation = Organisation(
            name=s.one("name", "Name", "Organisation", "Organization"),
            ror=s.one("ror", "RORID", "ROR"),
            address=s.one("address", "Address"),
            url=s.one("url", "URL", "Website"),
        )
        if node.get("accno"):
            self.organisations[text_of(node["accno"])] = organisation.name
        self._end(s, "organisations", organisation)

    def _resolve(self) -> None:
        """Authors' affiliations: references to organisations become their names."""
        for author, i, references in self.affiliations:
            for j, attribute in enumerate(references):
                value = text_of(attribute.get("value"))
                at = f"authors[{i}].organisations[{j}]"
                line = line_of(attribute, "value")
                marked = attribute.get("reference") or attribute.get("isReference")
                name = self.organisations.get(value)
                if name is None and (marked or re.fullmatch(r"o\d+", value)):
                    self.say(
                        "REFERENCE_UNKNOWN",
                        f"the affiliation {value[:60]!r} is the accno of no organisation",
                        line,
                        at,
                        "Give the organisation this accno, or write its name.",
                    )
                elif name is not None and not marked:
                    self.say(
                        "REFERENCE_UNMARKED",
                        f"the affiliation {value[:60]!r} is an organisation's accno but is not "
                        "marked as a reference",
                        line,
                        at,
                    )
                author.organisations.append(value if name is None else name)

    def _publication(self, node: dict) -> None:
        s = self._start(node, "publications")
        names = s.many("authors", "Authors", "Author", "Author list")
        publication = Publication(
            title=s.one("title", "Title"),
            authors=[a.strip() for n in names for a in n.split(";") if a.strip()],
            doi=s.one("doi", "DOI"),
            pubmed_id=s.one("pubmed_id", "Pubmed ID", "PMID", "PubMed"),
            year=s.one("year", "Year"),
            status=s.one("status", "Status"),
        )
        self._end(s, "publications", publication)

    def _funding(self, node: dict) -> None:
        s = self._start(node, "funding")
        grant = Grant(
            agency=s.one("agency", "Agency", "Funder"),
            grant_id=s.one("grant_id", "grant_id", "Grant id"),
        )
        self._end(s, "funding", grant)

    def _links(self, links: Iterable[dict]) -> None:
        for node in links:
            s = self._start(node, "links")
            if line := line_of(node, "url"):
                self.where.lines[s.field("url")] = line
            link = Link(
                url=text_of(node.get("url")),
                description=s.one("description", "Description"),
                type=s.one("type", "Type"),
            )
            self._end(s, "links", link, "url")

    def _biosample(self, node: dict, name: str = "") -> str:
        s = self._start(node, "biosamples")
        sample = Biosample(
            name=s.one("name", "Title", "Name") or name,
            biological_entity="; ".join(s.many("biological_entity", "Biological entity")),
            description=s.one("description", "Description"),
            experimental_variables=s.many("experimental_variables", "Experimental variable"),
            extrinsic_variables=s.many("extrinsic_variables", "Extrinsic variable"),
            intrinsic_variables=s.many("intrinsic_variables", "Intrinsic variable"),
        )
        for attribute in s.nodes("organism", "Organism", qualifiers=False):
            sample.organism.append(_organism(attribute))
        for below in flat(node.get("subsections")):
            if key(below.get("type")) == "organism":
                o = Section(below, s.field(f"organism[{len(sample.organism)}]"), self.where)
                organism = Organism(
                    name=o.one("name", "Scientific name", "Name"),
                    common_name=o.one("common_name", "Common name"),
                    ncbi_taxon=o.one("ncbi_taxon", "NCBI taxon ID", "NCBITaxon"),
                )
                organism.extra = o.rest()
                sample.organism.append(organism)
            elif says_something(below) or below.get("accno"):
                sample.extra.setdefault("sections", []).append(whole(below))
        self._end(s, "biosamples", sample, "subsections")
        return sample.name

    def _specimen(self, node: dict, name: str = "") -> str:
        s = self._start(node, "specimens")
        specimen = Specimen(
            name=s.one("name", "Title", "Name") or name,
            sample_preparation=s.one(
                "sample_preparation", "Sample preparation protocol", "Sample preparation"
            ),
            growth_protocol=s.one("growth_protocol", "Growth protocol"),
        )
        self._end(s, "specimens", specimen)
        return specimen.name

    def _acquisition(self, node: dict, name: str = "") -> str:
        s = self._start(node, "image_acquisitions")
        acquisition = ImageAcquisition(
            name=s.one("name", "Title", "Name") or name,
            imaging_instrument=s.one("imaging_instrument", "Imaging instrument"),
            acquisition_parameters=s.one("acquisition_parameters", "Image acquisition parameters"),
        )
        for attribute in s.nodes("imaging_methods", "Imaging method", qualifiers=False):
            term, extra = term_of(attribute)
            acquisition.imaging_methods.append(
                ImagingMethod(name=text_of(attribute.get("value")), fbbi=term, extra=extra)
            )
        for below in flat(node.get("subsections")):
            if key(below.get("type")) == "imagingmethod":
                at = s.field(f"imaging_methods[{len(acquisition.imaging_methods)}]")
                m = Section(below, at, self.where)
                method = ImagingMethod(
                    name=m.one("name", "Ontology Value", "Name"),
                    fbbi=m.one("fbbi", "Ontology Term ID", "TermId"),
                )
                method.extra = m.rest()
                acquisition.imaging_methods.append(method)
            elif says_something(below) or below.get("accno"):
                acquisition.extra.setdefault("sections", []).append(whole(below))
        self._end(s, "image_acquisitions", acquisition, "subsections")
        return acquisition.name

    def _correlation(self, node: dict, name: str = "") -> str:
        s = self._start(node, "image_correlations")
        correlation = ImageCorrelation(
            name=s.one("name", "Title", "Name") or name,
            alignment=s.one("alignment", "Spatial and temporal alignment"),
            fiducials=s.one("fiducials", "Fiducials used"),
            transformation_matrix=s.one("transformation_matrix", "Transformation matrix"),
        )
        self._end(s, "image_correlations", correlation)
        return correlation.name

    def _analysis(self, node: dict, name: str = "") -> str:
        s = self._start(node, "image_analyses")
        analysis = ImageAnalysis(
            name=s.one("name", "Title", "Name") or name,
            overview=s.one("overview", "Image analysis overview"),
        )
        for below in flat(node.get("subsections")):
            if key(below.get("type")).startswith("software"):
                at = s.field(f"software[{len(analysis.software)}]")
                w = Section(below, at, self.where)
                software = Software(
                    name=w.one("name", "Name", "Title", "Software"),
                    version=w.one("version", "Version"),
                    url=w.one("url", "URL", "Link"),
                    parameters=w.one("parameters", "Parameters"),
                )
                software.extra = w.rest()
                analysis.software.append(software)
            elif says_something(below) or below.get("accno"):
                analysis.extra.setdefault("sections", []).append(whole(below))
        self._end(s, "image_analyses", analysis, "subsections")
        return analysis.name

    def _component(self, node: dict) -> None:
        s = self._start(node, "study_components")
        component = StudyComponent(
            name=s.one("name", "Name", "Title") or self._unnamed(node),
            description=s.one("description", "Description"),
            file_list=s.one("file_list", "File List"),
        )
        if key(node.get("type")) != "studycomponent":
            s.extra["type"] = text_of(node.get("type"))
        # modules that stand inside the component instead of beside it: taken out, with their link
        inside = {
            "biosample": ("biosample", self._biosample),
            "specimen": ("specimen", self._specimen),
            "imageacquisition": ("image_acquisition", self._acquisition),
            "imagecorrelation": ("image_correlation", self._correlation),
            "imageanalysis": ("image_analysis", self._analysis),
        }
        found: dict[str, list[str]] = {}
        for below in flat(node.get("subsections")):
            kind = key(below.get("type"))
            if kind in ("associations", "association"):
                self._association(below, s, component)
            elif kind in inside:
                name, maker = inside[kind]
                label = text_of(below.get("accno")) or f"{component.name} {name}"
                found.setdefault(name, []).append(maker(below, label))
                self.say(
                    "MODULE_NESTED",
                    f"{text_of(below.get('type'))} stands inside the study component "
                    f"{component.name[:80]!r}, not beside it",
                    line_of(below),
                    s.at,
                )
            elif says_something(below) or below.get("accno"):
                component.extra.setdefault("sections", []).append(whole(below))
        for i in range(max((len(v) for v in found.values()), default=0)):
            names = {k: v[min(i, len(v) - 1)] for k, v in found.items()}
            component.associations.append(Association(**names))
        self._files(node, component.name)
        self._list(s, component)
        self._end(s, "study_components", component, "subsections")

    def _unnamed(self, node: dict) -> str:
        kind = text_of(node.get("type"))
        if key(kind) == "studycomponent":
            return ""
        taken = {c.name for c in self.record.study_components}
        return next(n for n in (kind, *(f"{kind} {i}" for i in range(2, 10_000))) if n not in taken)

    def _association(self, node: dict, s: Section, component: StudyComponent) -> None:
        a = Section(node, s.field(f"associations[{len(component.associations)}]"), self.where)
        association = Association(
            biosample=a.one("biosample", "Biosample"),
            specimen=a.one("specimen", "Specimen"),
            image_acquisition=a.one("image_acquisition", "Image acquisition"),
            image_correlation=a.one("image_correlation", "Image correlation"),
            image_analysis=a.one("image_analysis", "Image analysis"),
        )
        association.extra = a.rest()
        component.associations.append(association)

    def _annotations(self, node: dict) -> None:
        s = self._start(node, "annotation_sets")
        annotations = AnnotationSet(
            name=s.one("name", "Title", "Name"),
            overview=s.one("overview", "Annotation Overview"),
            types=s.many("types", "Annotation Type"),
            methods=s.many("methods", "Annotation Method"),
            confidence_level=s.one(
                "confidence_level", "Annotation Confidence Level", "Confidence level"
            ),
            criteria=s.one("criteria", "Annotation Criteria"),
            coverage=s.one("coverage", "Annotation Coverage"),
            version=s.one("version", "Version", "Annotation Version"),
            file_list=s.one("file_list", "File List"),
        )
        self._files(node, annotations.name)
        self._list(s, annotations)
        self._end(s, "annotation_sets", annotations)

    def _list(self, s: Section, part: StudyComponent | AnnotationSet) -> None:
        if part.file_list:
            at = s.field("file_list")
            self.out.lists.append((part.name, part.file_list, at, self.where.line(at)))

    def _files(self, node: dict, part: str) -> None:
        for one in flat(node.get("files")):
            self.out.files.append((part, one, line_of(one, "path")))


def _organism(attribute: dict) -> Organism:
    """``Mus musculus (mouse)`` with its qualifiers."""
    text = text_of(attribute.get("value"))
    term, extra = term_of(attribute)
    found = re.fullmatch(r"\s*([^()]+?)\s*\(([^()]+)\)\s*", text)
    if found:
        return Organism(name=found[1], common_name=found[2], ncbi_taxon=term, extra=extra)
    return Organism(name=text, ncbi_taxon=term, extra=extra)
