"""Lines that end most of a feed's texts alike: "read more", "appeared first on", newsletters. They are the feed's, not
the articles'. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from worker.extract.blocks import Block

MAX_ENDINGS = 5  # lines of one text
LONGEST_ENDING = 300  # characters; what is longer is a paragraph that somebody wrote
SHORTEST_UNLINKED = 20  # characters; a short line without a link may be the agency's credit, which stays
LEAST_TEXTS = 3  # of a document that share a line
LEAST_SHARE = 0.5  # of its texts, and more
SHORTEST_TITLE = 8  # characters; "News" would be found everywhere
TITLE = "\ufffc"  # stands for the item's own title: "… appeared first on" names it


def line_of(block: Block, title: str | None) -> str:
    """A block's text as it is compared: case and blanks folded, the item's title taken out."""
    line = " ".join(block.text.casefold().split())
    own = " ".join((title or "").casefold().split())
    return line.replace(own, TITLE) if len(own) >= SHORTEST_TITLE else line


def repeated_endings(texts: Iterable[tuple[Sequence[Block], str | None]]) -> tuple[str, ...]:
    """The lines with which most of a document's texts end, as ``line_of`` writes them.

    Args:
        texts: Blocks and title of each item. Equal texts count once, and a text's first line is never an ending.
    """
    tails: dict[str, list[Block]] = {}
    titles: dict[str, str | None] = {}
    for blocks, title in texts:
        written = [block for block in blocks if block.kind != "figure"]
        key = "\n".join(block.text for block in written)
        tails[key], titles[key] = written[1:][-MAX_ENDINGS:], title
    lines = [[(line_of(block, titles[key]), block) for block in reversed(tail)] for key, tail in tails.items()]
    found: list[str] = []
    while len(found) < MAX_ENDINGS:
        last = Counter(rest[0][0] for rest in lines if rest and _may_end(*rest[0]))
        if not last:
            break
        line, times = last.most_common(1)[0]
        if times < LEAST_TEXTS or times <= LEAST_SHARE * len(lines):
            break
        found.append(line)
        lines = [rest[1:] if rest and rest[0][0] == line else rest for rest in lines]
    return tuple(found)


def without_endings(blocks: Sequence[Block], title: str | None, endings: Collection[str]) -> list[Block]:
    """The blocks without those of these lines that end them; something is always left."""
    kept = list(blocks)
    position = len(kept)
    while endings and position > 1:
        position -= 1
        block = kept[position]
        if block.kind == "figure":
            continue
        if line_of(block, title) not in endings or not any(one.kind != "figure" for one in kept[:position]):
            break
        del kept[position]
    return kept


def _may_end(line: str, block: Block) -> bool:
    return len(line) <= LONGEST_ENDING and (
        len(line) >= SHORTEST_UNLINKED or (line != "" and any(run.href for run in block.runs))
    )
