"""Tables and texts are compared with all hidden images at once, whatever their size."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from slidebox.challenge import jsonpieces, tells


def planes(count: int) -> list[np.ndarray]:
    """Labels of boxes, 6 to 25 of them each."""
    rng = np.random.default_rng(5)
    made = []
    for _ in range(count):
        plane = np.zeros((200, 220), np.uint16)
        for n, at in enumerate(rng.permutation(90)[: rng.integers(6, 26)], 1):
            y, x = at // 10 * 22 + rng.integers(3), at % 10 * 22 + rng.integers(3)
            plane[y : y + rng.integers(6, 18), x : x + rng.integers(6, 18)] = n
        made.append(plane)
    return made


def hidden(count: int) -> list[tells.Objects]:
    return [tells.objects(f"i{k}", {f"i{k}"}, [p]) for k, p in enumerate(planes(count))]


def run_lengths(plane: np.ndarray, order: str, base: int) -> list[str]:
    """Start, length, start, ... of each object, down the columns ("F") or along the rows ("C")."""
    made = []
    for k in np.unique(plane[plane > 0]):
        inside = np.concatenate([[0], (plane == k).ravel(order).astype(int), [0]])
        begin, end = np.flatnonzero(np.diff(inside) == 1), np.flatnonzero(np.diff(inside) == -1)
        made.append(" ".join(f"{b + base} {e - b}" for b, e in zip(begin, end, strict=True)))
    return made


def test_run_lengths_of_every_order_and_base(tmp_path):
    looked_for = tells.Tells(hidden(8))
    path = tmp_path / "runs.csv"
    for order in "CF":
        for base in (0, 1):
            rows = run_lengths(planes(8)[5], order, base)
            path.write_text("id,runs\n" + "\n".join(f"q,{row}" for row in rows))
            assert looked_for.told(path)[0] == {("i5", "has the objects (run lengths)")}
    (whole,) = run_lengths((planes(8)[5] > 0).astype(int), "C", 1)
    path.write_text(f"id,runs\nq,{whole}\n")
    assert looked_for.told(path)[0] == {("i5", "has the objects (run lengths)")}


def written(folder, known: list[tells.Objects]) -> dict:
    """Texts that tell of one hidden image each, by the image."""
    centres, unit, runs, boxes, areas = known[3], known[4], known[5], known[6], known[7]
    return {
        "centres.csv": (centres, "y,x\n" + "\n".join(
            f"{y:.2f},{x:.2f}" for y, x in centres.places[0])),
        "unit.csv": (unit, "a,b\n" + "\n".join(
            f"{x * 0.3 + 2:.4f},{9 - y * 0.3:.4f}" for y, x in unit.places[0])),
        "runs.csv": (runs, "id,runs\n" + "\n".join(
            f"q,{run}" for run in run_lengths(planes(6)[5], "F", 1))),
        "boxes.json": (boxes, json.dumps([{"bbox": [x, y, w - x, h - y]}
                                          for x, y, w, h in boxes.boxes.tolist()])),
        "areas.csv": (areas, "n,area\n" + "\n".join(
            f"{k},{0.09 * a:.4f}" for k, a in enumerate(areas.areas))),
    }  # fmt: skip


def test_each_hidden_image_is_found_among_many(tmp_path):
    """The same is said of it as when it is the only one that is hidden."""
    known = hidden(120)
    together = tells.Tells(known)
    for name, (one, text) in written(tmp_path, known).items():
        path = tmp_path / name
        path.write_text(text)
        said = together.told(path)[0]
        alone = {what for other in known for what in tells.Tells([other]).told(path)[0]}
        assert one.id in {which for which, _ in said}, name
        assert said == alone, name


def test_a_table_of_many_images_costs_little_however_many_are_hidden(tmp_path):
    """Rows of each image are asked for by themselves: 60 times as much here."""
    known = hidden(60)
    many = [tells.Objects(f"{k} {one.id}", {f"{k} {one.id}"}, one.count, places=[
        p + k % 7 for p in one.places], areas=one.areas, area=one.area)
        for k in range(100) for one in known]  # fmt: skip
    rng = np.random.default_rng(0)
    rows = [f"s{k},{y:.2f},{x:.2f},{a:.2f}" for k in range(60)
            for y, x, a in rng.uniform(0, 200, (rng.integers(6, 26), 3))]  # fmt: skip
    path = tmp_path / "table.csv"
    path.write_text("image,centroid_y,centroid_x,mean\n" + "\n".join(rows))
    looked_for = tells.Tells(many)
    begin = time.process_time()
    assert looked_for.told(path)[0] == set()
    assert time.process_time() - begin < 6  # asked image by image: 20 and more


def _flat(node, into: list) -> list:
    if not isinstance(node, dict | list):
        into.append(node)
        return into
    for value in node.values() if isinstance(node, dict) else node:
        _flat(value, into)
    return into


def test_a_large_json_text_comes_in_pieces(tmp_path, monkeypatch):
    """None of them large, nothing left out; hidden objects are found in it all the same."""
    document = {
        "annotations": [{"id": k, "bbox": [k, 2, 3, 4]} for k in range(300)], "e": 'q"]}',
        "deep": {"a": {"b": [[1, 2]] * 50}}, "n": [], "o": {},
        "p": [[k, k + 1] for k in range(200)],
    }  # fmt: skip
    text = json.dumps(document, indent=1)
    wanted = sorted(map(str, _flat(document, [])))
    monkeypatch.setattr(jsonpieces, "WHOLE", 640)
    cut = [piece for _, piece in jsonpieces.pieces(text)]
    assert sorted(map(str, _flat(cut, []))) == wanted
    assert max(len(json.dumps(piece)) for piece in cut) < 4 * 640
    for bad in ('{"a":1,}', "[1 2]", '{"a" 1}', "[1,2", '{"a":', "[1,]x", "{1:2}"):
        with pytest.raises((ValueError, IndexError)):
            list(jsonpieces.pieces(bad * 200))
    known = hidden(10)
    one, text = written(tmp_path, known)["boxes.json"]
    path = tmp_path / "coco.json"
    path.write_text(f'{{"images": [], "annotations": {text}}}')
    assert one.id in {which for which, _ in tells.Tells(known).told(path)[0]}
