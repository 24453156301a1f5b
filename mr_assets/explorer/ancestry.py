"""The ancestry of a round as a picture: who wrote what, what was weighed, which pairs came of it, what they trained.

    models     M0 ─► M1 ───────────────────────────────────────────────► M2
                      │ writes everything                                 ▲
    flow       prompt ─► r0 ▪▪▪▪▪ ─► rule ─────────────► actor pair ──────┤
                         r1 ▪▪▪▪▪ ─► battles ─► Elo ───► judge pair ──────┘

Geometry alone, in pixels; the template draws it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mr_assets.ids import PairKind, model_id, short
from mr_assets.lineage.facts import Matrix, Pair, Response, Round
from mr_assets.printable import excerpt, printable

ROW, GAP, BOX = 22, 56, 46  # height of a response's line; room for an arrow; height of a box
MODELS_AT, FLOW_AT = 8, 92
PROMPT, RESPONSE, SQUARE, DECISION, PAIR = 118, 128, 9, 150, 164  # widths
TILE = 5  # of the small matrix


@dataclass(frozen=True)
class Box:
    """A box that leads to a page. what: names its colours; lines: what stands in it; href: an id, or None."""

    what: str
    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    href: str | None = None
    title: str = ""

    @property
    def right(self) -> tuple[float, float]:
        """Where an arrow leaves."""
        return self.x + self.width, self.y + self.height / 2

    @property
    def left(self) -> tuple[float, float]:
        """Where an arrow comes in."""
        return self.x, self.y + self.height / 2


@dataclass(frozen=True)
class Square:
    """A small square without text: a judgment by its score, or a cell of the matrix. shade: 0 to 9, None is empty."""

    what: str
    x: float
    y: float
    size: float
    shade: int | None
    href: str | None
    title: str


@dataclass(frozen=True)
class Arrow:
    """A curve from a point to another."""

    what: str
    start: tuple[float, float]
    end: tuple[float, float]

    @property
    def path(self) -> str:
        """As SVG has it."""
        (x, y), (u, v) = self.start, self.end
        if abs(u - x) < 1:
            return f"M{x:.1f},{y:.1f} L{u:.1f},{v:.1f}"
        if self.what == "trains" and y > v:  # up to a model, and so into it from below
            return f"M{x:.1f},{y:.1f} Q{u:.1f},{y:.1f} {u:.1f},{v:.1f}"
        middle = (x + u) / 2
        return f"M{x:.1f},{y:.1f} C{middle:.1f},{y:.1f} {middle:.1f},{v:.1f} {u:.1f},{v:.1f}"


@dataclass
class Picture:
    """All of it, and its size."""

    width: float = 0
    height: float = 0
    boxes: list[Box] = field(default_factory=list)
    squares: list[Square] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)

    def box(self, box: Box) -> Box:
        """Add a box, and room for it."""
        self.boxes.append(box)
        self.width, self.height = max(self.width, box.x + box.width + 8), max(self.height, box.y + box.height + 8)
        return box

    def arrow(self, what: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Add an arrow."""
        self.arrows.append(Arrow(what, start, end))


def ancestry(round_: Round, kinds: Sequence[PairKind]) -> Picture:
    """The picture of a round, with the pairs of these kinds, made or not."""
    picture = Picture()
    policy = _models(picture, round_)
    count = max(len(round_.responses), 1)
    middle = FLOW_AT + count * ROW / 2
    prompt = None
    if round_.prompt:
        lines = ("prompt", excerpt(round_.prompt.text, 16))
        prompt = Box(
            "prompt", 8, middle - BOX / 2, PROMPT, BOX, lines, round_.prompt.id, excerpt(round_.prompt.text, 200)
        )
        picture.box(prompt)
    x = 8 + PROMPT + GAP
    sides = {id: side for pair in round_.pairs if pair.kind in kinds for id, side in _sides(pair)}
    rows = {r.id: picture.box(_response(r, x, FLOW_AT + n * ROW, sides)) for n, r in enumerate(round_.responses)}
    judged = max((len(r.judgments) for r in round_.responses), default=0)
    for response in round_.responses:
        picture.squares += _judgments(response, rows[response.id], sides, round_.scale)
        if prompt:
            picture.arrow("", prompt.right, rows[response.id].left)
    if policy and rows:
        first = next(iter(rows.values()))
        picture.arrow("writes", (policy.x + policy.width / 2, policy.y + policy.height), (first.x + 20, first.y))
    edge = x + RESPONSE + 6 + judged * (SQUARE + 1)
    ends = [_branch(picture, round_, kind, n, len(kinds), rows, edge) for n, kind in enumerate(kinds)]
    _trained(picture, round_, kinds, [end for end in ends if end], policy)
    picture.height = max(picture.height, FLOW_AT + count * ROW + 8)
    return picture


