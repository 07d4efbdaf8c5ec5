"""The BioImage Archive's RO-Crate profile to the record.

Properties are understood by their IRI, so that a crate may use any JSON name that its context
gives that meaning; names of the profile may not be given another one. What has no field in the
model stays in ``extra``: of the part that the entity became, or, for entities that became none,
under ``entities`` of the record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..findings import Finding
from . import json_lines
from .codes import finding
from .file_list import FileList, Row, parse_size, read_table
from .inside import NotInside
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
    SignalChannel,
    Specimen,
    StudyComponent,
)
from .positions import Positions
from .rocrate_terms import CLASSES, EXPECTED, MORE, PREFIXES, REQUIRED, TERMS, compact, expand

NAME = "ro-crate-metadata.json"
_ORCID = re.compile(r"https?://orcid\.org/(\S+)")
_BAD_IRI = re.compile(r"[\s<>\"{}|\\^`\x00-\x1f]|%(?![0-9A-Fa-f]{2})")
_MODULES = {
    "BioSample": "biosamples",
    "SpecimenImagingPreparationProtocol": "specimens",
    "ImageAcquisitionProtocol": "image_acquisitions",
    "ImageCorrelationMethod": "image_correlations",
    "ImageAnalysisMethod": "image_analyses",
}
_ROLE_OF = {
    "biosamples": "biosample",
    "specimens": "specimen",
    "image_acquisitions": "image_acquisition",
    "image_correlations": "image_correlation",
    "image_analyses": "image_analysis",
}


@dataclass
class Crate:
    """What a crate gave: record, where its fields stand, files of its lists, findings."""

    record: Record | None
    where: Positions
    files: FileList = field(default_factory=FileList)
    findings: list[Finding] = field(default_factory=list)


@dataclass
class _Entity:
    """An object of the graph: properties by compact IRI, each with its JSON name and line."""

    id: str
    node: dict
    classes: tuple[str, ...]
    properties: dict[str, list[tuple[str, Any, int]]]
    line: int
    taken: set[str] = field(default_factory=set)

    @property
    def kind(self) -> str:
        return self.classes[0] if len(self.classes) == 1 else ""

    def values(self, iri: str) -> list[Any]:
        """All values of a property, single ones as a list; the property counts as taken."""
        self.taken.add(iri)
        out: list[Any] = []
        for _, value, _ in self.properties.get(iri, []):
            out += [
                v for v in (value if isinstance(value, list) else [value]) if v not in (None, "")
            ]
        return out

    def text(self, iri: str) -> str:
        """The first value as text; an ``@value`` object is its value, a reference its id."""
        for value in self.values(iri):
            return _plain_text(value)
        return ""

    def texts(self, iri: str) -> list[str]:
        return [_plain_text(v) for v in self.values(iri)]

    def references(self, iri: str) -> list[str]:
        """Ids that a property refers to."""
        return [v["@id"] for v in self.values(iri) if isinstance(v, dict) and _is_id(v)]

    def line_of(self, iri: str) -> int:
        found = self.properties.get(iri)
        return found[0][2] if found else self.line

    def rest(self) -> dict[str, Any]:
        """What nobody took, by JSON name, and the id."""
        out: dict[str, Any] = {"@id": self.id}
        for iri, members in self.properties.items():
            for n, (name, value, _) in enumerate(members):
                # of two names with one meaning only the first was taken where one value is wanted
                if (iri not in self.taken or n) and value not in (None, "", []):
                    out[name] = plain(value)
        return out


def _is_id(value: dict) -> bool:
    return isinstance(value.get("@id"), str)


def _plain_text(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("@value", value.get("@id", ""))
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else "" if value is None else str(value)


def loads(text: str, folder: Path | None = None, file: str = NAME) -> Crate:
    """Read a crate's metadata and, with a folder, the file lists that it names."""
    where = Positions(file)
    try:
        tree, twice = json_lines.loads(text)
    except BadJson as error:
        return Crate(None, where, findings=[finding("JSON_SYNTAX", str(error), file, error.line)])
    reader = _Reader(where, folder)
    for name, line in twice:
        reader.say("FIELD_TWICE", f"{name!r} is given twice in one object", line)
    return reader.read(tree)


