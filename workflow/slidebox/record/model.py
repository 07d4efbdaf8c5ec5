"""What a study is: REMBI's modules, MIFA's annotations, and who, why and under which licence.

The model is tolerant on purpose: every field may be empty, so that a record with faults can still
be read, shown and talked about. What must be there is said by :mod:`slidebox.validate`.
Names are REMBI's (Sarkans et al. 2021) and MIFA's (Zulueta-Coarasa et al. 2025) in snake_case.
Whatever a form said that has no field here stands in ``extra`` of the part where it was said.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

REMBI_VERSION = "1.5"
SCHEMA_VERSION = "1"

ANNOTATION_TYPES = (
    "class_labels",
    "bounding_boxes",
    "counts",
    "derived_annotations",
    "geometrical_annotations",
    "graphs",
    "point_annotations",
    "segmentation_mask",
    "tracks",
    "weak_annotations",
    "other",
)


def _as_list(value: Any) -> Any:
    """People write one thing where a list is meant; nothing is an empty list."""
    if value is None or value == "":
        return []
    return value if isinstance(value, (list, tuple)) else [value]


def _as_text(value: Any) -> Any:
    """An empty value is empty text; a number or a truth value is the text that was written."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


Text = Annotated[str, BeforeValidator(_as_text)]
Texts = Annotated[list[Text], BeforeValidator(_as_list)]
Access = Literal["public", "restricted"]


class Part(BaseModel):
    """Base of all modules: unknown names are refused here and collected by the readers."""

    model_config = ConfigDict(extra="forbid", validate_assignment=False)

    extra: dict[str, Any] = Field(
        default_factory=dict, description="What a form said that has no field here"
    )


class _Named(Part):
    name: Text = Field("", description="Name by which the rest of the record refers to it")


def _named(value: Any) -> Any:
    """``Homo sapiens`` for ``{name: Homo sapiens}``, one or a list of them."""
    return [{"name": v} if isinstance(v, (str, int, float)) else v for v in _as_list(value)]


class Author(Part):
    """A person who made the study."""

    name: Text = Field("", description="Full name. Required")
    email: Text = Field("", description="E-mail address. Required for at least one author")
    orcid: Text = Field("", description="ORCID iD, 0000-0002-1825-0097")
    role: Text = Field("", description="What the person did")
    organisations: Texts = Field(default_factory=list, description="Where the person works")


class Organisation(Part):
    """Where authors work; ``authors[].organisations`` holds the names."""

    name: Text = ""
    ror: Text = Field("", description="Research Organization Registry id")
    address: Text = ""
    url: Text = ""


class Publication(Part):
    """A text about the study."""

    title: Text = ""
    authors: Texts = Field(default_factory=list, description="Names of its authors")
    doi: Text = Field("", description="DOI without https://doi.org/, such as 10.1038/nmeth.2019")
    pubmed_id: Text = Field("", description="PubMed id, digits only")
    year: Text = ""
    status: Text = Field(
        "", description="in preparation, submitted, preprint or published (a DOI is then expected)"
    )


class Link(Part):
    """A page elsewhere that belongs to the study."""

    url: Text = Field("", description="Full address, or an identifier when type says of what")
    description: Text = ""
    type: Text = Field("", description="What url is when it is no address: doi, idr, empiar ...")


class Grant(Part):
    """Who paid."""

    agency: Text = ""
    grant_id: Text = ""


class Organism(Part):
    """A taxon."""

    name: Text = Field("", description="Scientific name, such as Mus musculus")
    ncbi_taxon: Text = Field("", description="NCBITaxon id, such as 10090 (NCBITaxon:10090)")
    common_name: Text = ""


class Biosample(_Named):
    """REMBI biosample: what was looked at."""

    organism: Annotated[list[Organism], BeforeValidator(_named)] = Field(
        default_factory=list, description="Scientific name(s), with NCBITaxon id. Required"
    )
    biological_entity: Text = Field("", description="Cell, tissue, molecule ... Required")
    description: Text = ""
    experimental_variables: Texts = Field(default_factory=list, description="What was varied")
    extrinsic_variables: Texts = Field(default_factory=list, description="Treatments from outside")
    intrinsic_variables: Texts = Field(default_factory=list, description="Genotype, disease ...")


class SignalChannel(Part):
    """What gives the signal of a channel."""

    label: Text = ""
    content: Text = ""
    biological_entity: Text = ""
    contrast_mechanism: Text = ""


class Specimen(_Named):
    """REMBI specimen: how the sample was prepared for imaging."""

    sample_preparation: Text = Field("", description="How the sample was prepared. Required")
    growth_protocol: Text = ""
    signal_channels: list[SignalChannel] = Field(default_factory=list)


class ImagingMethod(Part):
    """A term of FBbi, the biological imaging methods ontology."""

    name: Text = Field("", description="Such as confocal microscopy")
    fbbi: Text = Field("", description="FBbi id, such as FBbi:00000251")


class ImageAcquisition(_Named):
    """REMBI image acquisition: instrument and settings."""

    imaging_instrument: Text = Field("", description="Make and model of the microscope. Required")
    acquisition_parameters: Text = Field("", description="How images were acquired. Required")
    imaging_methods: Annotated[list[ImagingMethod], BeforeValidator(_named)] = Field(
        default_factory=list, description="FBbi terms. Required"
    )