def _models(picture: Picture, round_: Round) -> Box | None:
    """The line of models, from the seed to the policy; the policy's box."""
    if round_.policy is None:
        return None
    line = round_.policy.line
    x, before = 8.0, None
    if line[0].seed:
        before = picture.box(Box("model seed", x, MODELS_AT, 62, 34, ("seed",), None, printable(line[0].seed)))
        x += 62 + 26
    for each in line:
        last = each is line[-1]
        lines = (each.name, "policy") if last else (each.name,)
        box = picture.box(Box("model policy" if last else "model", x, MODELS_AT, 62, 34, lines, each.name))
        if before:
            picture.arrow("trains", before.right, box.left)
        x, before = x + 62 + 26, box
    return before


def _sides(pair: Pair) -> tuple[tuple[str, str], ...]:
    return (pair.chosen_id, "chosen"), (pair.rejected_id, "rejected")


def _response(response: Response, x: float, y: float, sides: Mapping[str, str]) -> Box:
    what = sides.get(response.id, "duplicate" if response.duplicate_of else "response")
    score = f" {response.mean:.2f}" if response.mean is not None else " same text" if response.duplicate_of else ""
    chars = f" · {response.chars} ch" if response.chars is not None and not response.duplicate_of else ""
    lines = (f"{short(response.id)}{score}{chars}",)
    return Box(what, x, y + 2, RESPONSE, ROW - 4, lines, response.id, excerpt(response.text or "", 200))


def _judgments(response: Response, box: Box, sides: Mapping[str, str], scale: tuple[float, float]) -> Iterator[Square]:
    low, high = scale
    for n, judgment in enumerate(response.judgments):
        x = box.x + box.width + 6 + n * (SQUARE + 1)
        said = f"scores {judgment.score:g}" if judgment.score is not None else judgment.why_invalid or "invalid"
        shade = None if judgment.score is None else round((judgment.score - low) / (high - low) * 9)
        y = box.y + (box.height - SQUARE) / 2
        side = sides.get(judgment.id, "")
        title = f"{short(judgment.id)} {said}{', ' if side else ''}{side}"
        yield Square(f"judgment {side}", x, y, SQUARE, shade, judgment.id, title)


def _branch(
    picture: Picture, round_: Round, kind: PairKind, n: int, of: int, rows: dict[str, Box], edge: float
) -> Box | None:
    """What decides a pair, and the pair; the pair's box, or None if nothing is known."""
    height = max(len(rows), 1) * ROW
    apart = max(height / of, 2 * BOX + 8)  # a rule's box and a matrix fit below each other
    first = max(FLOW_AT + height / 2 - (of - 1) * apart / 2, FLOW_AT + BOX / 2 if of == 1 else FLOW_AT)
    middle = first + n * apart
    decided = _actor if kind == "actor" else _judge
    x = decided(picture, round_, rows, edge, middle)
    if x is None:
        return None
    pair, why = round_.pair(kind), round_.no_pair(kind)
    if pair:
        lines = (f"{kind} pair", f"{short(pair.chosen_id)} over {short(pair.rejected_id)}")
        return picture.box(Box("pair", x + GAP, middle - BOX / 2, PAIR, BOX, lines, pair.id))
    said = why.reason.replace("_", " ") if why else "not made"
    return picture.box(Box("none", x + GAP, middle - BOX / 2, PAIR, BOX, (f"no {kind} pair", said), None))


