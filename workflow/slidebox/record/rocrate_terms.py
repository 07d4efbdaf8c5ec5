"""Terms of the BioImage Archive's RO-Crate profile: JSON names, their IRIs, classes, references."""

from __future__ import annotations

PREFIXES = {
    "bia": "http://bia/",
    "schema": "http://schema.org/",
    "csvw": "http://www.w3.org/ns/csvw#",
    "dc": "http://purl.org/dc/terms/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "dwc": "http://rs.tdwg.org/dwc/terms/",
}

_SAME = [
    "acknowledgement",
    "annotationCoverage",
    "annotationCriteria",
    "annotationMethod",
    "annotationSourceIndicator",
    "associatedAnnotationMethod",
    "associatedBiologicalEntity",
    "associatedCreationProcess",
    "associatedImageAcquisitionProtocol",
    "associatedProtocol",
    "associatedSourceImage",
    "authorNames",
    "biologicalEntityDescription",
    "channelBiologicalEntity",
    "channelContentDescription",
    "experimentalVariableDescription",
    "extrinsicVariableDescription",
    "fbbiId",
    "featuresAnalysed",
    "fiducialsUsed",
    "fundingStatement",
    "growthProtocol",
    "imageAcquisitionProtocol",
    "imagingInstrumentDescription",
    "imagingMethodName",
    "imagingPreparationProtocol",
    "inputImage",
    "intrinsicVariableDescription",
    "protocol",
    "pubmedId",
    "relatedPublication",
    "resultOf",
    "role",
    "signalChannelInformation",
    "signalContrastMechanismDescription",
    "spatialInformation",
    "subject",
    "transformationDescription",
    "transformationMatrix",
    "website",
    "yearPublished",
]

TERMS: dict[str, str] = {name: f"bia:{name}" for name in _SAME} | {
    "accessionId": "schema:identifier",
    "additionalType": "schema:additionalType",
    "address": "schema:address",
    "affiliation": "schema:memberOf",
    "associatedImageAnalysisMethod": "bia:associatedAnalysisMethod",
    "associatedImageCorrelationMethod": "bia:associatedCorrelationMethod",
    "associatedSpecimen": "bia:associatedSubject",
    "associatedSpecimenImagingPreparationProtocol": "bia:associatedImagingPreparationProtocol",
    "biologicalEntity": "bia:sampleOf",
    "channelLabel": "dc:identifier",
    "column": "csvw:column",
    "columnName": "csvw:name",
    "commonName": "dwc:vernacularName",
    "contactEmail": "schema:email",
    "contributor": "schema:author",
    "datePublished": "schema:datePublished",
    "description": "schema:description",
    "displayName": "schema:name",
    "doi": "schema:identifier",
    "funder": "schema:funder",
    "funding": "schema:funding",
    "hasPart": "schema:hasPart",
    "identifier": "dc:identifier",
    "keyword": "schema:keywords",
    "label": "schema:name",
    "license": "schema:license",
    "methodType": "bia:annotationMethodType",
    "name": "schema:name",
    "organismClassification": "schema:taxonomicRange",
    "propertyUrl": "csvw:propertyUrl",
    "protocolDescription": "schema:description",
    "scientificName": "dwc:scientificName",
    "seeAlso": "rdfs:seeAlso",
    "tableSchema": "csvw:tableSchema",
    "title": "schema:name",
}
"""JSON names of the profile and what they mean; a crate may not give them another meaning."""

MORE = {
    "author": "schema:author",
    "email": "schema:email",
    "keywords": "schema:keywords",
    "memberOf": "schema:memberOf",
    "taxonomicRange": "schema:taxonomicRange",
    "vernacularName": "dwc:vernacularName",
}
"""Further names that RO-Crate's own context gives the same meaning."""

CLASSES = frozenset(
    [
        "Study",
        "Contributor",
        "Affiliation",
        "Affiliaton",
        "Publication",
        "Grant",
        "FundingBody",
        "ExternalReference",
        "Dataset",
        "FileList",
        "Image",
        "AnnotationData",
        "Specimen",
        "CreationProcess",
        "BioSample",
        "Taxon",
        "Protocol",
        "ImageAcquisitionProtocol",
        "SpecimenImagingPreparationProtocol",
        "SignalChannelInformation",
        "SignalChannel",
        "AnnotationMethod",
        "ImageAnalysisMethod",
        "ImageCorrelationMethod",
    ]
)

