"""The parts of the record that the entities of a crate are."""

from __future__ import annotations

import re

from .json_lines import plain
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
from .rocrate_graph import Entity, Graph, id_of, plain_text

_ORCID = re.compile(r"https?://orcid\.org/(\S+)")
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


class Parts:
    """Makes parts of a record of entities, and notes in ``where`` which line said what.

    Attributes
    ----------
    names : id of an entity -> name of the part it became.
    used : ids of the entities that became one, or belong to one.
    """

    def __init__(self, graph: Graph, where: Positions) -> None:
        self.graph, self.where = graph, where
        self.entities = graph.entities
        self.names: dict[str, str] = {}
        self.used: set[str] = set()

    def fill(self, record: Record, root: Entity | None) -> None:
        """Put into the record what all entities say but file lists."""
        if root is not None:
            self._study(root, record)
        self._modules(record)
        self._datasets(record)

    def _mark(self, at: str, entity: Entity, **fields: str) -> None:
        """Remember where the fields of a part were said."""
        if at:
            self.where.lines[at] = entity.line
        for name, iri in fields.items():
            self.where.lines[f"{at}.{name}" if at else name] = entity.line_of(iri)

    def _texts(self, at: str, entity: Entity, **fields: str) -> dict[str, str]:
        """Text of each field by the IRI of its property; where it was said is remembered."""
        self._mark(at, entity, **fields)
        return {name: entity.text(iri) for name, iri in fields.items()}

    def _study(self, root: Entity, record: Record) -> None:
        self.used.add(root.id)
        texts = self._texts(
            "",
            root,
            title="schema:name",
            description="schema:description",
            license="schema:license",
            release_date="schema:datePublished",
            acknowledgements="bia:acknowledgement",
            funding_statement="bia:fundingStatement",
        )
        for name, text in texts.items():
            setattr(record, name, text)
        self._mark("", root, keywords="schema:keywords", accession="schema:identifier")
        record.keywords = root.texts("schema:keywords")
        identifiers = {n: v for n, v, _ in root.properties.get("schema:identifier", [])}
        record.accession = plain_text(
            identifiers.pop("accessionId", None) or next(iter(identifiers.values()), "")
        )
        root.taken.add("schema:identifier")
        for one in self.graph.referred(root, "schema:author"):
            self._author(one, record)
        for one in self.graph.referred(root, "bia:relatedPublication"):
            self._publication(one, record)
        for one in self.graph.referred(root, "rdfs:seeAlso"):
            at = f"links[{len(record.links)}]"
            self.used.add(one.id)
            said = {"description": "schema:description", "type": "schema:additionalType"}
            link = Link(url=one.id, **self._texts(at, one, **said))
            link.extra = {k: v for k, v in one.rest().items() if k != "@id"}
            record.links.append(link)
        for one in self.graph.referred(root, "schema:funding"):
            self._grant(one, record)
        root.values("schema:hasPart")
        record.extra = {k: v for k, v in root.rest().items() if k != "@id"}
        for name, value in identifiers.items():
            if name != "accessionId" and value not in (None, "", []):
                record.extra[name] = plain(value)

    def _author(self, one: Entity, record: Record) -> None:
        at = f"authors[{len(record.authors)}]"
        self.used.add(one.id)
        orcid = _ORCID.match(one.id)
        author = Author(
            **self._texts(at, one, name="schema:name", email="schema:email"),
            orcid=orcid[1] if orcid else "",
            role="; ".join(one.texts("bia:role")),
        )
        if orcid:
            self.where.lines[f"{at}.orcid"] = one.line
        for value in one.values("schema:memberOf"):
            if id_of(value) in self.entities:
                affiliation = self.entities[value["@id"]]
                author.organisations.append(self._organisation(affiliation, record))
            else:
                author.organisations.append(plain_text(value))
        author.extra = one.rest()
        record.authors.append(author)

    def _organisation(self, one: Entity, record: Record) -> str:
        if one.id in self.names:
            return self.names[one.id]
        at = f"organisations[{len(record.organisations)}]"
        self.used.add(one.id)
        said = {"name": "schema:name", "address": "schema:address", "url": "bia:website"}
        ror = one.id if "ror.org/" in one.id else ""
        organisation = Organisation(ror=ror, **self._texts(at, one, **said))
        organisation.extra = one.rest()
        record.organisations.append(organisation)
        self.names[one.id] = organisation.name
        return organisation.name

    def _publication(self, one: Entity, record: Record) -> None:
        at = f"publications[{len(record.publications)}]"
        self.used.add(one.id)
        texts = self._texts(
            at,
            one,
            title="schema:name",
            doi="schema:identifier",
            pubmed_id="bia:pubmedId",
            year="bia:yearPublished",
        )
        names = [a.strip() for a in one.text("bia:authorNames").split(";") if a.strip()]
        publication = Publication(authors=names, **texts)
        publication.extra = one.rest()
        record.publications.append(publication)

    def _grant(self, one: Entity, record: Record) -> None:
        at = f"funding[{len(record.funding)}]"
        self.used.add(one.id)
        bodies = list(self.graph.referred(one, "schema:funder"))
        grant = Grant(
            agency="; ".join(b.text("schema:name") for b in bodies),
            **self._texts(at, one, grant_id="dc:identifier"),
        )
        grant.extra = one.rest()
        for body in bodies:
            self.used.add(body.id)
            grant.extra.setdefault("funders", []).append(body.rest())
        record.funding.append(grant)

    def _called(self, one: Entity) -> str:
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
            self._mark(at, one, name="schema:name")
            if one.kind == "BioSample":
                part = self._biosample(one, name, at)
            elif one.kind == "SpecimenImagingPreparationProtocol":
                part = self._specimen(one, name, at)
            elif one.kind == "ImageAcquisitionProtocol":
                part = self._acquisition(one, name, at)
            elif one.kind == "ImageCorrelationMethod":
                texts = self._texts(
                    at,
                    one,
                    alignment="schema:description",
                    fiducials="bia:fiducialsUsed",
                    transformation_matrix="bia:transformationMatrix",
                )
                part = ImageCorrelation(name=name, **texts)
            else:
                said = {"overview": "schema:description", "features": "bia:featuresAnalysed"}
                part = ImageAnalysis(name=name, **self._texts(at, one, **said))
            part.extra = one.rest() | part.extra
            parts.append(part)
            self.names[one.id] = part.name

    def _biosample(self, one: Entity, name: str, at: str) -> Biosample:
        self._mark(at, one, organism="schema:taxonomicRange")
        sample = Biosample(
            name=name,
            **self._texts(at, one, biological_entity="bia:biologicalEntityDescription"),
            experimental_variables=one.texts("bia:experimentalVariableDescription"),
            extrinsic_variables=one.texts("bia:extrinsicVariableDescription"),
            intrinsic_variables=one.texts("bia:intrinsicVariableDescription"),
        )
        for taxon in self.graph.referred(one, "schema:taxonomicRange"):
            self.used.add(taxon.id)
            found = re.search(r"(?:NCBITaxon[:_]|txid|/taxonomy/)(\d+)", taxon.id, re.I)
            organism = Organism(
                name=taxon.text("dwc:scientificName"),
                common_name=taxon.text("dwc:vernacularName"),
                ncbi_taxon=f"NCBITaxon:{found[1]}" if found else "",
            )
            organism.extra = taxon.rest()
            sample.organism.append(organism)
        for protocol in self.graph.referred(one, "bia:growthProtocol"):
            self.used.add(protocol.id)
            sample.extra.setdefault("growth_protocol", []).append(
                {
                    "name": protocol.text("schema:name"),
                    "description": protocol.text("schema:description"),
                    **protocol.rest(),
                }
            )
        return sample

    def _specimen(self, one: Entity, name: str, at: str) -> Specimen:
        texts = self._texts(at, one, sample_preparation="schema:description")
        specimen = Specimen(name=name, **texts)
        for channel in self.graph.referred(one, "bia:signalChannelInformation"):
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

    def _acquisition(self, one: Entity, name: str, at: str) -> ImageAcquisition:
        self._mark(at, one, imaging_methods="bia:imagingMethodName")
        texts = self._texts(
            at,
            one,
            acquisition_parameters="schema:description",
            imaging_instrument="bia:imagingInstrumentDescription",
        )
        acquisition = ImageAcquisition(name=name, **texts)
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
            methods = list(self.graph.referred(one, "bia:associatedAnnotationMethod"))
            if methods:
                self._annotations(one, name, methods, record)
            if methods and not one.references("bia:associatedImageAcquisitionProtocol"):
                continue
            at = f"study_components[{len(record.study_components)}]"
            self._mark(at, one, name="schema:name")
            texts = self._texts(at, one, description="schema:description")
            component = StudyComponent(name=name, **texts)
            component.associations = self.associations(one)
            component.extra = one.rest()
            record.study_components.append(component)

    def _annotations(self, one: Entity, name: str, methods: list[Entity], record: Record) -> None:
        at = f"annotation_sets[{len(record.annotation_sets)}]"
        self._mark(at, one, name="schema:name")
        texts = self._texts(at, one, overview="schema:description")
        annotations = AnnotationSet(name=name, **texts)
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

    def associations(self, one: Entity) -> list[Association]:
        """What a data set says of which parts belong together."""
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
