"""Real records in PageTab and RO-Crate: read without losing a field, round trips."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidebox.record import Record, file_list, pagetab, pagetab_tsv, rocrate, study_yaml

PAIRS = sorted(
    p.name for p in (Path(__file__).parents[3] / "shared/data/metadata/bia_pagetab").glob("*.json")
)
CRATES = ("test_minimal_valid_ro_crate", "test_typical_ro_crate")


def words(value) -> Counter:
    """Every word that a value says anywhere in it."""
    found: Counter = Counter()
    if isinstance(value, dict):
        for one in value.values():
            found += words(one)
    elif isinstance(value, list):
        for one in value:
            found += words(one)
    elif value is not None and not isinstance(value, bool):
        found += Counter(re.findall(r"[^\s;()]+", str(value)))
    return found


def said(node, organisations: dict) -> Counter:
    """Words of all attribute values, links, files and qualifiers of a PageTab section."""
    found: Counter = Counter()
    if isinstance(node, list):
        for one in node:
            found += said(one, organisations)
        return found
    for attribute in node.get("attributes") or []:
        value = attribute.get("value")
        if attribute["name"].casefold() == "affiliation":
            value = organisations.get(value, value)
        found += words(value)
        for kind in ("valqual", "nmqual"):
            found += words([q.get("value") for q in attribute.get(kind) or []])
    for kind in ("links", "files", "subsections"):
        found += said(node.get(kind) or [], organisations)
    found += words([node.get("url"), node.get("path"), node.get("accno")])
    if "section" in node:
        found += said(node["section"], organisations)
    return found


def organisations(tree: dict) -> dict:
    names = {}
    for node in tree["section"].get("subsections", []):
        if not isinstance(node, dict) or not node.get("accno"):
            continue
        if node["type"].casefold() in ("organisation", "organization"):
            names[node["accno"]] = " ".join(
                a["value"] for a in node["attributes"] if a["name"] == "Name"
            )
    return names


@pytest.mark.parametrize("name", PAIRS)
def test_pagetab_loses_nothing(shared_data: Path, name: str) -> None:
    text = (shared_data / "metadata/bia_pagetab" / name).read_text(encoding="utf-8")
    tree = json.loads(text)
    told = pagetab.loads(text, name)
    kept = words(told.record.model_dump(mode="json"))
    for part, one, _ in told.files:
        kept += words([part, one.get("path"), one.get("size")])
        kept += words([a.get("value") for a in one.get("attributes") or []])
    lost = said(tree, organisations(tree)) - kept
    assert not lost, f"{sum(lost.values())} words lost"


@pytest.mark.parametrize("name", PAIRS)
def test_pagetab_round_trips_over_study_yaml(shared_data: Path, name: str) -> None:
    text = (shared_data / "metadata/bia_pagetab" / name).read_text(encoding="utf-8")
    record = pagetab.loads(text, name).record
    again, _, findings = study_yaml.loads(study_yaml.dumps(record))
    assert findings == []
    assert again == record


def to_tsv(tree: dict) -> str:
    """PageTab JSON as TSV, for trees whose sections have the accnos that others need."""
    blocks = []

    def quoted(text) -> str:
        text = str(text)
        return '"' + text.replace('"', '""') + '"' if "\n" in text or text[:1] == '"' else text

    def attributes(node) -> list[str]:
        lines = []
        for a in node.get("attributes") or []:
            name = f"<{a['name']}>" if a.get("reference") else a["name"]
            lines.append(f"{name}\t{quoted(a.get('value', ''))}")
            lines += [f"({q['name']})\t{quoted(q['value'])}" for q in a.get("nmqual") or []]
            lines += [f"[{q['name']}]\t{quoted(q['value'])}" for q in a.get("valqual") or []]
        return lines

    def section(node, parent) -> None:
        head = [node["type"], node.get("accno", ""), parent]
        blocks.append(["\t".join(head).rstrip("\t"), *attributes(node)])
        for link in node.get("links") or []:
            blocks.append([f"Link\t{link['url']}", *attributes(link)])
        for below in node.get("subsections") or []:
            if isinstance(below, list):
                names = [a["name"] for a in below[0]["attributes"]]
                rows = [f"{below[0]['type']}[{node.get('accno', '')}]\t" + "\t".join(names)]
                for one in below:
                    cells = [a.get("value", "") for a in one["attributes"]]
                    rows.append("\t".join([one.get("accno", ""), *cells]))
                blocks.append(rows)
            else:
                section(below, node.get("accno", ""))

    blocks.append([f"Submission\t{tree['accno']}", *attributes(tree)])
    section(tree["section"], "")
    return "\n\n".join("\n".join(b) for b in blocks) + "\n"


@pytest.mark.parametrize(
    "name", [n for n in PAIRS if not re.match("S-BIAD(15|628|590)_|S-BSMS4|S-BSST651", n)]
)
def test_pagetab_tsv_is_the_same_record(shared_data: Path, name: str) -> None:
    text = (shared_data / "metadata/bia_pagetab" / name).read_text(encoding="utf-8")
    tree = json.loads(text)
    first = pagetab.loads(text, name)
    second = pagetab.loads(to_tsv(tree), "study.tsv")
    a, b = first.record.model_dump(mode="json"), second.record.model_dump(mode="json")
    for one in (a, b):  # sections without values, and the order of accnos, differ by form
        one["extra"].pop("empty_sections", None)
    trimmed = json.loads(re.sub(r"\s+(?=\")", "", json.dumps(a)))
    assert json.loads(re.sub(r"\s+(?=\")", "", json.dumps(b))) == trimmed


def test_page_tab_tables_qualifiers_and_references() -> None:
    tree = pagetab_tsv.loads(
        "Submission\tS-1\nTitle\tA study\n\n"
        "Study\tST-1\nTissue\tblood\n[Ontology]\tUBERON\n(Kind)\tfluid\n"
        'Description\t"two\nlines"\n\n'
        "Author\tA1\nName\tAda\n<affiliation>\to1\n\n"
        "Data[ST-1]\tTitle\tSize\nD1\tOne\t1\nD2\tTwo\t2\n\n"
        "Sub\tSU-1\tD1\nTitle\tbelow\n\n"
        "Files\tType\na.tif\timage\nb.tif\timage\n"
    )
    study = tree["section"]
    tissue = study["attributes"][0]
    assert tissue["valqual"][0] == {"name": "Ontology", "value": "UBERON"}
    assert tissue["nmqual"][0] == {"name": "Kind", "value": "fluid"}
    assert study["attributes"][1]["value"] == "two\nlines"
    author, table = study["subsections"]
    assert author["attributes"][1]["reference"] is True
    assert [s["accno"] for s in table] == ["D1", "D2"]
    below = table[0]["subsections"][0]
    assert [f["path"] for f in below["files"][0]] == ["a.tif", "b.tif"]
    assert below.line == 19


def crate_words(folder: Path) -> Counter:
    found: Counter = Counter()
    for node in json.loads((folder / rocrate.NAME).read_text())["@graph"]:
        if node["@id"] == rocrate.NAME:
            continue
        for name, value in node.items():
            if name in ("@type", "tableSchema", "column", "columnName", "propertyUrl", "hasPart"):
                continue
            if name == "@id" and (node["@id"] == "./" or "csvw" in str(node["@type"])):
                continue
            values = value if isinstance(value, list) else [value]
            if all(isinstance(v, dict) for v in values):
                continue  # references: the things that they point to are counted
            found += words(value)
    return found


@pytest.mark.parametrize("name", CRATES)
def test_crates_lose_nothing(shared_data: Path, name: str) -> None:
    folder = shared_data / "metadata/bia_ro_crates" / name
    crate = rocrate.loads((folder / rocrate.NAME).read_text(), folder)
    kept = words(crate.record.model_dump(mode="json"))
    kept += Counter(
        w for author in crate.record.authors for w in [f"https://orcid.org/{author.orcid}"]
    )
    lost = crate_words(folder) - kept
    assert not lost
    rows = (folder / "file_list.tsv").read_text().splitlines()[1:]
    assert [r.path for r in crate.files.rows] == [r.split("\t")[0] for r in rows]
    for row, line in zip(crate.files.rows, rows, strict=True):
        told = words([row.path, row.size, list(row.attributes.values())])
        assert not words(re.sub(r"#\w+%20Dataset", "", line).split("\t")) - told
    again, _, _ = study_yaml.loads(study_yaml.dumps(crate.record))
    assert again == crate.record


def test_typical_crate_is_understood(shared_data: Path) -> None:
    folder = shared_data / "metadata/bia_ro_crates/test_typical_ro_crate"
    crate = rocrate.loads((folder / rocrate.NAME).read_text(), folder)
    record = crate.record
    assert [f.code for f in crate.findings if f.severity == "error"] == []
    assert record.accession == "S-TEST123" and record.authors[0].orcid == "9999-0001-2222-3333"
    assert record.image_acquisitions[0].imaging_instrument == "Microscope"
    component, annotations = record.study_components[0], record.annotation_sets[0]
    assert component.associations[0].image_acquisition == "Microscopy"
    assert annotations.methods == ["Cell boundary annotation. - Hand annotated"]
    first = crate.files.rows[0]
    assert first.part == "Annotation Dataset" and first.size == 12
    assert first.source_image == "data/tomograms/TS_026.rec"


BROKEN = {
    "test_duplicate_entity_id": ["CRATE_ID_TWICE"],
    "test_file_list_duplicate_path": [],  # told by the comparison with the folder: PATH_TWICE
    "test_file_list_metadata_reference_connects_entity": ["CRATE_BY_LIST"],
    "test_file_list_missing_metadata_reference": ["CRATE_REFERENCE_UNKNOWN"],
    "test_file_list_missing_path_column": ["CRATE_COLUMN"],
    "test_file_list_roc_id_reference_mismatch": ["CRATE_REFERENCE_UNKNOWN"],
    "test_file_list_self_reference_mismatch": ["SOURCE_UNKNOWN", "CRATE_SOURCE_TYPE"],
    "test_id_reference_mismatch": ["CRATE_REFERENCE_UNKNOWN", "CRATE_ORPHAN"],
    "test_invalid_objects": [
        "CRATE_ID",
        "CRATE_TYPE",
        "CRATE_REFERENCE_TYPE",
        "CRATE_REFERENCE_FORM",
    ],
    "test_redefined_context": ["CRATE_CONTEXT"],
}


@pytest.mark.parametrize("name", [*BROKEN, *CRATES])
def test_broken_crates_for_their_reason(shared_data: Path, name: str) -> None:
    folder = shared_data / "metadata/bia_ro_crates" / name
    found = rocrate.loads((folder / rocrate.NAME).read_text(), folder).findings
    assert set(BROKEN.get(name, ())) <= {f.code for f in found}
    unexpected = {f.code for f in found} - set(BROKEN.get(name, ()))
    assert unexpected <= {"CRATE_ORPHAN", "FILE_LIST_CELLS"}
    assert all(f.line for f in found)


NO_TEXT = (["a"], {"a": 1}, 7)


@pytest.mark.parametrize("name", NO_TEXT, ids=str)
@pytest.mark.parametrize("at", ["an object", "a reference", "an affiliation", "a text"])
def test_ids_that_are_no_text_are_told(name: object, at: str) -> None:
    study: dict = {"@id": "./", "@type": ["Dataset", "bia:Study"], "title": "T",
                   "contributor": [{"@id": "#a"}]}  # fmt: skip
    ada: dict = {"@id": "#a", "@type": ["Person", "bia:Contributor"], "displayName": "Ada"}
    graph: list = [study, ada]
    odd = {"@id": name}
    if at == "an object":
        graph.append(odd)
    elif at == "a reference":
        study["hasPart"] = [odd]
    elif at == "an affiliation":
        ada["affiliation"] = odd
    else:
        study["title"] = odd
    crate = rocrate.loads(json.dumps({"@graph": graph}, indent=1))
    assert "CRATE_ID" in {f.code for f in crate.findings}
    assert crate.record.authors[0].name == "Ada"
    if at == "an object":
        assert crate.record.extra["entities"] == [odd]


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 300 + "/a.tsv", "%00.tsv"])
def test_a_file_list_of_an_impossible_name_is_missing(tmp_path: Path, name: str) -> None:
    graph = [
        {"@id": name, "@type": ["File", "bia:FileList"], "tableSchema": {"@id": "#s"}},
        {"@id": "#s", "@type": "csvw:Schema", "column": {"@id": "#c"}},
        {"@id": "#c", "columnName": "p", "propertyUrl": "http://bia/filePath"},
    ]
    found = rocrate.loads(json.dumps({"@graph": graph}), tmp_path).findings
    assert "FILE_LIST_MISSING" in {f.code for f in found}


# --- round trip, with anything in the fields ---------------------------------------------------

_text = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), whitelist_characters="\n\t"), max_size=30
)
_extra = st.dictionaries(
    st.text("abcxyz ", min_size=1, max_size=5),
    st.recursive(
        _text | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False,
                                                                      allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    title=_text,
    keywords=st.lists(_text.filter(bool), max_size=3),
    names=st.lists(_text, max_size=3),
    extra=_extra,
)
def test_any_record_round_trips(title, keywords, names, extra) -> None:
    record = Record(
        title=title,
        keywords=keywords,
        authors=[{"name": n, "organisations": keywords, "extra": extra} for n in names],
        biosamples=[{"name": n, "organism": [{"name": title}]} for n in names],
        extra=extra,
    )
    again, _, findings = study_yaml.loads(study_yaml.dumps(record))
    assert findings == [] and again == record


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_readers_never_raise(text: str) -> None:
    study_yaml.loads(text)
    pagetab.loads(text, "x")
    rocrate.loads(text)
    pagetab.loads("Submission\tS\n\nStudy\t" + text, "x")


RICH = [
    {
        "@id": "./", "@type": ["Dataset", "bia:Study"], "name": "A rich study", "keywords": ["k1"],
        "description": "of all classes", "license": "https://creativecommons.org/licenses/by/4.0/",
        "datePublished": "2024-05-06", "accessionId": "S-RICH1", "doi": "10.6019/S-RICH1",
        "acknowledgement": "thanks", "fundingStatement": "paid", "custom": "kept",
        "author": [{"@id": "#ada"}], "hasPart": [{"@id": "list.tsv"}, {"@id": "#d1"}],
        "relatedPublication": [{"@id": "#paper"}], "funding": [{"@id": "#grant"}],
        "seeAlso": [{"@id": "https://example.org/code"}],
    },
    {
        "@id": "#ada", "@type": ["Person", "bia:Contributor"], "name": "Ada", "email": "a@b.org",
        "role": ["first author", "imaging"], "website": "https://ada.example.org",
        "memberOf": [{"@id": "https://ror.org/02catss52"}],
    },
    {
        "@id": "https://ror.org/02catss52", "@type": ["Organization", "bia:Affiliation"],
        "name": "Institute", "address": "Somewhere",
    },
    {
        "@id": "#paper", "@type": ["ScholarlyArticle", "bia:Publication"], "title": "On cells",
        "authorNames": "Ada; Bob", "yearPublished": 2024, "pubmedId": "123", "doi": "10.1234/x",
    },
    {"@id": "#grant", "@type": ["Grant", "bia:Grant"], "identifier": "G-7", "name": "Big grant",
     "funder": [{"@id": "#fund"}]},
    {"@id": "#fund", "@type": ["Organization", "bia:FundingBody"], "name": "The Fund"},
    {"@id": "https://example.org/code", "@type": ["CreativeWork", "bia:ExternalReference"],
     "description": "the code", "additionalType": "github"},
    {
        "@id": "#d1", "@type": ["Dataset", "bia:Dataset"], "name": "Images", "description": "imgs",
        "associatedSpecimen": {"@id": "#sp"},
        "associatedImageAcquisitionProtocol": [{"@id": "#acq"}],
        "associatedImageAnalysisMethod": [{"@id": "#ana"}],
        "associatedImageCorrelationMethod": [{"@id": "#cor"}],
    },
    {"@id": "#sp", "@type": ["bia:Specimen"], "biologicalEntity": [{"@id": "#bio"}],
     "imagingPreparationProtocol": [{"@id": "#prep"}]},
    {
        "@id": "#bio", "@type": ["bia:BioSample"], "name": "HeLa",
        "biologicalEntityDescription": "cell line", "experimentalVariableDescription": ["dose"],
        "extrinsicVariableDescription": ["drug"], "intrinsicVariableDescription": ["mutant"],
        "organismClassification": [{"@id": "NCBI:txid9606"}], "growthProtocol": {"@id": "#grow"},
    },
    {"@id": "NCBI:txid9606", "@type": ["Taxon", "bia:Taxon"], "commonName": "human",
     "scientificName": "Homo sapiens"},
    {"@id": "#grow", "@type": ["bia:Protocol"], "name": "Growing", "description": "in DMEM"},
    {"@id": "#prep", "@type": ["bia:SpecimenImagingPreparationProtocol"], "name": "Fixing",
     "description": "PFA", "signalChannelInformation": [{"@id": "#ch"}]},
    {"@id": "#ch", "@type": ["bia:SignalChannelInformation"], "channelLabel": "c0",
     "signalContrastMechanismDescription": "fluorescence", "channelContentDescription": "DAPI",
     "channelBiologicalEntity": "DNA"},
    {"@id": "#acq", "@type": ["bia:ImageAcquisitionProtocol"], "name": "Confocal",
     "description": "63x", "imagingInstrumentDescription": "A scope",
     "imagingMethodName": ["confocal microscopy", "FRAP"],
     "fbbiId": ["FBbi:00000251", "FBbi:00000366"]},
    {"@id": "#ana", "@type": ["bia:ImageAnalysisMethod"], "name": "Counting",
     "description": "by program", "featuresAnalysed": "number"},
    {"@id": "#cor", "@type": ["bia:ImageCorrelationMethod"], "name": "CLEM",
     "description": "by hand", "fiducialsUsed": "beads", "transformationMatrix": "1 0 0 1"},
    {"@id": "#d2", "@type": ["Dataset", "bia:Dataset"], "name": "Masks",
     "associatedAnnotationMethod": [{"@id": "#ann"}]},
    {"@id": "#ann", "@type": ["bia:AnnotationMethod"], "name": "Outlining",
     "description": "with a pen", "annotationCriteria": "all cells", "annotationCoverage": "half",
     "transformationDescription": "none", "spatialInformation": "pixels",
     "methodType": ["segmentation_mask"], "annotationSourceIndicator": "expert"},
    {"@id": "#proc", "@type": ["bia:CreationProcess"], "subject": {"@id": "#sp"},
     "imageAcquisitionProtocol": [{"@id": "#acq"}], "inputImage": []},
    {"@id": "list.tsv", "@type": ["File", "bia:FileList", "csvw:Table"],
     "tableSchema": {"@id": "_:s"}},
    {"@id": "_:s", "@type": ["csvw:Schema"], "column": [{"@id": f"_:c{i}"} for i in range(4)]},
    *(
        {"@id": f"_:c{i}", "@type": ["csvw:Column"], "columnName": n, "propertyUrl": u}
        for i, (n, u) in enumerate(
            [("path", "http://bia/filePath"), ("in", "http://schema.org/isPartOf"),
             ("type", "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"),
             ("of", "http://bia/associatedSourceImage")]
        )
    ),
]  # fmt: skip


def test_every_class_of_the_profile(tmp_path: Path) -> None:
    root = {"@id": rocrate.NAME, "@type": "CreativeWork", "about": {"@id": "./"}}
    crate = {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": [root, *RICH]}
    (tmp_path / rocrate.NAME).write_text(json.dumps(crate, indent=1))
    (tmp_path / "list.tsv").write_text(
        "path\tin\ttype\tof\na.tif\t#d1\thttp://bia/Image\t\n"
        'm.tif\t#d2\thttp://bia/AnnotationData\t["a.tif"]\n'
    )
    told = rocrate.loads((tmp_path / rocrate.NAME).read_text(), tmp_path)
    record = told.record
    assert [f for f in told.findings if f.severity == "error"] == []
    kept = words(record.model_dump(mode="json"))
    kept += Counter(w for o in record.organisations for w in [o.ror])
    kept += Counter(["NCBI:txid9606"])
    lost = crate_words(tmp_path) - kept
    assert not lost
    assert record.authors[0].organisations == ["Institute"]
    assert record.publications[0].authors == ["Ada", "Bob"]
    assert record.funding[0].agency == "The Fund" and record.links[0].type == "github"
    assert record.biosamples[0].organism[0].ncbi_taxon == "NCBITaxon:9606"
    association = record.study_components[0].associations[0].model_dump(exclude={"extra"})
    assert association == {
        "biosample": "HeLa",
        "specimen": "Fixing",
        "image_acquisition": "Confocal",
        "image_correlation": "CLEM",
        "image_analysis": "Counting",
    }
    annotations = record.annotation_sets[0]
    assert annotations.types == ["segmentation_mask"] and annotations.coverage == "half"
    assert told.files.rows[1].source_image == "a.tif"
    again, _, findings = study_yaml.loads(study_yaml.dumps(record))
    assert findings == [] and again == record


@given(
    st.lists(
        st.builds(
            file_list.Row,
            path=st.text("abc/. \"'=é", min_size=1, max_size=12).filter(str.strip),
            part=st.text("ab ", max_size=4).map(str.strip),
            source_image=st.text("ab/", max_size=4),
            size=st.none() | st.integers(0, 10**15),
            sha256=st.text("0123456789abcdef", max_size=6),
            attributes=st.dictionaries(
                st.sampled_from(["well", "plate", "Stain 1"]), st.text("xyz\"' ", min_size=1)
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_file_list_round_trips(tmp_path_factory, rows) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "files.tsv").write_text(file_list.dumps(rows), encoding="utf-8")
    told, findings = file_list.read_tsv(folder)
    assert findings == []
    for row in told.rows:
        row.line = None
    assert told.rows == rows
