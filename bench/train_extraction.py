"""``make train-extraction``: recorded pages with known answers -> ``worker/extract/model.json``.

What a leaf is called by its page's answer is learnt by small boosted trees; which class names and short words lean
which way is counted beforehand, always on other hosts than those it is used on. Half an hour of two processors is
plenty. ``--try`` trains on four fifths of the hosts and reports the fifth, each fifth once, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from catboost import CatBoostClassifier
from rich.console import Console

from bench.extraction_pages import FOLDS, RECORDED, GoldPage, fold_of, recorded
from bench.extraction_scores import page_score, text_score
from worker.extract.article import said_of
from worker.extract.document import Document, read_document
from worker.extract.features import Page, Said, Vocabulary, columns_of, name_tokens, read_page, words_of
from worker.extract.leaves import Leaf, read_leaves
from worker.extract.metadata import read_metadata
from worker.extract.scorer import CONTENT_FROM, DEK_FROM

MODEL = Path(__file__).parents[1] / "worker" / "extract" / "model.json"
FOLDERS = {"fundus": 1.5, "wcxb": 1.0}  # with the weight of a page of each
BODY_TREES, DEK_TREES, DEPTH = 300, 100, 6
_WORDS = re.compile(r"\w+")
SHINGLE = 4
SHORT = 6  # words: of a shorter leaf shingles say nothing
MATCHED = 0.7  # of a leaf's shingles in the answer: then it is of the article
PARAGRAPH = 80  # characters
DEK_CHARS = (40, 700)
DEK_ROWS = 25  # from the title to the body, at most, for what is between to be a dek
_DEK_NAMES = re.compile(
    r"(?:^|[\s_-])(?:dek|deck|standfirst|sub-?title|sub-?headline|sub-?head(?:ing)?|strapline|summary|lead|lede|intro"
    r"|teaser|abstract|vorspann|chapo|perex|bajada|entradilla|ingress)",
    re.IGNORECASE,
)
LEAST_PAGES = {"tokens": 4, "words": 6}  # that have a token or a word, for it to lean
LEAST_LEANING = 0.15
Labels = npt.NDArray[np.int64]


@dataclass(slots=True)
class Lesson:
    """One page, its leaves, and what its answer calls them."""

    gold: GoldPage
    fold: int
    said: Said
    page: Page
    body: Labels
    dek: Labels
    weight: npt.NDArray[np.float64]
    matrix: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))


# ---------------------------------------------------------------- what a page's answer says of its leaves


def lesson(gold: GoldPage) -> Lesson | None:
    """None: the page holds no text outside of its scripts."""
    document = read_document(gold.html(), gold.url, None)
    if not isinstance(document, Document):
        return None
    leaves = read_leaves(document.root)
    said = said_of(read_metadata(document, None, leaves), None)
    page = read_page(leaves, said)
    if page is None:
        return None
    body = np.array(matches(page.rows, gold.text))
    dek = np.zeros(len(body), dtype=np.int64)
    for row in dek_rows(page, body, said, is_in_answer=gold.folder == "fundus"):
        dek[row], body[row] = 1, 0
    words = np.array([leaf.text.count(" ") + 1 for leaf in page.rows], dtype=np.float64)
    whole = max(float(words[(body + dek) > 0].sum()), 60.0)
    weight = (np.minimum(words / whole, 0.5) * 100 + 0.15) * FOLDERS[gold.folder]
    return Lesson(gold, fold_of(gold.url), said, page, body, dek, weight)


def matches(rows: Sequence[Leaf], answer: str) -> list[int]:
    """1 for each leaf that the answer has: long ones by their shingles, short ones as a line or between such."""
    words = _WORDS.findall(answer)
    shingles = set(_shingles(words))
    joined = f" {' '.join(words)} "
    lines = {" ".join(_WORDS.findall(line)) for line in answer.split("\n")}
    tokens = [_WORDS.findall(leaf.text) for leaf in rows]
    sure = [len(one) >= SHORT and _share(one, shingles) >= MATCHED for one in tokens]
    inside = range(sure.index(True), len(sure) - sure[::-1].index(True)) if any(sure) else range(0)

    def near(row: int, reach: int) -> int:
        return sum(sure[max(0, row - reach) : row + reach + 1])

    found = []
    for row, one in enumerate(tokens):
        text = " ".join(one)
        if len(one) >= SHORT or not one:
            found.append(int(sure[row]))
        elif text in lines:
            found.append(int(near(row, 4) > 0))
        else:
            found.append(int(row in inside and f" {text} " in joined and near(row, 2 if len(one) > 1 else 1) > 0))
    return _once(found, [" ".join(one) for one in tokens], joined, near)


def _once(found: list[int], texts: Sequence[str], joined: str, near: Any) -> list[int]:
    """Of a text that the page has more often than the answer, those copies that stand among the rest of it."""
    copies: dict[str, list[int]] = defaultdict(list)
    for row, is_found in enumerate(found):
        if is_found:
            copies[texts[row]].append(row)
    for text, rows in copies.items():
        for row in sorted(rows, key=lambda row: -near(row, 6))[max(1, joined.count(f" {text} ")) :]:
            found[row] = 0
    return found


def _shingles(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1)))


def _share(words: Sequence[str], shingles: set[tuple[str, ...]]) -> float:
    own = list(_shingles(words))
    return sum(one in shingles for one in own) / len(own)


def dek_rows(page: Page, body: Labels, said: Said, *, is_in_answer: bool) -> Iterator[int]:
    """Rows between title and body that are the dek, by what the page declares or by their names.

    Args:
        is_in_answer: Whether these answers count the dek to the text; then only what they have is one.
    """
    paragraphs = [row for row, leaf in enumerate(page.rows) if body[row] and len(leaf.text) >= PARAGRAPH]
    if not paragraphs:
        return
    home = Counter(int(page.parent[row]) for row in paragraphs).most_common(1)[0][0]
    begins = next(row for row in paragraphs if page.parent[row] == home)
    if begins - max(page.title_row, 0) >= DEK_ROWS:
        return
    summary = said.summary.casefold()
    for row in range(max(0, page.title_row - 3), begins):
        leaf = page.rows[row]
        if not DEK_CHARS[0] <= len(leaf.text) <= DEK_CHARS[1] or row == page.title_row:
            continue
        text = leaf.text.casefold()
        around = leaf.box.parent.names if leaf.box.parent else ""
        is_named = _DEK_NAMES.search(f"{leaf.box.names} {around}") is not None
        is_declared = text == summary
        if is_in_answer:
            if body[row] and (is_declared or is_named):
                yield row
        elif is_declared or (is_named and not body[row] and text[-1] in ".!?" and summary and text[:30] in summary):
            yield row


# ---------------------------------------------------------------- learning


def vocabulary(lessons: Iterable[Lesson]) -> Vocabulary:
    """Which way tokens of class and id lean, and words of short leaves: a page is a voice, however long it is."""
    voices: dict[str, dict[str, list[float]]] = {"tokens": defaultdict(list), "words": defaultdict(list)}
    for one in lessons:
        is_text = one.body + one.dek
        weight = np.minimum(one.page.length, 300)
        tokens: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        words: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for row, leaf in enumerate(one.page.rows):
            _count(tokens, _tokens_around(leaf), float(weight[row]), int(is_text[row]))
            _count(words, set(words_of(leaf.text)), 1.0, int(is_text[row]))
        for kind, counted in (("tokens", tokens), ("words", words)):
            for name, (all_of_it, of_text) in counted.items():
                voices[kind][name].append(of_text / all_of_it)
    return Vocabulary(
        tokens=_leaning(voices["tokens"], LEAST_PAGES["tokens"], usual=0.5, doubt=2),
        words=_leaning(voices["words"], LEAST_PAGES["words"], usual=0.3, doubt=4),
    )


def _tokens_around(leaf: Leaf) -> set[str]:
    found: set[str] = set()
    box = leaf.box
    while box.parent is not None and box.tag != "body":
        found.update(name_tokens(box.names))
        box = box.parent
    return found


def _count(counted: dict[str, list[float]], names: Iterable[str], weight: float, is_text: int) -> None:
    for name in names:
        counted[name][0] += weight
        counted[name][1] += weight * is_text


def _leaning(voices: Mapping[str, Sequence[float]], least: int, *, usual: float, doubt: int) -> dict[str, float]:
    """Voices -> [-1, 1]: 0 is the usual share of text, and few voices stay near it."""
    found = {}
    for name, shares in sorted(voices.items()):
        if len(shares) >= least:
            apart = (sum(shares) + doubt * usual) / (len(shares) + doubt) - usual
            leaning = round(apart / ((1 - usual) if sum(shares) / len(shares) > usual else usual), 2)
            if abs(leaning) >= LEAST_LEANING:
                found[name] = leaning
    return found


def matrix_of(one: Lesson, known: Vocabulary) -> tuple[npt.NDArray[np.float32], list[str]]:
    columns = columns_of(one.page, one.said, known)
    return np.column_stack(list(columns.values())).astype(np.float32), list(columns)


def fitted(lessons: Sequence[Lesson], kind: str, trees: int) -> CatBoostClassifier:
    model = CatBoostClassifier(
        iterations=trees, depth=DEPTH, learning_rate=0.08, l2_leaf_reg=6, subsample=0.7, bootstrap_type="Bernoulli",
        rsm=0.5, border_count=64, boosting_type="Plain", random_seed=1, verbose=0, allow_writing_files=False,
    )  # fmt: skip
    model.fit(
        np.vstack([one.matrix for one in lessons]),
        np.concatenate([getattr(one, kind) for one in lessons]),
        sample_weight=np.concatenate([one.weight for one in lessons]),
    )
    return model


def written(model: CatBoostClassifier, scratch: Path) -> dict[str, Any]:
    """The trees in our own form; one that is less deep than the others asks questions that are always denied."""
    model.save_model(str(scratch), format="json")
    said = json.loads(scratch.read_text("utf-8"))
    column = {one["feature_index"]: one["flat_feature_index"] for one in said["features_info"]["float_features"]}
    scale, (bias,) = said["scale_and_bias"]
    trees = []
    for tree in said["oblivious_trees"]:
        splits, values = tree["splits"], [round(scale * value, 4) for value in tree["leaf_values"]]
        missing = DEPTH - len(splits)
        trees.append({
            "features": [column[one["float_feature_index"]] for one in splits] + [0] * missing,
            "borders": [float(f"{one['border']:.6g}") for one in splits] + [1e30] * missing,
            "values": values + [0.0] * (2**DEPTH - len(values)),
        })  # fmt: skip
    return {"bias": round(bias, 4), "trees": trees}


# ---------------------------------------------------------------- the command


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.train_extraction", description=__doc__)
    parser.add_argument("--try", dest="is_trial", action="store_true", help="report each fifth of the hosts")
    parser.add_argument("--folds", type=Path, help="folder for a model of each fold: bench.extraction --models")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    if not RECORDED.is_dir():
        console.print(f"There are no recorded pages at {RECORDED}: nothing to learn from.")
        return 1
    with console.status("reading pages"):
        lessons = [one for gold in recorded(RECORDED, tuple(FOLDERS)) if (one := lesson(gold)) is not None]
    for fold in range(FOLDS):
        console.print(f"vocabulary {fold + 1} of {FOLDS}")
        known = vocabulary(one for one in lessons if one.fold != fold)
        for one in lessons:
            if one.fold == fold:
                one.matrix, names = matrix_of(one, known)
    if arguments.is_trial:
        for line in trial(lessons, console):
            print(line)
        return 0
    if arguments.folds is not None:
        for fold in range(FOLDS):
            console.print(f"trees {fold + 1} of {FOLDS}")
            others = [one for one in lessons if one.fold != fold]
            (arguments.folds / f"fold-{fold}.json").write_text(as_text(learnt(others, names)), "utf-8")
        return 0
    console.print("trees")
    MODEL.write_text(as_text(learnt(lessons, names)), "utf-8")
    console.print(f"{MODEL}: {MODEL.stat().st_size / 1024:.0f} KiB")
    return 0


def learnt(lessons: Sequence[Lesson], names: Sequence[str]) -> dict[str, Any]:
    """A model in our own form, of lessons whose matrices were counted out of fold."""
    known = vocabulary(lessons)
    with TemporaryDirectory() as folder:
        scratch = Path(folder) / "trees.json"
        trees = {
            kind: written(fitted(lessons, kind, count), scratch)
            for kind, count in (("body", BODY_TREES), ("dek", DEK_TREES))
        }
    return {"features": list(names), "tokens": known.tokens, "words": known.words, "trees": trees}


def as_text(model: Mapping[str, Any]) -> str:
    """JSON with a tree, a vocabulary, on a line: small, and a difference can be read."""

    def compact(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    trees = ",\n".join(
        f'{compact(name)}:{{"bias":{one["bias"]},"trees":[\n' + ",\n".join(map(compact, one["trees"])) + "]}"
        for name, one in model["trees"].items()
    )
    heads = [f"{compact(key)}:{compact(model[key])}" for key in ("features", "tokens", "words")]
    return "{" + ",\n".join(heads) + f',\n"trees":{{{trees}}}}}\n'


def trial(lessons: Sequence[Lesson], console: Console) -> Iterator[str]:
    """Each fifth of the hosts, by what the others taught; the text alone, without fallbacks and site profiles."""
    texts: dict[str, list[tuple[GoldPage, str]]] = {folder: [] for folder in FOLDERS}
    for fold in range(FOLDS):
        console.print(f"trees {fold + 1} of {FOLDS}")
        others = [one for one in lessons if one.fold != fold]
        body, dek = fitted(others, "body", BODY_TREES), fitted(others, "dek", DEK_TREES)
        for one in lessons:
            if one.fold == fold:
                likely, is_dek = (model.predict_proba(one.matrix)[:, 1] for model in (body, dek))
                keep = likely >= CONTENT_FROM
                above = (is_dek >= DEK_FROM) & (is_dek > likely)
                keep = keep | above if one.gold.folder == "fundus" else keep & ~above
                kept = (leaf.text for leaf, is_kept in zip(one.page.rows, keep, strict=True) if is_kept)
                texts[one.gold.folder].append((one.gold, "\n".join(kept)))
    for folder, pairs in texts.items():
        yield f"{folder}: {text_score([page_score(gold.text, text) for gold, text in pairs])}"


if __name__ == "__main__":
    sys.exit(main())
