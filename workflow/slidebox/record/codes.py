"""Every finding's code: how grave it is, what it means, an example and the mend.

Codes are stable: scripts, waivers and settings refer to them. ``docs/reference/findings.md`` is
made from this table and a test holds the table to the code.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..findings import Finding, Severity


@dataclass(frozen=True, slots=True)
class Code:
    """One row of the table; ``mend`` is what a finding says unless it knows better."""

    severity: Severity
    meaning: str
    example: str
    mend: str


def finding(
    code: str,
    message: str,
    file: str | None = None,
    line: int | None = None,
    field: str | None = None,
    mend: str | None = None,
) -> Finding:
    """A finding with the severity and, unless given, the mend of its code."""
    row = CODES[code]
    return Finding(code, row.severity, message, file, line, field or None, mend or row.mend)


CODES: dict[str, Code] = {}
"""All codes, in the order of the documentation."""

SECTIONS: dict[str, list[str]] = {}
"""Heading of the documentation -> its codes."""


def _section(title: str, rows: dict[str, tuple[Severity, str, str, str]]) -> None:
    SECTIONS[title] = list(rows)
    for code, (severity, meaning, example, mend) in rows.items():
        CODES[code] = Code(severity, meaning, example, mend)


_section(
    "The record as a file",
    {
        "RECORD_EMPTY": (
            "error",
            "The record is empty or not a list of fields.",
            "an empty study.yaml",
            "Write `title: ...` and so on; `slidebox init` gives a file to fill in.",
        ),
        "RECORD_TOO_LARGE": (
            "error",
            "The record is larger than any description needs.",
            "a study.yaml of 50 MB",
            "Describe the study in the record and list files in files.tsv.",
        ),
        "RECORD_TOO_DEEP": (
            "error",
            "Values are nested deeper than any field needs.",
            "`[[[[...]]]]` a thousand deep",
            "Flatten the record.",
        ),
        "TEXT_NOT_UTF8": (
            "error",
            "A record or list has bytes that are not UTF-8.",
            "a list saved as Latin-1 with `ü`",
            "Save the file as UTF-8.",
        ),
        "RECORD_MISSING": (
            "error",
            "The folder holds no record in any form that is read.",
            "a folder of images only",
            "Run `slidebox init` in the folder and fill in study.yaml.",
        ),
        "RECORD_AMBIGUOUS": (
            "error",
            "The folder holds more than one record.",
            "study.yaml beside ro-crate-metadata.json",
            "Keep one of them at the top of the folder.",
        ),
        "JSON_SYNTAX": (
            "error",
            "The file can't be read as JSON.",
            "a comma too many",
            "Write the file with a program, or check it with a JSON editor.",
        ),
        "YAML_SYNTAX": (
            "error",
            "The file can't be read as YAML.",
            "`title: Cells: a study`",
            "Check the indentation; put text that holds `: ` or ` #` between quotes.",
        ),
        "YAML_TAG": (
            "error",
            "The file uses a YAML tag, which could name code.",
            "`!!python/object:os.system`",
            "Remove the tag; put text that begins with ! between quotes.",
        ),
        "YAML_ALIAS": (
            "error",
            "The file uses YAML anchors or aliases, with which a small file can grow to gigabytes.",
            "`a: &x [1, 2]` and `b: *x`",
            "Write the value out; put text that begins with & or * between quotes.",
        ),
        "FIELD_TWICE": (
            "error",
            "A field is given twice.",
            "two lines `title: ...`",
            "Keep one of the two.",
        ),
        "FIELD_UNKNOWN": (
            "warning",
            "The record has no field of this name; the value is kept under `extra`.",
            "`licence: CC0-1.0`",
            "Use the name that is suggested, or move the value under extra.",
        ),
        "FIELD_TYPE": (
            "error",
            "A value is of the wrong kind.",
            "`authors: 3`",
            "Give the value in the form that the documentation shows.",
        ),
    },
)

_section(
    "Fields",
    {
        "FIELD_MISSING": (
            "error",
            "A required field is missing or empty.",
            "no `title`",
            "Fill in the field.",
        ),
        "FIELD_RECOMMENDED": (
            "info",
            "A recommended field is empty.",
            "no `acknowledgements`",
            "Fill in the field if you can.",
        ),
        "FIELD_PLACEHOLDER": (
            "error",
            "A field still holds the explanation that `slidebox init` put there.",
            "`title: <what was imaged and why>`",
            "Replace the text between < and >, or delete the field.",
        ),
        "FIELD_TOO_SHORT": (
            "error",
            "Title or description has fewer than 25 characters.",
            "`title: Cells`",
            "Say in a line what was imaged and why.",
        ),
        "NAME_TWICE": (
            "error",
            "Two parts of one kind have the same name, so that references are ambiguous.",
            "two biosamples named `HeLa`",
            "Give each a name of its own.",
        ),
        "ASSOCIATION_UNKNOWN": (
            "error",
            "An association names a part that the record does not have.",
            "`biosample: hela cells` where the biosample is `HeLa cells`",
            "Write the name exactly as the part has it.",
        ),
        "REFERENCE_UNKNOWN": (
            "error",
            "A reference within the record points to nothing.",
            "an author's affiliation `o1` where no organisation has the accno o1",
            "Give the thing this name, or correct the reference.",
        ),
        "REFERENCE_UNMARKED": (
            "warning",
            "A PageTab attribute holds an accno but is not marked as a reference.",
            '`{"name": "Affiliation", "value": "o1"}` without `"reference": true`',
            "Mark it: `reference: true` in JSON, `<Affiliation>` in TSV.",
        ),
        "MODULE_NESTED": (
            "warning",
            "A biosample, specimen, image acquisition or analysis stands inside a study component, "
            "without a title that others could refer to. It is read as if it stood beside it.",
            "a PageTab section `Specimen` below `Study Component`",
            "Put it beside the study component with a Title, and name it under Associations.",
        ),
        "FIELD_MARKUP": (
            "warning",
            "A field holds HTML, which is shown as text.",
            "`description: <b>Cells</b>`",
            "Write plain text.",
        ),
        "CELL_FORMULA": (
            "warning",
            "A cell of a file list begins like a formula, which a spreadsheet would run.",
            "`=HYPERLINK(...)`",
            "Write plain text.",
        ),
        "VARIABLE_LIST": (
            "warning",
            "Several variables are written into one value.",
            "`extrinsic_variables: [drug A; drug B; heat]`",
            "Give each its own entry of the list.",
        ),
        "ANNOTATION_TYPE": (
            "error",
            "An annotation type is none of MIFA's.",
            "`types: [masks]`",
            "Use one of MIFA's types.",
        ),
        "LICENCE_UNKNOWN": (
            "error",
            "The licence is none that the archive takes.",
            "`license: all rights reserved`",
            "Use CC0-1.0 or CC-BY-4.0.",
        ),
        "LICENCE_MENDED": (
            "warning",
            "The licence is clear but not written as its SPDX id; it is read as that.",
            "`license: CC-BY 4.0` is read as CC-BY-4.0",
            "Write the SPDX id.",
        ),
        "ACCESSION_INVALID": (
            "error",
            "The accession has other characters than letters, digits and hyphens, or is reserved.",
            "`accession: my study`",
            "Use the accession that the archive gave you, or leave the field out.",
        ),
        "ACCESSION_MISMATCH": (
            "error",
            "The record's accession is not the one it was deposited under.",
            "`accession: S-2` in the deposit of S-1",
            "Correct the accession, or leave the field out.",
        ),
        "DATE_INVALID": (
            "error",
            "A date is no date in the form YYYY-MM-DD.",
            "`release_date: 31.12.2025`",
            "Write it as YYYY-MM-DD.",
        ),
        "EMAIL_INVALID": (
            "error",
            "An e-mail address can't be one.",
            "`email: Ada <ada@example.org>`",
            "Give the bare address, name@host.",
        ),
        "ORCID_INVALID": (
            "error",
            "An ORCID iD is malformed or its check digit is wrong.",
            "`orcid: 0000-0002-1825-0098`",
            "Copy the iD from orcid.org.",
        ),
        "DOI_INVALID": (
            "error",
            "A DOI is none.",
            "`doi: TBD`",
            "Write it as 10.1234/abcd, or leave it out until there is one.",
        ),
        "DOI_MISSING": (
            "warning",
            "A publication that is out (published, preprint) has no DOI.",
            "`status: published` without `doi`",
            "Add the DOI, or correct the status.",
        ),
        "PUBMED_INVALID": (
            "error",
            "A PubMed id is no number.",
            "`pubmed_id: in revision`",
            "Give the digits only, or leave it out until there is one.",
        ),
        "URL_INVALID": (
            "error",
            "A link is no web address.",
            "`url: https:// example.org`",
            "Give the full address with https://, or say with `type` what the identifier is.",
        ),
        "PUBLICATION_STATUS": (
            "warning",
            "The status of a publication is none of the known ones.",
            "`status: soon`",
            "Use in preparation, submitted, preprint or published.",
        ),
        "ORGANISM_UNKNOWN": (
            "warning",
            "An organism is none of the bundled terms of NCBITaxon, and no id is given.",
            "`organism: Wistar rat`",
            "Use the scientific name, or give the NCBITaxon id.",
        ),
        "ORGANISM_ID": (
            "warning",
            "An organism's id is none of NCBITaxon's form.",
            "`ncbi_taxon: mouse`",
            "Write it as NCBITaxon:10090.",
        ),
        "ORGANISM_MISMATCH": (
            "error",
            "An organism's id belongs to another organism than its name.",
            "`{name: Mus musculus, ncbi_taxon: 9606}`",
            "Correct the name or the id.",
        ),
        "METHOD_UNKNOWN": (
            "warning",
            "An imaging method is none of the bundled terms of FBbi, and no id is given.",
            "`imaging_methods: [our new method]`",
            "Use a term of FBbi if one fits; free text is kept.",
        ),
        "METHOD_ID": (
            "warning",
            "An imaging method's id is none of FBbi's form.",
            "`fbbi: confocal`",
            "Write it as FBbi:00000251.",
        ),
        "METHOD_MISMATCH": (
            "error",
            "An imaging method's id belongs to another method than its name.",
            "`{name: confocal microscopy, fbbi: FBbi:00000258}`",
            "Correct the name or the id.",
        ),
        "SCOPE_MEDICAL": (
            "error",
            "A file is of clinical imaging, which is not what this archive is for.",
            "a DICOM file of the modality CT",
            "Deposit it in an archive for medical images, or ask the curator.",
        ),
        "SCOPE_PATIENT_DATA": (
            "error",
            "A file's header or a list's column holds data of a person. The value is never shown.",
            "DICOM's PatientName",
            "Remove the data of persons from headers and lists before you submit.",
        ),
        "SCOPE_SLIDE_LABEL": (
            "warning",
            "A slide file holds a picture of the slide's label, which may show a person's name.",
            "the label image of an SVS file",
            "Look at it, and remove it when it shows who the tissue is from.",
        ),
        "SCOPE_REASON": (
            "warning",
            "The study has neither a publication nor a stated reference value.",
            "no `publications` and no `reference_value`",
            "Add the publication (status: in preparation is enough), or say in reference_value "
            "why others will use the images.",
        ),
    },
)

_section(
    "RO-Crate",
    {
        "CRATE_ROOT": (
            "error",
            "The crate has no root of the type bia:Study.",
            "no object with the @id `./`",
            "Give the root `./` the types Dataset and bia:Study.",
        ),
        "CRATE_CONTEXT": (
            "error",
            "The crate's context gives a name of the profile another meaning.",
            '`"title": {"@id": "http://example.org/title"}`',
            "Use the profile's context, and new names for new meanings.",
        ),
        "CRATE_ID": (
            "error",
            "An @id is missing or is no valid IRI.",
            '`"@id": "my protocol"` (write `#my%20protocol`)',
            "Write spaces as %20 and leave out < > ^ and control characters.",
        ),
        "CRATE_ID_TWICE": (
            "error",
            "Two objects have the same @id.",
            "two authors with one ORCID iD",
            "Give each object an @id of its own.",
        ),
        "CRATE_TYPE": (
            "error",
            "An object has not exactly one of the profile's types.",
            '`"@type": ["bia:AnnotationMethod", "bia:BioSample"]`',
            "Give it the one type of the profile that it is.",
        ),
        "CRATE_FIELD": (
            "error",
            "An object lacks a property that its type must have.",
            "a bia:Specimen without biologicalEntity",
            "Add the property.",
        ),
        "CRATE_REFERENCE_UNKNOWN": (
            "error",
            "A reference points to an object that is not in the crate.",
            '`"hasPart": {"@id": "#dataset2"}` without such an object',
            "Add the object, or correct the reference.",
        ),
        "CRATE_REFERENCE_TYPE": (
            "error",
            "A reference points to an object of the wrong type.",
            "an analysis method under associatedImageAcquisitionProtocol",
            "Refer to an object of the type that the property wants.",
        ),
        "CRATE_REFERENCE_FORM": (
            "error",
            "A reference is written as text.",
            '`"associatedProtocol": "#p"`',
            'Write `{"@id": "#p"}`.',
        ),
        "CRATE_COLUMN": (
            "error",
            "A file list lacks a column that it must have, or one that its schema describes.",
            "no column with the propertyUrl http://bia/filePath",
            "Add the column and its description.",
        ),
        "CRATE_SOURCE_TYPE": (
            "error",
            "The source image of a file is listed but not as an image.",
            "a source image whose row has no rdf:type",
            "Give its row the type http://bia/Image.",
        ),
        "CRATE_ORPHAN": (
            "warning",
            "Nothing in the crate or its file lists refers to an object.",
            "a Dataset that the study's hasPart does not name",
            "Refer to it, or remove it.",
        ),
        "CRATE_BY_LIST": (
            "warning",
            "An object is referred to by the file list only.",
            "a specimen that only a row's associatedSubject names",
            "Refer to it from its dataset too, so that readers of the metadata find it.",
        ),
    },
)

_section(
    "The list of files",
    {
        "FILE_LIST_MISSING": (
            "error",
            "There is no file list.",
            "study.yaml without files.tsv",
            "Write files.tsv (columns path, part); `slidebox init` makes one from the files.",
        ),
        "FILE_LIST_EMPTY": (
            "error",
            "The file list has no line.",
            "an empty files.tsv",
            "Give a line of column names and one line a file.",
        ),
        "FILE_LIST_COLUMN": (
            "error",
            "A column is missing or given twice.",
            "files.tsv without `path`",
            "Name the columns in the first line: path, part and what else you have.",
        ),
        "FILE_LIST_CELLS": (
            "error",
            "A line has more cells than there are columns.",
            "a tab within a comment",
            "Give each column a name, and keep tabs and line ends out of cells.",
        ),
        "FILE_LIST_BLANK_LINE": (
            "warning",
            "A blank line stands within the list.",
            "an empty line between two files",
            "Remove blank lines.",
        ),
        "FILE_LIST_SIZE": (
            "error",
            "A size is no number of bytes.",
            "`1.5 MB`",
            "Give bytes as a whole number, or leave the cell empty.",
        ),
        "FILE_PATTERN": (
            "error",
            "A pattern of files' names can't be understood, or files of it are missing.",
            "`img_T<1-3>_C<DAPI,GFP>.tif`, and `img_T2_CGFP.tif` is not there",
            "Add the files that are named, or correct the pattern: T<>, C<> and Z<>, with "
            "a range (01-10), a list (DAPI,GFP) or nothing, for any number, within.",
        ),
        "FILE_LIST_SHA256": (
            "error",
            "A sha256 is none.",
            "`deadbeef`",
            "Give 64 hexadecimal digits, or leave the cell empty.",
        ),
        "PATH_INVALID": (
            "error",
            "A listed path could leave the folder or is not in its plain form.",
            "`../a.tif`, `/a.tif`, `./a.tif`, `a//b.tif`, `C:\\a.tif`",
            "Give the path from the submission's folder on, with / between names.",
        ),
        "PATH_TWICE": (
            "error",
            "A path is listed twice.",
            "two lines `images/a.tif`",
            "Keep one of the two.",
        ),
        "FILE_MISSING": (
            "error",
            "A listed file is not in the folder.",
            "`images/A.tif` where the file is `images/a.tif`",
            "Add the file, or correct its path (case counts).",
        ),
        "FILE_UNLISTED": (
            "error",
            "A file is in the folder but in no list.",
            "`notes.txt` that no line names",
            "List it with its part, remove it, or name a pattern in ignored_files.",
        ),
        "FILE_PART": (
            "error",
            "A line names no study component or annotation set of the record.",
            "`part` is `Nuclei ` where the component is `nuclei`",
            "Write the name of a study component or annotation set.",
        ),
        "PART_EMPTY": (
            "error",
            "A study component or annotation set has no file.",
            "a component that no line of files.tsv names",
            "List its files, or remove the part.",
        ),
        "FILE_SIZE": (
            "error",
            "A file's size is not the listed one.",
            "listed with 10 bytes, has 9",
            "Upload the file again, or correct the list.",
        ),
        "FILE_CHECKSUM": (
            "error",
            "A file's sha256 is not the listed one.",
            "a file that was cut short in the upload",
            "Upload the file again, or correct the list.",
        ),
        "FILE_DUPLICATE": (
            "warning",
            "Two files have the same content (found by --deep, from the sha256 given, or when the "
            "archive reads them).",
            "`a.tif` and `copy of a.tif`",
            "Remove one if it is there by mistake.",
        ),
        "SOURCE_MISSING": (
            "warning",
            "An annotation file does not say which image it is about.",
            "a mask without `source_image`",
            "Give the image's path in the column source_image.",
        ),
        "SOURCE_UNKNOWN": (
            "error",
            "An annotation file's source image is not among the listed files.",
            "`source_image` is `a.tif` where the image is `images/a.tif`",
            "Give the image's path as it is listed.",
        ),
    },
)

_section(
    "Files as they are",
    {
        "FILE_SYMLINK": (
            "error",
            "A file or folder is a symbolic link, which could point anywhere.",
            "`a.tif -> /etc/passwd`",
            "Put the file itself there.",
        ),
        "FILE_HARDLINK": (
            "error",
            "A file has another name outside the submission, through which it could change.",
            "a file made by `ln` from another folder",
            "Copy the file (`cp --reflink=auto`) instead of linking it.",
        ),
        "FILE_SPECIAL": (
            "error",
            "A FIFO, socket or device stands where a file should.",
            "a named pipe",
            "Remove it.",
        ),
        "FILE_UNREADABLE": (
            "error",
            "A file or folder may not be read.",
            "mode 000",
            "Give read permission.",
        ),
        "FILE_CHANGED": (
            "error",
            "A file changed after the submission was sealed, or while it was read.",
            "a file still being written",
            "Wait until all is written, then run `slidebox submit` again.",
        ),
        "FILE_EMPTY": (
            "warning",
            "A file has no bytes.",
            "`a.csv` of 0 bytes",
            "Upload it again, or remove it.",
        ),
        "FOLDER_EMPTY": (
            "info",
            "A folder is empty; it is kept.",
            "`raw/` without files",
            "Remove it if it is of no use.",
        ),
        "NAME_NOT_UTF8": (
            "error",
            "A file's name is not UTF-8.",
            "a name from an old Windows disk",
            "Rename the file.",
        ),
        "NAME_CONTROL": (
            "error",
            "A file's name has a control character, such as a line end.",
            "`a\\nb.tif`",
            "Rename the file.",
        ),
        "NAME_CHARACTERS": (
            "warning",
            "A name has characters outside a-z A-Z 0-9 ! - _ . * ' ( ), which other archives "
            "do not take.",
            "`my image #1.tif`",
            "Rename the file if you can; it is archived under its name as it is.",
        ),
        "NAME_CASE": (
            "warning",
            "Two names differ by case only and would be one file on Windows and macOS.",
            "`A.tif` and `a.tif`",
            "Rename one of them.",
        ),
        "NAME_UNICODE": (
            "warning",
            "Two names differ only in how accents are stored and would be one file on macOS.",
            "`é.tif` once as one character and once as two",
            "Rename one of them.",
        ),
        "NAME_TOO_LONG": (
            "error",
            "A path has more than 1,000 bytes.",
            "folders forty deep",
            "Shorten the names.",
        ),
    },
)

_section(
    "Images",
    {
        "IMAGE_UNKNOWN_FORMAT": (
            "warning",
            "No reader knows this format; the file is archived as it is but can't be viewed.",
            "`a.xyz` in a study component",
            "Add a copy in an open format (OME-TIFF, OME-Zarr) if you can.",
        ),
        "IMAGE_UNREADABLE": (
            "error",
            "A file of a known image format can't be opened: it is truncated, damaged or not "
            "what its name says.",
            "a TIFF that ends in the middle of a plane",
            "Export or upload the file again.",
        ),
        "IMAGE_NOT_OPENED": (
            "warning",
            "No reader opens this file although its format is known: a variant that is not "
            "supported, or a damaged file. It is archived as it is but can't be viewed.",
            "a CZI with a compression that no free reader has",
            "Check that it opens in the microscope's software; add a copy in an open format if "
            "you can.",
        ),
        "IMAGE_TIMEOUT": (
            "error",
            "Opening the image took longer than allowed.",
            "a file with a loop in its directory",
            "Export the file again; ask the curator when it is whole.",
        ),
        "IMAGE_MEMORY": (
            "error",
            "Opening the image took more memory than allowed.",
            "a header of 4 000 000 000 x 4 000 000 000 pixels",
            "Export the file again; ask the curator when it is whole.",
        ),
        "IMAGE_BOMB": (
            "error",
            "The image says that it has far more pixels than the file could hold.",
            "a TIFF of 1 KB with 1 TB of pixels",
            "Export the file again; ask the curator when it is whole.",
        ),
        "IMAGE_CRASH": (
            "error",
            "The reader crashed on this file.",
            "a file made to break readers",
            "Export the file again; ask the curator when it is whole.",
        ),
        "IMAGE_LOOP": (
            "error",
            "A TIFF's directories point back to an earlier one and never end.",
            "a TIFF whose second page is its first",
            "Export the file again.",
        ),
        "IMAGE_XML_ENTITY": (
            "error",
            "The XML within the image declares entities, with which a few bytes can become "
            "gigabytes or other files are read. They are not resolved.",
            '`<!ENTITY e SYSTEM "file:///etc/passwd">` in OME-XML',
            "Export the file again with plain OME-XML.",
        ),
        "FILE_PICKLE": (
            "error",
            "The file holds pickled Python objects, which run code when they are loaded.",
            "a .npy of dtype object",
            "Save plain numbers (numpy.save with allow_pickle=False), or use an open format.",
        ),
        "IMAGE_EMPTY": (
            "error",
            "An image has no pixels.",
            "a series of 0 x 0",
            "Export the file again.",
        ),
        "PIXEL_SIZE_MISSING": (
            "warning",
            "An image says nothing of its pixel size.",
            "a TIFF without resolution",
            "Export with metadata, or say it in acquisition_parameters.",
        ),
        "PIXEL_SIZE_IMPLAUSIBLE": (
            "warning",
            "A pixel size is zero or none that a microscope gives; often a wrong unit.",
            "0.1 m, or 72 dpi",
            "Correct the unit when exporting, or say the true size in acquisition_parameters.",
        ),
        "LABEL_NOT_INTEGER": (
            "error",
            "A label image holds other than whole numbers.",
            "masks saved as float32",
            "Save labels as unsigned integers, 0 for background, one number an object.",
        ),
        "LABEL_NEGATIVE": (
            "error",
            "A label image holds negative numbers.",
            "-1 for the border",
            "Use 0 for background and positive numbers for objects.",
        ),
        "LABEL_EMPTY": (
            "warning",
            "A label image holds no object.",
            "a mask of zeros",
            "Check that it is the right file; say in coverage when an image has no object.",
        ),
        "LABEL_LOSSY": (
            "warning",
            "A label image was saved with a compression that changes values.",
            "a mask as JPEG: numbers of its own along each outline",
            "Save labels as PNG or TIFF from where they were drawn; a converted JPEG stays wrong.",
        ),
        "TRACK_PARENT": (
            "error",
            "A track's parent is no track.",
            "`7 12 20 3` where no line begins with 3",
            "Correct the parent, or write 0 for none.",
        ),
        "TRACK_TIME": (
            "error",
            "A track ends before it begins, begins before its parent ends, or leaves the image.",
            "`7 20 12 0`",
            "Correct the frames (the first is 0).",
        ),
        "TRACK_TWICE": (
            "error",
            "Two lines give the same track.",
            "two lines that begin with 7",
            "Give each track one line.",
        ),
        "POINT_OUTSIDE": (
            "warning",
            "A point lies outside its image.",
            "x is 700 in an image of 512 pixels",
            "Give coordinates in pixels of source_image (the first is 0), or name the column with "
            "its unit (x_um).",
        ),
        "TABLE_IMAGE": (
            "warning",
            "A table names an image that the submission has not.",
            "`image` is `a.tif` where the file is `images/b.tif`",
            "Write the image's path or name as it is listed.",
        ),
        "LABEL_SHAPE": (
            "error",
            "A label image has not the size of its source image.",
            "a mask of 512 x 512 for an image of 1024 x 1024",
            "Give labels in the frame of their image, or correct source_image.",
        ),
    },
)

_section(
    "Curation",
    {
        "CURATION_STALE": (
            "warning",
            "A curator changed a field whose submitted value is another one now; the submitted "
            "value stays.",
            "the licence was mended by curation, then by the submitter in another way",
            "Look at both values; set the field again if the curated one is right.",
        ),
        "CURATION_INVALID": (
            "warning",
            "A change that a curator made does not fit the record any more; it is left out.",
            "`authors[3].email` of a record that has two authors now",
            "Remove the entry, or set the field again.",
        ),
    },
)

_section(
    "Deposits",
    {
        "READY_INVALID": (
            "error",
            "`.ready` is missing, empty, changed by hand or of another form.",
            "`touch .ready`",
            "Delete .ready and run `slidebox submit` on the folder; it writes the file list.",
        ),
        "DEPOSIT_INVALID": (
            "error",
            "A field of deposit.yaml is unknown or has a wrong value.",
            "`mode: append`",
            "Write `mode: replace` or `mode: add`; `base` is a version's number.",
        ),
        "DEPOSIT_BASE": (
            "error",
            "The deposit was made against another version than the archive's last one.",
            "`base: 1` when the archive holds version 2",
            "Look at what changed since, then submit again with the present version.",
        ),
        "DEPOSIT_SUPERSEDED": (
            "error",
            "The deposit changed, or the archive got another version, while it was taken in.",
            "a second `slidebox submit` during the run",
            "Look at what changed since, then submit again.",
        ),
        "DEPOSIT_WITHDRAWN": (
            "error",
            "The study was withdrawn; nothing is added to it.",
            "a deposit for the accession of a tombstone",
            "Submit under a new accession, or ask the archive.",
        ),
        "LABELS_LEFT_OUT": (
            "warning",
            "A label image does not fit its image, or is none; the image is shown without it.",
            "labels of 512 x 512 over an image of 1024 x 1024",
            "Submit label images of whole numbers from 0, of the image's size, with one channel.",
        ),
        "READERS_DISAGREE": (
            "warning",
            "Two libraries that share no code read the same plane of a file differently.",
            "a tile that one of them puts elsewhere",
            "Look at the derived image beside the vendor's own software, and tell the archive.",
        ),
        "IMAGE_FAILED": (
            "warning",
            "An image could not be derived from the archived file; the original is kept as it is.",
            "a plane that no longer decodes",
            "Submit a file that opens if this is not meant.",
        ),
    },
)
