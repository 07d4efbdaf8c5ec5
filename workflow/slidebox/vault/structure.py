"""Is this folder a valid OCFL object? ocfl-py's judgement, and what it doesn't look at.

ocfl-py checks inventories, states and what files there are. Beside it: links and special files
(which it follows), every inventory against its sidecar, and a verdict where it gives up.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from slidebox.findings import Finding
from slidebox.vault import inventory

# What own reading names better: content that is missing, by version and logical path.
_OWN = {"E092b", "E093b"}
_LARGE = 16 << 20  # bytes of an inventory from which on memory counts


def validate_object(folder: Path, *, digests: bool = True) -> list[Finding]:
    """What is wrong with an OCFL object (1.0 or 1.1), errors and warnings.

    ``digests``: also read all content and compare every digest that any inventory names. Without
    it the inventories are still compared with their sidecars. Codes are ``OCFL_`` and the
    specification's own, such as ``OCFL_E092``.
    """
    from ocfl.validator import Validator  # takes a moment; who only reads doesn't need it

    if not digests and _size(folder / inventory.NAME) > _LARGE:
        Validator = _lean(Validator)
    findings = irregular(folder)
    if any(finding.severity == "error" for finding in findings):
        return findings  # ocfl-py would follow the links
    validator = Validator(log_warnings=True, check_digests=digests)
    messages: list[tuple[str, bool, str]] = []
    record = validator.log.log

    def keep(code: str, is_error: bool, **args: object) -> None:
        before = len(validator.log.messages)
        record(code, is_error, **args)
        for message in validator.log.messages[before:]:
            messages.append((code, is_error, message))

    validator.log.log = keep
    try:
        valid = validator.validate_object(str(folder))
    except Exception as reason:  # it trusts that inventories have the types they should
        valid = False
        messages.append(("E034", True, f"{type(reason).__name__}: {reason}"))
    vars(validator).clear()  # it and its log hold one another, and the inventories
    for code, is_error, message in messages:
        if digests or code not in _OWN:
            text = message.split("] ", 1)[-1]
            findings.append(_finding(code, is_error, text, folder))
    if not digests:
        findings += wrong_sidecars(folder)
        if _size(folder / inventory.NAME) > _LARGE:
            findings += _older_inventories(folder)
    elif not valid and not any(finding.severity == "error" for finding in findings):
        findings.append(_finding("E034", True, "ocfl-py judges it invalid", folder))
    return findings


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _lean(validator: type) -> type:
    """ocfl-py's validator of one inventory at a time, for objects of very many files.

    The inventories of older versions, of which it keeps several forms in memory, are compared by
    `_older_inventories`; digests of fixity, which it isn't to compare here, are let go.
    """

    from ocfl.inventory_validator import InventoryValidator

    class Lean(validator):
        def validate_inventory(self, inv_file, where="root", force_spec_version=None):
            try:
                with self.obj_fs.open(inv_file, "rb") as handle:
                    found = inventory.read_json(handle)
            except (OSError, ValueError):  # ocfl-py says what is wrong with it
                return super().validate_inventory(inv_file, where, force_spec_version)
            checked = InventoryValidator(
                log=self.log, where=where, default_spec_version=self.spec_version
            )
            checked.validate(found, force_spec_version=force_spec_version)
            found.pop("fixity", None)
            return found, checked

        def validate_version_inventories(self, version_dirs):
            sidecar = f"{inventory.NAME}.{self.digest_algorithm}"
            self.inventory_digest_files.update(dict.fromkeys(version_dirs, sidecar))
            return super().validate_version_inventories(version_dirs[-1:])

    return Lean


def _older_inventories(folder: Path) -> list[Finding]:
    """Whether older versions' inventories tell the same history as the object's: E066, E023.

    One is in memory at a time; of the object's own a digest of each version's state is kept.
    """
    try:
        newest = inventory.load(folder)
    except inventory.BadInventory:
        return []  # said already
    head = newest.head
    states = {name: _state_digest(newest, name) for name in newest.versions}
    contents = {hash(path) for paths in newest.manifest.values() for path in paths}
    identity = newest.id
    del newest
    findings = []
    for number in range(1, head):
        name = f"v{number}"
        try:
            older = inventory.load(folder / name)
        except inventory.BadInventory as reason:
            findings.append(_finding("E060", True, str(reason), folder))
            continue
        if older.id != identity:
            findings.append(_finding("E037", True, f"{name} has the id {older.id}", folder))
        wanted = {f"v{n}" for n in range(1, number + 1)}
        same = set(older.versions) == wanted and all(
            _state_digest(older, version) == states[version] for version in wanted
        )
        if not same:
            message = f"{name}'s inventory tells another history than the object's"
            findings.append(_finding("E066", True, message, folder))
        if any(hash(path) not in contents for paths in older.manifest.values() for path in paths):
            message = f"{name} has content that the object's inventory doesn't list"
            findings.append(_finding("E023", True, message, folder))
        del older
    return findings


def _state_digest(inv: inventory.Inventory, version: str) -> int:
    """A number that is the same for the same logical paths with the same content paths."""
    out = 0
    for digest, paths in inv.versions[version]["state"].items():
        for path in paths:
            out ^= hash((path, digest))
    return out


def irregular(folder: Path) -> list[Finding]:
    """Links and special files in an object: OCFL allows neither (E090)."""
    findings = []
    for top, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(top) / name
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                kind = "a link" if stat.S_ISLNK(mode) else "no regular file"
                message = f"{path.relative_to(folder)!s} is {kind}"
                findings.append(_finding("E090", True, message, folder))
    return findings


def wrong_sidecars(folder: Path) -> list[Finding]:
    """Inventories, of the object and of each version, that aren't what their sidecar promises."""
    findings = []
    for place in [folder, *sorted(folder.glob("v[0-9]*"))]:
        for sidecar in sorted(place.glob(f"{inventory.NAME}.*")):
            algorithm = sidecar.name.removeprefix(f"{inventory.NAME}.")
            where = sidecar.relative_to(folder)
            try:
                words = sidecar.read_text("ascii").split()
                actual = hashlib.new(algorithm, (place / inventory.NAME).read_bytes()).hexdigest()
            except (OSError, ValueError) as reason:
                findings.append(_finding("E058", True, f"{where}: {reason}", folder))
                continue
            if len(words) != 2 or words[1] != inventory.NAME:
                message = f"{where} is not the digest of an inventory"
                findings.append(_finding("E061", True, message, folder))
            elif words[0].lower() != actual or (
                sidecar.name == inventory.SIDECAR
                and sidecar.read_bytes() != inventory.sidecar(actual)  # as Slidebox wrote it
            ):
                message = f"{where} promises another digest than {inventory.NAME} has"
                findings.append(_finding("E060", True, message, folder))
    return findings


def _finding(code: str, is_error: bool, message: str, folder: Path) -> Finding:
    return Finding(
        f"OCFL_{code[:4]}",
        "error" if is_error else "warning",
        f"{folder.name}: {message}",
        file=str(folder),
        mend="slidebox repair takes what is whole from the mirror" if is_error else None,
    )