class ImageCorrelation(_Named):
    """REMBI image correlation: how images of several modalities were aligned."""

    alignment: Text = Field("", description="Method of spatial and temporal alignment. Required")
    fiducials: Text = ""
    transformation_matrix: Text = ""


class Software(Part):
    """A program that took part in an analysis."""

    name: Text = ""
    version: Text = ""
    url: Text = ""
    parameters: Text = Field("", description="Settings that someone needs to repeat the analysis")


class InputOutput(Part):
    """Which files an analysis made from which."""

    inputs: Texts = Field(default_factory=list, description="Paths or names of parts")
    outputs: Texts = Field(default_factory=list, description="Paths or names of parts")


class ImageAnalysis(_Named):
    """REMBI image analysis."""

    overview: Text = Field("", description="What was done. Required")
    software: Annotated[list[Software], BeforeValidator(_named)] = Field(default_factory=list)
    input_output: list[InputOutput] = Field(default_factory=list)
    features: Text = Field("", description="What was measured")


class Association(Part):
    """One way in which images of a study component came to be: names of the modules above."""

    biosample: Text = Field("", description="Name of a biosample. Required")
    specimen: Text = Field("", description="Name of a specimen. Required")
    image_acquisition: Text = Field("", description="Name of an image acquisition. Required")
    image_correlation: Text = ""
    image_analysis: Text = ""


class StudyComponent(_Named):
    """REMBI study component: images that belong together."""

    description: Text = Field("", description="What the images show. Required")
    associations: list[Association] = Field(default_factory=list, description="Required")
    access: Access = Field("public", description="restricted: archived, never published")
    file_list: Text = Field("", description="File list as the form named it (PageTab, RO-Crate)")


class AnnotationMethod(Part):
    """MIFA annotation method, when a form describes it apart from the set."""

    name: Text = ""
    description: Text = ""


class AnnotationSet(_Named):
    """MIFA annotations: files that say something about images."""

    overview: Text = Field("", description="What was annotated and how. Required")
    types: Texts = Field(
        default_factory=list, description="Required; any of " + ", ".join(ANNOTATION_TYPES)
    )
    methods: Texts = Field(default_factory=list, description="How they were made. Required")
    confidence_level: Text = ""
    criteria: Text = Field("", description="Rules that annotators followed")
    coverage: Text = Field("", description="Which images or parts of them are annotated")
    version: Text = Field("", description="Version of the annotations, with its date")
    access: Access = Field("public", description="restricted: archived, never published")
    file_list: Text = Field("", description="File list as the form named it (PageTab, RO-Crate)")


class ImageData(Part):
    """REMBI image data: read from the files by validation, not asked of people."""

    part: Text = ""
    formats: Texts = Field(default_factory=list)
    images: int = 0
    axes: Texts = Field(default_factory=list)
    dtypes: Texts = Field(default_factory=list)
    shape_min: list[int] = Field(default_factory=list)
    shape_max: list[int] = Field(default_factory=list)
    pixel_size: list[dict[str, float | None]] = Field(default_factory=list)
    channels: Texts = Field(default_factory=list)


class Record(Part):
    """A study: what ``study.yaml`` holds."""

    accession: Text = Field("", description="Given by the archive; leave empty if you have none")
    title: Text = Field("", description="At least 25 characters. Required")
    description: Text = Field("", description="At least 25 characters. Required")
    keywords: Texts = Field(default_factory=list, description="At least one. Required")
    license: Text = Field("", description="SPDX id: CC0-1.0 or CC-BY-4.0. Required")
    release_date: Text = Field("", description="YYYY-MM-DD. Required; later means an embargo")
    acknowledgements: Text = ""
    funding_statement: Text = ""
    reference_value: Text = Field(
        "", description="Why the images are worth keeping when there is no publication"
    )
    authors: Annotated[list[Author], BeforeValidator(_named)] = Field(
        default_factory=list, description="At least one. Required"
    )
    organisations: list[Organisation] = Field(default_factory=list)
    doi: Text = Field(
        "", description="DOI of this study: the archive records it, leave empty if you have none"
    )
    publications: list[Publication] = Field(default_factory=list)
    links: list[Link] = Field(default_factory=list)
    funding: list[Grant] = Field(default_factory=list)
    biosamples: list[Biosample] = Field(default_factory=list, description="At least one. Required")
    specimens: list[Specimen] = Field(default_factory=list, description="At least one. Required")
    image_acquisitions: list[ImageAcquisition] = Field(
        default_factory=list, description="At least one. Required"
    )
    image_correlations: list[ImageCorrelation] = Field(default_factory=list)
    image_analyses: list[ImageAnalysis] = Field(default_factory=list)
    study_components: list[StudyComponent] = Field(
        default_factory=list, description="At least one. Required"
    )
    annotation_sets: list[AnnotationSet] = Field(default_factory=list)
    image_data: list[ImageData] = Field(default_factory=list)
    rules_of_use: Text = Field("", description="What others should know before they use the data")
    ignored_files: Texts = Field(
        default_factory=list, description="Patterns of files that need not be listed"
    )
    rembi_version: Text = REMBI_VERSION
    schema_version: Text = SCHEMA_VERSION

    def parts(self) -> dict[str, StudyComponent | AnnotationSet]:
        """Study components and annotation sets by name: what a file can belong to."""
        return {p.name: p for p in [*self.study_components, *self.annotation_sets]}