def _actor(picture: Picture, round_: Round, rows: dict[str, Box], edge: float, middle: float) -> float | None:
    if round_.rule is None:
        return edge if round_.pair("actor") or round_.no_pair("actor") else None
    rule = round_.rule
    lines = ("length control", f"≥ {rule.top_from:.2f} shortest", f"≤ {rule.bottom_to:.2f} longest")
    box = picture.box(Box("rule", edge + GAP, middle - 30, DECISION, 60, lines))
    pair = round_.pair("actor")
    for identity in [*rule.eligible, *rule.bottom]:
        if identity in rows:
            what = "weighed"
            if pair and identity in (pair.chosen_id, pair.rejected_id):
                what = "chosen" if identity == pair.chosen_id else "rejected"
            picture.arrow(what, (edge, rows[identity].right[1]), box.left)
    picture.arrow("", box.right, (box.x + box.width + GAP, middle))
    return box.x + box.width


def _judge(picture: Picture, round_: Round, rows: dict[str, Box], edge: float, middle: float) -> float | None:
    contest = round_.contest
    if contest is None:
        return edge if round_.pair("judge") or round_.no_pair("judge") else None
    matrix = contest.matrix
    size = (len(matrix.judgment_ids) if matrix else 4) * TILE
    width, height = max(size + 12, 92), size + 30
    said = (f"{len(contest.battles)} battles",)
    box = picture.box(Box("matrix", edge + GAP, middle - height / 2, width, height, said, None))
    if contest.response_id in rows:
        picture.arrow("selected", (edge, rows[contest.response_id].right[1]), box.left)
    if matrix:
        order, shade = contest.by_elo, shades(matrix)
        for m, a in enumerate(order):
            for n, b in enumerate(order):
                if a != b:
                    at = (box.x + (width - size) / 2 + n * TILE, box.y + 22 + m * TILE)
                    picture.squares.append(Square("cell", *at, TILE - 0.5, shade[a][b], None, ""))
    if contest.elo is None:
        picture.arrow("", box.right, (box.x + width + GAP, middle))
        return box.x + width
    scores = contest.elo.scores.values()
    lines = ("Elo", f"{max(scores):.2f} highest", f"{min(scores):.2f} lowest")
    elo = picture.box(Box("rule", box.x + width + GAP, middle - 30, 96, 60, lines))
    picture.arrow("", box.right, elo.left)
    picture.arrow("", elo.right, (elo.x + elo.width + GAP, middle))
    return elo.x + elo.width


def shades(matrix: Matrix) -> list[list[int]]:
    """The cells of a battle matrix from 0 to 9, which is its largest."""
    highest = max((cell for row in matrix.cells for cell in row), default=0) or 1
    return [[round(cell / highest * 9) for cell in row] for row in matrix.cells]


def _trained(picture: Picture, round_: Round, kinds: Sequence[PairKind], ends: list[Box], policy: Box | None) -> None:
    """The model that was trained on a pair, at the end of the line of models."""
    pairs: list[Pair] = [pair for kind in kinds if (pair := round_.pair(kind)) and pair.trained]
    if not pairs or not ends:
        return
    name = model_id(round_.iteration)
    edge = max(end.x + end.width for end in ends)
    x = max(edge + 16 if len(ends) > 1 else edge - 62, policy.x + 130 if policy else 0)
    box = picture.box(Box("model trained", x, MODELS_AT, 62, 34, (name, "DPO"), name))
    if policy:
        picture.arrow("trains", policy.right, box.left)
    below = (box.x + box.width / 2, box.y + box.height)
    for end in ends:
        if end.what == "pair" and any(pair.id == end.href for pair in pairs):
            picture.arrow("trains", (below[0], end.y) if len(ends) == 1 else end.right, below)