class _Reader:
    def __init__(self, where: Positions, folder: Path | None) -> None:
        self.where, self.folder = where, folder
        self.out = Crate(None, where)
        self.entities: dict[str, _Entity] = {}
        self.names: dict[str, str] = {}  # id of an entity -> name of the part it became
        self.used: set[str] = set()

    def say(
        self,
        code: str,
        message: str,
        line: int | None = None,
        at: str | None = None,
        mend: str | None = None,
        file: str | None = None,
    ) -> None:
        self.out.findings.append(finding(code, message, file or self.where.file, line, at, mend))

    # --- the graph --------------------------------------------------------------------------

    def read(self, tree: Any) -> Crate:
        graph = tree.get("@graph") if isinstance(tree, dict) else None
        if not isinstance(graph, list):
            self.say("RECORD_EMPTY", "the crate has no @graph", 1)
            return self.out
        terms = self._context(tree.get("@context"))
        for node in graph:
            self._entity(node, terms)
        self._references()
        root = self.entities.get("./")
        if root is None or "Study" not in root.classes:
            self.say(
                "CRATE_ROOT",
                "the crate has no root './' of the type bia:Study",
                root.line if root else 1,
                mend="Give the root entity './' the types Dataset and bia:Study.",
            )
        record = Record()
        if root is not None:
            self._study(root, record)
        self._modules(record)
        self._datasets(record)
        linked = self._lists(record)
        self._reach(root, linked)
        self._leftovers(record, graph)
        self.out.record = record
        return self.out

    def _context(self, context: Any) -> dict[str, str]:
        """JSON name -> compact IRI, from the crate's context over the profile's."""
        terms = {**MORE, **TERMS}
        parts = context if isinstance(context, list) else [context]
        prefixes = dict(PREFIXES)
        for part in parts:
            if isinstance(part, dict):
                for name, value in part.items():
                    if isinstance(value, str) and value.endswith(("/", "#")):
                        prefixes[name] = value
        for part in parts:
            if not isinstance(part, dict):
                continue
            for name, value in part.items():
                iri = value.get("@id") if isinstance(value, dict) else value
                if not isinstance(iri, str) or name.startswith("@"):
                    continue
                full = compact(expand(iri, prefixes))
                line = getattr(part, "lines", {}).get(name)
                known = TERMS.get(name)
                if known is not None and full != known:
                    self.say(
                        "CRATE_CONTEXT",
                        f"the context gives {name!r} the meaning {iri[:200]}, not {known}",
                        line,
                        f"@context.{name}",
                    )
                    continue  # read it as the profile means it
                if (
                    name in PREFIXES
                    and expand(iri, {}) != PREFIXES[name]
                    and iri.endswith(("/", "#"))
                ):
                    self.say(
                        "CRATE_CONTEXT",
                        f"the context gives the prefix {name!r} the meaning {iri[:200]}",
                        line,
                        f"@context.{name}",
                    )
                    continue
                terms[name] = full
        return terms

    def _entity(self, node: Any, terms: dict[str, str]) -> None:
        line = getattr(node, "line", None) or 1
        if not isinstance(node, dict) or not isinstance(node.get("@id"), str):
            self.say("CRATE_ID", "an object of the graph has no @id", line)
            return
        name = node["@id"]
        if _BAD_IRI.search(name):
            self.say("CRATE_ID", f"the @id {name[:100]!r} is no valid IRI", line, "@id")
        if name in self.entities:
            self.say(
                "CRATE_ID_TWICE",
                f"the @id {name[:200]!r} is given twice, first in line {self.entities[name].line}",
                line,
                "@id",
            )
            return
        types = node.get("@type") or []
        types = [str(t) for t in (types if isinstance(types, list) else [types])]
        plain_types = [t.removeprefix("bia:").removeprefix("http://bia/") for t in types]
        classes = tuple(
            c for c, t in zip(plain_types, types, strict=True) if c != t and c in CLASSES
        )
        properties: dict[str, list[tuple[str, Any, int]]] = {}
        for key, value in node.items():
            if key in ("@id", "@type"):
                continue
            iri = terms.get(key) or compact(expand(key, PREFIXES))
            at = getattr(node, "lines", {}).get(key, line)
            properties.setdefault(iri if ":" in iri else f"schema:{iri}", []).append(
                (key, value, at)
            )
        entity = _Entity(name, node, classes, properties, line)
        self.entities[name] = entity
        if len(classes) > 1:
            self.say(
                "CRATE_TYPE",
                f"{name[:100]} has {len(classes)} types of the profile: {', '.join(classes)}",
                line,
                "@type",
            )
        for iri in REQUIRED.get(entity.kind, ()):
            if iri not in properties or properties[iri][0][1] in (None, []):
                self.say(
                    "CRATE_FIELD",
                    f"{name[:100]} ({entity.kind}) lacks {iri.partition(':')[2]}",
                    line,
                    iri,
                )

    def _references(self) -> None:
        """Every reference points to an object of the right type."""
        for entity in self.entities.values():
            for iri, members in entity.properties.items():
                expected = EXPECTED.get(iri)
                for name, value, line in members:
                    for one in value if isinstance(value, list) else [value]:
                        self._reference(entity, iri, name, one, line, expected)

    def _reference(
        self, entity: _Entity, iri: str, name: str, value: Any, line: int, expected: Any
    ) -> None:
        where = f"{entity.id}.{name}"
        if isinstance(value, str) and expected and iri != "schema:memberOf":
            self.say(
                "CRATE_REFERENCE_FORM",
                f"{name} of {entity.id[:100]} holds the text {value[:100]!r}, not a reference",
                line,
                where,
                f'Write {{"@id": {json.dumps(value[:100])}}}.',
            )
            return
        if not isinstance(value, dict) or not _is_id(value):
            return
        target = self.entities.get(value["@id"])
        if _BAD_IRI.search(value["@id"]):
            self.say(
                "CRATE_ID", f"{name} of {entity.id[:100]} is no valid IRI: {value['@id'][:80]!r}",
                line, where,
            )  # fmt: skip
        if target is None:
            outside = re.match(r"[a-z][a-z0-9+.-]*:", value["@id"], re.I)
            if expected or (not outside and iri != "schema:license"):
                near = _near(value["@id"], self.entities)
                self.say(
                    "CRATE_REFERENCE_UNKNOWN",
                    f"{name} of {entity.id[:100]} refers to {value['@id'][:100]}, which is not in "
                    "the crate",
                    line,
                    where,
                    f"Did you mean {near}?" if near else None,
                )
            return
        if not expected or target.kind in expected:
            return
        if len(target.classes) > 1:
            return  # said already
        if target.kind:
            self.say(
                "CRATE_REFERENCE_TYPE",
                f"{name} of {entity.id[:100]} refers to {target.id[:100]}, which is "
                f"{target.kind}, not {' or '.join(expected)}",
                line,
                where,
            )
        else:
            self.say(
                "CRATE_TYPE",
                f"{target.id[:100]} has none of the profile's types ({name} of {entity.id[:100]} "
                f"wants {' or '.join(expected)})",
                target.line,
                "@type",
            )

    # --- the record -------------------------------------------------------------------------

    def _mark(self, at: str, entity: _Entity, **fields: str) -> None:
        """Remember where the fields of a part were said."""
        if at:
            self.where.lines[at] = entity.line
        for name, iri in fields.items():
            self.where.lines[f"{at}.{name}" if at else name] = entity.line_of(iri)

    def _all(self, entity: _Entity, iri: str) -> Iterator[_Entity]:
        for name in entity.references(iri):
            if name in self.entities:
                yield self.entities[name]

    def _study(self, root: _Entity, record: Record) -> None:
        self.used.add(root.id)
        record.title = root.text("schema:name")
        record.description = root.text("schema:description")
        record.license = root.text("schema:license")
        record.release_date = root.text("schema:datePublished")
        record.keywords = root.texts("schema:keywords")
        record.acknowledgements = root.text("bia:acknowledgement")
        record.funding_statement = root.text("bia:fundingStatement")
        identifiers = {n: v for n, v, _ in root.properties.get("schema:identifier", [])}
        record.accession = _plain_text(
            identifiers.pop("accessionId", None) or next(iter(identifiers.values()), "")
        )
        root.taken.add("schema:identifier")
        self._mark(
            "",
            root,
            title="schema:name",
            description="schema:description",
            license="schema:license",
            release_date="schema:datePublished",
            keywords="schema:keywords",
            accession="schema:identifier",
        )
        for one in self._all(root, "schema:author"):
            self._author(one, record)
        for one in self._all(root, "bia:relatedPublication"):
            self._publication(one, record)
        for one in self._all(root, "rdfs:seeAlso"):
            self._mark(f"links[{len(record.links)}]", one)
            self.used.add(one.id)
            link = Link(
                url=one.id,
                description=one.text("schema:description"),
                type=one.text("schema:additionalType"),
            )
            link.extra = {k: v for k, v in one.rest().items() if k != "@id"}
            record.links.append(link)
        for one in self._all(root, "schema:funding"):
            self._grant(one, record)
        root.values("schema:hasPart")
        record.extra = {k: v for k, v in root.rest().items() if k != "@id"}
        for name, value in identifiers.items():
            if name != "accessionId" and value not in (None, "", []):
                record.extra[name] = plain(value)

    def _author(self, one: _Entity, record: Record) -> None:
        at = f"authors[{len(record.authors)}]"
        self._mark(at, one, name="schema:name", email="schema:email")
        self.used.add(one.id)
        orcid = _ORCID.match(one.id)
        author = Author(
            name=one.text("schema:name"),
            email=one.text("schema:email"),
            orcid=orcid[1] if orcid else "",
            role="; ".join(one.texts("bia:role")),
        )
        if orcid:
            self.where.lines[f"{at}.orcid"] = one.line
        for value in one.values("schema:memberOf"):
            if isinstance(value, dict) and value.get("@id") in self.entities:
                affiliation = self.entities[value["@id"]]
                author.organisations.append(self._organisation(affiliation, record))
            else:
                author.organisations.append(_plain_text(value))
        author.extra = one.rest()
        record.authors.append(author)

    def _organisation(self, one: _Entity, record: Record) -> str:
        if one.id in self.names:
            return self.names[one.id]
        self._mark(f"organisations[{len(record.organisations)}]", one, name="schema:name")
        self.used.add(one.id)
        organisation = Organisation(
            name=one.text("schema:name"),
            ror=one.id if "ror.org/" in one.id else "",
            address=one.text("schema:address"),
            url=one.text("bia:website"),
        )
        organisation.extra = one.rest()
        record.organisations.append(organisation)
        self.names[one.id] = organisation.name
        return organisation.name

    def _publication(self, one: _Entity, record: Record) -> None:
        at = f"publications[{len(record.publications)}]"
        self._mark(at, one, doi="schema:identifier", pubmed_id="bia:pubmedId", title="schema:name")
        self.used.add(one.id)
        publication = Publication(
            title=one.text("schema:name"),
            authors=[a.strip() for a in one.text("bia:authorNames").split(";") if a.strip()],
            doi=one.text("schema:identifier"),
            pubmed_id=one.text("bia:pubmedId"),
            year=one.text("bia:yearPublished"),
        )
        publication.extra = one.rest()
        record.publications.append(publication)

    def _grant(self, one: _Entity, record: Record) -> None:
        self._mark(f"funding[{len(record.funding)}]", one)
        self.used.add(one.id)
        bodies = list(self._all(one, "schema:funder"))
        grant = Grant(
            agency="; ".join(b.text("schema:name") for b in bodies),
            grant_id=one.text("dc:identifier"),
        )
        grant.extra = one.rest()
        for body in bodies:
            self.used.add(body.id)
            grant.extra.setdefault("funders", []).append(body.rest())
        record.funding.append(grant)

    def _called(self, one: _Entity) -> str:
        return one.text("schema:name") or one.id.removeprefix("#")

    def _modules(self, record: Record) -> None:
        for one in self.entities.values():
            kind = _MODULES.get(one.kind)
            if kind is None:
                continue
            parts = getattr(record, kind)
            at = f"{kind}[{len(parts)}]"
            self.used.add(one.id)
            name = self._called(one)
            if one.kind == "BioSample":
                part = self._biosample(one, name, at)
            elif one.kind == "SpecimenImagingPreparationProtocol":
                part = self._specimen(one, name, at)
            elif one.kind == "ImageAcquisitionProtocol":
                part = self._acquisition(one, name, at)
            elif one.kind == "ImageCorrelationMethod":
                self._mark(at, one, name="schema:name", alignment="schema:description")
                part = ImageCorrelation(
                    name=name,
                    alignment=one.text("schema:description"),
                    fiducials=one.text("bia:fiducialsUsed"),
                    transformation_matrix=one.text("bia:transformationMatrix"),
                )
            else:
                self._mark(at, one, name="schema:name", overview="schema:description")
                part = ImageAnalysis(
                    name=name,
                    overview=one.text("schema:description"),
                    features=one.text("bia:featuresAnalysed"),
                )
            part.extra = one.rest() | part.extra
            parts.append(part)
            self.names[one.id] = part.name

    def _biosample(self, one: _Entity, name: str, at: str) -> Biosample:
        self._mark(
            at,
            one,
            name="schema:name",
            biological_entity="bia:biologicalEntityDescription",
            organism="schema:taxonomicRange",
        )
        sample = Biosample(
            name=name,
            biological_entity=one.text("bia:biologicalEntityDescription"),
            experimental_variables=one.texts("bia:experimentalVariableDescription"),
            extrinsic_variables=one.texts("bia:extrinsicVariableDescription"),
            intrinsic_variables=one.texts("bia:intrinsicVariableDescription"),
        )
        for taxon in self._all(one, "schema:taxonomicRange"):
            self.used.add(taxon.id)
            found = re.search(r"(?:NCBITaxon[:_]|txid|/taxonomy/)(\d+)", taxon.id, re.I)
            organism = Organism(
                name=taxon.text("dwc:scientificName"),
                common_name=taxon.text("dwc:vernacularName"),
                ncbi_taxon=f"NCBITaxon:{found[1]}" if found else "",
            )
            organism.extra = taxon.rest()
            sample.organism.append(organism)
        for protocol in self._all(one, "bia:growthProtocol"):
            self.used.add(protocol.id)
            sample.extra.setdefault("growth_protocol", []).append(
                {
                    "name": protocol.text("schema:name"),
                    "description": protocol.text("schema:description"),
                    **protocol.rest(),
                }
            )
        return sample

    def _specimen(self, one: _Entity, name: str, at: str) -> Specimen:
        self._mark(at, one, name="schema:name", sample_preparation="schema:description")
        specimen = Specimen(name=name, sample_preparation=one.text("schema:description"))
        for channel in self._all(one, "bia:signalChannelInformation"):
            self.used.add(channel.id)
            signal = SignalChannel(
                label=channel.text("dc:identifier"),
                content=channel.text("bia:channelContentDescription"),
                biological_entity=channel.text("bia:channelBiologicalEntity"),
                contrast_mechanism=channel.text("bia:signalContrastMechanismDescription"),
            )
            signal.extra = channel.rest()
            specimen.signal_channels.append(signal)
        return specimen

    def _acquisition(self, one: _Entity, name: str, at: str) -> ImageAcquisition:
        self._mark(
            at,
            one,
            name="schema:name",
            acquisition_parameters="schema:description",
            imaging_instrument="bia:imagingInstrumentDescription",
            imaging_methods="bia:imagingMethodName",
        )
        acquisition = ImageAcquisition(
            name=name,
            acquisition_parameters=one.text("schema:description"),
            imaging_instrument=one.text("bia:imagingInstrumentDescription"),
        )
        names, terms = one.texts("bia:imagingMethodName"), one.texts("bia:fbbiId")
        for i in range(max(len(names), len(terms))):
            acquisition.imaging_methods.append(
                ImagingMethod(
                    name=names[i] if i < len(names) else "",
                    fbbi=terms[i] if i < len(terms) else "",
                )
            )
        return acquisition

    def _datasets(self, record: Record) -> None:
        for one in self.entities.values():
            if one.kind != "Dataset":
                continue
            self.used.add(one.id)
            name = self._called(one)
            self.names[one.id] = name
            methods = list(self._all(one, "bia:associatedAnnotationMethod"))
            if methods:
                self._annotations(one, name, methods, record)
            if methods and not one.references("bia:associatedImageAcquisitionProtocol"):
                continue
            at = f"study_components[{len(record.study_components)}]"
            self._mark(at, one, name="schema:name", description="schema:description")
            component = StudyComponent(name=name, description=one.text("schema:description"))
            component.associations = self._associations(one)
            component.extra = one.rest()
            record.study_components.append(component)

    def _annotations(self, one: _Entity, name: str, methods: list[_Entity], record: Record) -> None:
        at = f"annotation_sets[{len(record.annotation_sets)}]"
        self._mark(at, one, name="schema:name", overview="schema:description")
        annotations = AnnotationSet(name=name, overview=one.text("schema:description"))
        described = [m.text("schema:description") for m in methods]
        if not annotations.overview:
            annotations.overview = "\n".join(described)
        for method, said in zip(methods, described, strict=True):
            self.used.add(method.id)
            annotations.methods.append(" - ".join(t for t in (self._called(method), said) if t))
            annotations.types += method.texts("bia:annotationMethodType")
            annotations.criteria = annotations.criteria or method.text("bia:annotationCriteria")
            annotations.coverage = annotations.coverage or method.text("bia:annotationCoverage")
            told = method.rest()
            for iri in ("bia:annotationCriteria", "bia:annotationCoverage"):
                if (said := method.text(iri)) not in (
                    "", annotations.criteria, annotations.coverage
                ):  # fmt: skip
                    told[iri] = said
            annotations.extra.setdefault("methods", []).append(told)
        annotations.extra |= one.rest()
        record.annotation_sets.append(annotations)

    def _associations(self, one: _Entity) -> list[Association]:
        lists: dict[str, list[str]] = {role: [] for role in _ROLE_OF.values()}

        def put(ids: list[str]) -> None:
            for name in ids:
                entity = self.entities.get(name)
                kind = _MODULES.get(entity.kind) if entity else None
                if entity is not None and entity.kind == "Specimen":
                    self.used.add(entity.id)
                    put(entity.references("bia:sampleOf"))
                    put(entity.references("bia:imagingPreparationProtocol"))
                elif kind and self.names[name] not in lists[_ROLE_OF[kind]]:
                    lists[_ROLE_OF[kind]].append(self.names[name])

        for iri in (
            "bia:associatedSubject",
            "bia:associatedBiologicalEntity",
            "bia:associatedImagingPreparationProtocol",
            "bia:associatedImageAcquisitionProtocol",
            "bia:associatedCorrelationMethod",
            "bia:associatedAnalysisMethod",
        ):
            put(one.references(iri))
        count = max(len(v) for v in lists.values())
        return [
            Association(**{k: v[min(i, len(v) - 1)] for k, v in lists.items() if v})
            for i in range(count)
        ]

    # --- file lists -------------------------------------------------------------------------

    def _lists(self, record: Record) -> set[str]:
        """Read the file lists; returns the ids that their rows refer to."""
        linked: set[str] = set()
        for one in self.entities.values():
            if one.kind != "FileList":
                continue
            self.used.add(one.id)
            columns: dict[str, str] = {}
            for schema in self._all(one, "csvw:tableSchema"):
                self.used.add(schema.id)
                for column in self._all(schema, "csvw:column"):
                    self.used.add(column.id)
                    url = compact(column.text("csvw:propertyUrl"))
                    columns[column.text("csvw:name")] = url
            for needed in ("bia:filePath", "schema:isPartOf"):
                if needed not in columns.values():
                    self.say(
                        "CRATE_COLUMN",
                        f"the file list {one.id[:100]} has no column with the property {needed}",
                        one.line,
                        "tableSchema",
                    )
            if self.folder is not None:
                self._list(one, columns, record, linked)
        return linked

    def _list(
        self, one: _Entity, columns: dict[str, str], record: Record, linked: set[str]
    ) -> None:
        from urllib.parse import unquote

        file = one.id if (self.folder / one.id).is_file() else unquote(one.id)
        file = file.removeprefix("./")
        try:
            rows = list(read_table(self.folder, file, self.out.findings))
        except (NotInside, FileNotFoundError, PermissionError) as error:
            self.say(
                "FILE_LIST_MISSING",
                f"the file list {one.id[:200]} can't be read: {error}",
                one.line,
                "tableSchema",
                "Put the file list beside ro-crate-metadata.json under this name.",
            )
            return
        self.out.files.sources.append(file)
        if not rows:
            self.say("FILE_LIST_EMPTY", "the file list is empty", 1, file=file)
            return
        line, header = rows[0]
        for name in columns:
            if name not in header:
                self.say(
                    "CRATE_COLUMN",
                    f"the column {name!r} is described but is not in the list",
                    line,
                    name,
                    file=file,
                )
        urls = [columns.get(name, "") for name in header]
        if "bia:filePath" not in urls:
            return
        self._rows(file, header, urls, rows[1:], record, linked)

    def _rows(
        self,
        file: str,
        header: list[str],
        urls: list[str],
        rows: list[tuple[int, list[str]]],
        record: Record,
        linked: set[str],
    ) -> None:
        at = {url: i for i, url in reversed(list(enumerate(urls))) if url}
        paths = {cells[at["bia:filePath"]]: cells for _, cells in rows}
        labels: dict[str, str] = {}
        if "schema:name" in at:
            for path, cells in paths.items():
                labels.setdefault(cells[at["schema:name"]], path)
        checked: dict[tuple[str, str], str | None] = {}
        derived: dict[str, set[tuple[str, ...]]] = {}
        for line, cells in rows:
            row = Row(cells[at["bia:filePath"]], file=file, line=line)
            row.attributes = {
                header[i]: c
                for i, c in enumerate(cells)
                if c and urls[i] not in ("bia:filePath", "schema:isPartOf", "bia:sizeInBytes")
            }
            refs: list[str] = []
            for i, url in enumerate(urls):
                if not cells[i]:
                    continue
                if url == "bia:sizeInBytes":
                    row.size = parse_size(cells[i])
                    if row.size is None:
                        message = f"{cells[i][:40]!r} is no number of bytes"
                        self.say("FILE_LIST_SIZE", message, line, header[i], file=file)
                elif url == "schema:isPartOf":
                    self._pointed(cells[i], url, ("Dataset",), checked, file, line, header[i])
                    linked.add(cells[i])
                    row.part = self.names.get(cells[i], cells[i])
                elif url == "bia:associatedSourceImage":
                    sources = _cells(cells[i])
                    self._sources(sources, paths, at, file, line, header[i])
                    row.source_image = sources[0] if sources else ""
                elif url == "bia:sourceImageLabel":
                    found = [labels[s] for s in _cells(cells[i]) if s in labels]
                    row.source_image = row.source_image or (found[0] if found else "")
                elif url in EXPECTED:
                    for one in _cells(cells[i]):
                        self._pointed(one, url, EXPECTED[url], checked, file, line, header[i])
                        linked.add(one)
                        refs.append(one)
            if refs and row.part:
                derived.setdefault(row.part, set()).add(tuple(refs))
            self.out.files.rows.append(row)
        self._associate(record, derived)

    def _pointed(
        self,
        name: str,
        url: str,
        expected: tuple[str, ...],
        checked: dict[tuple[str, str], str | None],
        file: str,
        line: int,
        column: str,
    ) -> None:
        """A cell's reference, judged once for each id and column."""
        if (url, name) in checked:
            code = checked[url, name]
        else:
            target = self.entities.get(name)
            code = None
            if target is None:
                code = "CRATE_REFERENCE_UNKNOWN"
            elif target.kind not in expected:
                code = "CRATE_REFERENCE_TYPE"
            checked[url, name] = code
        if code == "CRATE_REFERENCE_UNKNOWN":
            near = _near(name, self.entities)
            self.say(
                code,
                f"{name[:100]} is not in the crate",
                line,
                column,
                f"Did you mean {near}?" if near else None,
                file=file,
            )
        elif code:
            kind = self.entities[name].kind or "of none of the profile's types"
            message = f"{name[:100]} is {kind}, not {' or '.join(expected)}"
            self.say(code, message, line, column, file=file)

    def _sources(
        self,
        sources: list[str],
        paths: dict[str, list[str]],
        at: dict[str, int],
        file: str,
        line: int,
        column: str,
    ) -> None:
        typed = at.get("rdf:type")
        for source in sources:
            cells = paths.get(source)
            if cells is None:
                near = _near(source, paths)
                self.say(
                    "SOURCE_UNKNOWN",
                    f"the source image {source[:200]!r} is not in the file list",
                    line,
                    column,
                    f"Did you mean {near}?" if near else None,
                    file=file,
                )
            elif typed is None or compact(cells[typed]) != "bia:Image":
                said = cells[typed] if typed is not None else ""
                self.say(
                    "CRATE_SOURCE_TYPE",
                    f"the source image {source[:200]!r} has the type {said or 'none'}, not "
                    "http://bia/Image",
                    line,
                    column,
                    file=file,
                )

    def _associate(self, record: Record, derived: dict[str, set[tuple[str, ...]]]) -> None:
        """Associations that only the rows tell, for components that tell none themselves."""
        for component in record.study_components:
            if component.associations:
                continue
            for refs in sorted(derived.get(component.name, ())):
                stand_in = _Entity(
                    "", {}, (), {"bia:associatedSubject": [("", [{"@id": r} for r in refs], 0)]}, 0
                )
                component.associations += self._associations(stand_in)

    # --- the rest ---------------------------------------------------------------------------

    def _reach(self, root: _Entity | None, linked: set[str]) -> None:
        """Objects that nothing leads to are probably a mistake; the lists lead to some."""
        seen = self._closure({root.id} if root else set())
        by_list = self._closure(linked)
        for one in self.entities.values():
            if one.id in seen or one.id == NAME or "FileList" in one.classes:
                continue
            if one.id in by_list:
                if one.id in linked and one.kind != "Dataset":
                    self.say(
                        "CRATE_BY_LIST",
                        f"{one.id[:100]} is referred to by the file list only",
                        one.line,
                    )
            elif one.classes:
                self.say("CRATE_ORPHAN", f"nothing in the crate refers to {one.id[:100]}", one.line)

    def _closure(self, start: set[str]) -> set[str]:
        seen: set[str] = set()
        todo = [s for s in start if s in self.entities]
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            for members in self.entities[name].properties.values():
                for _, value, _ in members:
                    for one in value if isinstance(value, list) else [value]:
                        if isinstance(one, dict) and one.get("@id") in self.entities:
                            todo.append(one["@id"])
        return seen

    def _leftovers(self, record: Record, graph: list) -> None:
        """Objects that became no part of the record are kept as they are."""
        known = {NAME}
        rest = [
            plain(node)
            for node in graph
            if not isinstance(node, dict)
            or (node.get("@id") not in known and node.get("@id") not in self.used)
            or (
                self.entities.get(node.get("@id")) is not None
                and self.entities[node["@id"]].node is not node
            )
        ]
        if rest:
            record.extra["entities"] = rest


def _cells(cell: str) -> list[str]:
    """Several values of one cell: ``["a", "b"]``, ``['a', 'b']`` or ``a,b``."""
    text = cell.strip()
    if text.startswith("[") and text.endswith("]"):
        return [
            a or b or c.strip()
            for a, b, c in re.findall(r"\s*(?:\"([^\"]*)\"|'([^']*)'|([^,\[\]]+))", text)
            if (a or b or c.strip())
        ]
    return [c.strip() for c in text.split(",") if c.strip()]


def _near(name: str, known: Any) -> str | None:
    from .study_yaml import nearest

    return nearest(name, list(known)[:5000])