EXPECTED: dict[str, tuple[str, ...]] = {
    "bia:associatedBiologicalEntity": ("BioSample",),
    "bia:associatedImagingPreparationProtocol": ("SpecimenImagingPreparationProtocol",),
    "bia:associatedSubject": ("Specimen", "BioSample"),
    "bia:associatedCreationProcess": ("CreationProcess",),
    "bia:associatedSourceImage": ("Image",),
    "bia:associatedImageAcquisitionProtocol": ("ImageAcquisitionProtocol",),
    "bia:associatedAnnotationMethod": ("AnnotationMethod",),
    "bia:associatedAnalysisMethod": ("ImageAnalysisMethod",),
    "bia:associatedCorrelationMethod": ("ImageCorrelationMethod",),
    "bia:associatedProtocol": (
        "Protocol",
        "ImageAcquisitionProtocol",
        "SpecimenImagingPreparationProtocol",
        "AnnotationMethod",
        "ImageAnalysisMethod",
        "ImageCorrelationMethod",
    ),
    "bia:relatedPublication": ("Publication",),
    "bia:sampleOf": ("BioSample",),
    "bia:imagingPreparationProtocol": ("SpecimenImagingPreparationProtocol",),
    "bia:signalChannelInformation": ("SignalChannelInformation", "SignalChannel"),
    "bia:growthProtocol": ("Protocol",),
    "bia:imageAcquisitionProtocol": ("ImageAcquisitionProtocol",),
    "bia:annotationMethod": ("AnnotationMethod",),
    "bia:protocol": (
        "Protocol",
        "ImageAcquisitionProtocol",
        "SpecimenImagingPreparationProtocol",
        "AnnotationMethod",
        "ImageAnalysisMethod",
        "ImageCorrelationMethod",
    ),
    "bia:subject": ("Specimen", "BioSample"),
    "bia:inputImage": ("Image",),
    "bia:resultOf": ("CreationProcess",),
    "schema:author": ("Contributor",),
    "schema:memberOf": ("Affiliation", "Affiliaton"),
    "schema:taxonomicRange": ("Taxon",),
    "schema:funding": ("Grant",),
    "schema:funder": ("FundingBody",),
    "rdfs:seeAlso": ("ExternalReference",),
}
"""Which classes a reference may point to."""

REQUIRED: dict[str, tuple[str, ...]] = {
    "Study": (
        "schema:name",
        "schema:author",
        "schema:description",
        "schema:license",
        "schema:datePublished",
        "schema:hasPart",
        "schema:identifier",
    ),
    "Contributor": ("schema:name",),
    "Affiliation": ("schema:name",),
    "Affiliaton": ("schema:name",),
    "Dataset": ("schema:name",),
    "FileList": ("csvw:tableSchema",),
    "Specimen": ("bia:sampleOf", "bia:imagingPreparationProtocol"),
    "BioSample": ("bia:biologicalEntityDescription",),
    "Protocol": ("schema:name", "schema:description"),
    "ImageAcquisitionProtocol": (
        "schema:name",
        "schema:description",
        "bia:imagingInstrumentDescription",
    ),
    "SpecimenImagingPreparationProtocol": ("schema:name", "schema:description"),
    "AnnotationMethod": ("schema:name", "schema:description"),
    "ImageAnalysisMethod": ("schema:name", "schema:description"),
    "ImageCorrelationMethod": ("schema:name", "schema:description"),
}
"""Properties that an entity of a class must have (they may be empty text)."""


def expand(iri: str, prefixes: dict[str, str]) -> str:
    """``bia:role`` as a full IRI."""
    prefix, sep, rest = iri.partition(":")
    return prefixes[prefix] + rest if sep and prefix in prefixes and rest[:2] != "//" else iri


def compact(iri: str) -> str:
    """A full IRI as ``prefix:name`` of :data:`PREFIXES`; others stay as they are."""
    iri = iri.replace("https://schema.org/", "http://schema.org/", 1)
    for prefix, base in PREFIXES.items():
        if iri.startswith(base):
            return f"{prefix}:{iri[len(base) :]}"
    return iri
