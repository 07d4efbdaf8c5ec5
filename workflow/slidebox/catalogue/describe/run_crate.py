"""How a study was ingested, as a Provenance Run Crate 0.5.

https://w3id.org/ro/wfrun/provenance/0.5 on RO-Crate 1.1. The crate is a folder of its own beside
the pages, because its root is a run and not the study: the workflow, its steps, the run of each
tool with its times, and the run of the whole, done by Snakemake. It says neither host nor user.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from slidebox import __version__, atomic

BASE = "https://w3id.org/ro/crate/1.1"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_DONE = "http://schema.org/CompletedActionStatus"
_FAILED = "http://schema.org/FailedActionStatus"


def write_run_crate(
    folder: Path,
    *,
    accession: str,
    version: int,
    snakefile: Path,
    steps: list[dict[str, Any]],
    snakemake_version: str,
    license_url: str | None = None,
) -> Path:
    """Write ``folder`` (by convention ``<accession>/provenance``) with its metadata and workflow.

    Parameters
    ----------
    snakefile : the workflow's map; a copy of it is in the crate.
    steps : in the order they ran: ``{"name", "description", "started", "ended"}`` (RFC 3339) and
        optionally ``"inputs"``, ``"outputs"`` (what went in and came out, in words),
        ``"software"`` (``{name: version}`` of the libraries that did the work) and ``"error"``.

    Returns the path of the metadata. Raises ValueError when there is no step.
    """
    if not steps:
        raise ValueError("a run without steps has no provenance to tell")
    with atomic.replacing(folder / "Snakefile", "wb") as handle:
        handle.write(snakefile.read_bytes())
    crate = _crate(accession, version, steps, snakemake_version, license_url)
    atomic.write_json(folder / "ro-crate-metadata.json", crate)
    return folder / "ro-crate-metadata.json"


def _ref(entity: str | dict[str, Any]) -> dict[str, str]:
    return {"@id": entity if isinstance(entity, str) else entity["@id"]}


def _crate(
    accession: str,
    version: int,
    steps: list[dict[str, Any]],
    snakemake_version: str,
    license_url: str | None,
) -> dict[str, Any]:
    started = min(str(s["started"]) for s in steps)
    ended = max(str(s["ended"]) for s in steps)
    profiles = [
        {"@id": url, "@type": "CreativeWork", "name": name, "version": url.rsplit("/", 1)[-1]}
        for url, name in PROFILES.items()
    ]
    language = {
        "@id": "https://w3id.org/workflowhub/workflow-ro-crate#snakemake",
        "@type": "ComputerLanguage",
        "name": "Snakemake",
        "identifier": {"@id": "https://snakemake.readthedocs.io"},
        "url": {"@id": "https://snakemake.readthedocs.io"},
        "version": snakemake_version,
    }
    engine = {
        "@id": "#snakemake",
        "@type": "SoftwareApplication",
        "name": f"Snakemake {snakemake_version}",
        "softwareVersion": snakemake_version,
        "url": "https://snakemake.readthedocs.io",
    }
    parts = [_step(number, step) for number, step in enumerate(steps, start=1)]
    workflow = {
        "@id": "Snakefile",
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "name": "Slidebox",
        "description": "Validates, archives, derives and publishes a submission of images.",
        "version": __version__,
        "encodingFormat": "text/x-snakemake",
        "programmingLanguage": _ref(language),
        "step": [_ref(p["step"]) for p in parts],
        "hasPart": [_ref(p["tool"]) for p in parts],
    }
    failed = [s for s in steps if s.get("error")]
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Ingest of {accession}, version {version}",
        "instrument": _ref(workflow),
        "startTime": started,
        "endTime": ended,
        "actionStatus": {"@id": _FAILED if failed else _DONE},
        "object": _refs_of(parts[0]["inputs"]),
        "result": _refs_of(parts[-1]["outputs"]),
    }
    organised = {
        "@id": "#organize",
        "@type": "OrganizeAction",
        "name": "Snakemake's run of the workflow",
        "instrument": _ref(engine),
        "startTime": started,
        "endTime": ended,
        "object": [_ref(p["control"]) for p in parts],
        "result": _ref(run),
    }
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"How {accession}, version {version}, was ingested",
        "description": "The run of the workflow that made this study's pages and images.",
        "datePublished": ended[:10],
        "license": _ref(license_url) if license_url else "The licence of the study applies",
        "conformsTo": [_ref(p) for p in profiles],
        "mainEntity": _ref(workflow),
        "hasPart": [_ref(workflow)],
        "mentions": [_ref(run), _ref(organised), *[_ref(p["action"]) for p in parts]],
    }
    descriptor = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": [
            {"@id": BASE},
            {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
        ],
    }
    graph = [descriptor, root, *profiles, workflow, language, engine, run, organised]
    if license_url:
        terms = "The licence of the study, for what is told here too."
        graph.append(
            {"@id": license_url, "@type": "CreativeWork", "name": license_url, "description": terms}
        )
    for part in parts:
        graph += [part[k] for k in ("step", "tool", "control", "action")]
        graph += part["software"] + part["inputs"] + part["outputs"]
    unique: dict[str, dict[str, Any]] = {}
    for entity in graph:
        unique.setdefault(entity["@id"], entity)
    return {"@context": f"{BASE}/context", "@graph": list(unique.values())}


def _refs_of(entities: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [_ref(e) for e in entities]


def _step(number: int, step: dict[str, Any]) -> dict[str, Any]:
    """The entities of one step: the plan, the tool, Snakemake's control and the run itself."""
    name, key = str(step["name"]), quote(str(step["name"]), safe="")
    software = [
        {
            "@id": f"#software-{quote(library, safe='')}-{quote(str(release), safe='')}",
            "@type": "SoftwareApplication",
            "name": library,
            "softwareVersion": str(release),
        }
        for library, release in sorted((step.get("software") or {}).items())
    ]
    tool: dict[str, Any] = {
        "@id": f"#tool-{key}",
        "@type": "SoftwareApplication",
        "name": f"slidebox {name}",
        "description": str(step.get("description") or name),
        "softwareVersion": __version__,
    }
    if software:
        tool["softwareRequirements"] = _refs_of(software)
    plan = {
        "@id": f"Snakefile#{key}",
        "@type": "HowToStep",
        "name": name,
        "position": str(number),
        "workExample": _ref(tool),
    }
    inputs = [_thing("in", key, i, words) for i, words in enumerate(step.get("inputs") or [])]
    outputs = [_thing("out", key, i, words) for i, words in enumerate(step.get("outputs") or [])]
    action: dict[str, Any] = {
        "@id": f"#action-{key}",
        "@type": "CreateAction",
        "name": f"Run of {name}",
        "instrument": _ref(tool),
        "startTime": str(step["started"]),
        "endTime": str(step["ended"]),
        "actionStatus": {"@id": _FAILED if step.get("error") else _DONE},
    }
    if step.get("error"):
        action["error"] = str(step["error"])
    if inputs:
        action["object"] = _refs_of(inputs)
    if outputs:
        action["result"] = _refs_of(outputs)
    control = {
        "@id": f"#control-{key}",
        "@type": "ControlAction",
        "name": f"Orchestration of {name}",
        "instrument": _ref(plan),
        "object": _ref(action),
    }
    return {
        "step": plan,
        "tool": tool,
        "control": control,
        "action": action,
        "software": software,
        "inputs": inputs,
        "outputs": outputs,
    }


def _thing(direction: str, key: str, number: int, words: Any) -> dict[str, Any]:
    return {
        "@id": f"#{direction}-{key}-{number}",
        "@type": "Collection",
        "name": str(words),
    }
