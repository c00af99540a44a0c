"""How likely each leaf of a page is to be of its article: small trained trees on what ``features`` counts.

The model is data (``model.json`` beside this file: vocabularies, splits, leaf values), made by
``bench/train_extraction.py``; here it is only read and asked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.extract.features import Column, Matrix, Said, Vocabulary, columns_of, read_page
from worker.extract.leaves import Leaf, Leaves

CONTENT_FROM = 0.45  # probability from which a leaf is taken for the article's
DEK_FROM = 0.5
DEK_AMONG = 3  # of the first paragraphs that are likely: below them nobody looks for a dek
_ROWS_AT_ONCE = 2_000  # of a long page, so that a hostile one does not cost a gigabyte


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Boosted oblivious trees: all nodes of one depth ask the same question, so a leaf's number is a byte."""

    features: npt.NDArray[np.int64]  # trees x depth: column asked
    borders: npt.NDArray[np.float32]  # trees x depth: is it more than this?
    values: npt.NDArray[np.float32]  # trees x 2**depth
    bias: float

    def probability(self, matrix: Matrix) -> Column:
        """Features x leaves -> a probability for each leaf."""
        count = matrix.shape[1]
        return np.concatenate([
            self._some(matrix[:, first : first + _ROWS_AT_ONCE]) for first in range(0, count, _ROWS_AT_ONCE)
        ])  # fmt: skip

    def _some(self, matrix: Matrix) -> Column:
        trees, depth = self.features.shape
        answers = (matrix[self.features.reshape(-1)] > self.borders.reshape(-1, 1)).view(np.uint8)
        answers = answers.reshape(trees, depth, -1)
        number = answers[:, 0].astype(np.intp)
        for bit in range(1, depth):
            number += answers[:, bit].astype(np.intp) << bit
        number += (np.arange(trees) << depth)[:, np.newaxis]
        found = self.values.reshape(-1)[number].sum(axis=0) + self.bias
        probability: Column = 1 / (1 + np.exp(-found))
        return probability


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    vocabulary: Vocabulary
    features: tuple[str, ...]  # names of the columns, as the trees number them
    body: Trees
    dek: Trees


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The leaves that hold text, with the probability of each to be body, and to be the dek above it."""

    rows: list[Leaf]
    body: Column
    dek: Column


def score(leaves: Leaves, said: Said) -> Scored | None:
    """Ask the shipped model about every leaf of text. None: the page has none."""
    page = read_page(leaves, said)
    if page is None:
        return None
    model = shipped_model()
    columns = columns_of(page, said, model.vocabulary)
    matrix = np.array([columns[name] for name in model.features], dtype=np.float32)
    body = model.body.probability(matrix)
    paragraphs = np.flatnonzero((body >= CONTENT_FROM) & (page.good > 0))
    head = int(paragraphs[min(len(paragraphs), DEK_AMONG) - 1]) + 1 if len(paragraphs) else len(body)
    dek = np.zeros_like(body)
    dek[:head] = model.dek.probability(matrix[:, :head])
    return Scored(rows=page.rows, body=body, dek=dek)


@lru_cache(maxsize=1)
def shipped_model() -> Model:
    """The model in the package; read once."""
    return read_model(json.loads(files(__package__).joinpath("model.json").read_text("utf-8")))


def read_model(written: dict[str, Any]) -> Model:
    """What ``bench/train_extraction.py`` wrote."""
    trees = written["trees"]
    return Model(
        vocabulary=Vocabulary(tokens=written["tokens"], words=written["words"]),
        features=tuple(written["features"]),
        body=_trees(trees["body"]),
        dek=_trees(trees["dek"]),
    )


def _trees(written: dict[str, Any]) -> Trees:
    return Trees(
        features=np.array([tree["features"] for tree in written["trees"]], dtype=np.int64),
        borders=np.array([tree["borders"] for tree in written["trees"]], dtype=np.float32),
        values=np.array([tree["values"] for tree in written["trees"]], dtype=np.float32),
        bias=written["bias"],
    )
