"""A lineage as a tree of lines for the terminal.

    pair 2.3f1c09aa72be.actor, run small_world_meta_rewarding
    ├─ prompt 3f1c09aa72be "Write w s v k in upper case."  [prompts of iteration 2, run 7ec6e9de]
    ├─ rule: Smax 4.636, Smin 1.818, rho 0.32  [actor_pairs of iteration 2, run 7ec6e9de]
    │  ├─ top tier from 3.734: characters r5 14, r4 16, r1 73; the shortest is chosen
    ...

Texts are untrusted and pass `mr_assets.printable`; nothing else of a table is printed but numbers and ids, and
those pass it, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mr_assets.ids import PairKind, iteration_of, judgments_of, kind_of_pair, model_id, short
from mr_assets.lineage.exclusion import judgment_truth, pair_truth, response_exclusion
from mr_assets.lineage.facts import (
    Battle,
    Contest,
    Draw,
    Dropped,
    Judgment,
    Lineage,
    Model,
    Pair,
    Provenance,
    Reply,
    Response,
    RewardMargin,
    Round,
)
from mr_assets.loop import LOOP, titled
from mr_assets.printable import excerpt, printable

EXCERPT = 100  # characters of a text, where not all of it is asked for
BRIEF = 15  # lines that answer the question
BRIEF_EXCERPT = 40


@dataclass
class Node:
    """A line, and what hangs off it."""

    text: str
    children: list["Node"] = field(default_factory=list)


def lines(lineage: Lineage, stale: Sequence[str] = (), *, full: bool = False) -> Iterator[str]:
    """The tree, line by line; with `full`, whole texts in place of their beginnings.

    stale: why the run would make something of it again, as `mr_assets.lineage.tracing.why_stale` says.
    """
    yield from _drawn(_Tree(lineage, stale, full).root())


def brief(lineage: Lineage, stale: Sequence[str] = ()) -> Iterator[str]:
    """The lines that answer the question, fifteen at most: what it is, the pair, why, who wrote it, what came of it."""
    root = _Brief(lineage, stale, full=False).facts()
    more = Node("--more: all responses, judgments and battles, and who made them; --full: whole texts")
    root.children = [*root.children[: BRIEF - 2], more]
    yield from _drawn(root)


def _drawn(node: Node, first: str = "", rest: str = "") -> Iterator[str]:
    yield f"{first}{printable(node.text)}"
    for n, child in enumerate(node.children, 1):
        last = n == len(node.children)
        yield from _drawn(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


@dataclass
class _Tree:
    lineage: Lineage
    stale: Sequence[str]
    full: bool
    runs: dict[str, None] = field(default_factory=dict)

    def root(self) -> Node:
        root = self.facts()
        root.children.append(Node("Dagster runs", [Node(run) for run in self.runs]))
        return root

    def facts(self) -> Node:
        said = self.lineage
        root = Node(f"{said.kind} {said.id}, run {said.run}")
        for broken in said.broken:
            root.children.append(Node(f"STALE: {broken.said} What does not belong together is left out below."))
        root.children += [Node(f"STALE: {why}") for why in self.stale]
        if said.model:
            root.children += [self.model(said.model), *self.descent_of_model()]
            return root
        if said.reply:
            root.children += self.reply(said.reply)
        for round_ in said.rounds:
            children = [*self.round(round_), self.forward(round_)]
            several = len(said.rounds) > 1
            root.children += [Node(f"iteration {round_.iteration}", children)] if several else children
        return root

    # ------------------------------------------------------------------------------------------------------- a round

    def round(self, round_: Round) -> Iterator[Node]:
        if round_.prompt:
            prompt = self.text(f"prompt {round_.prompt.id}", round_.prompt.text, round_.prompt.provenance)
            if generated := round_.prompt.generated:
                prompt.children.append(Node(f"{generated.said}{self.by(generated.provenance)}"))
            yield prompt
        for kind in self.kinds():
            yield self.outcome(round_, kind)
        yield from self.rule(round_)
        yield self.responses(round_)
        if round_.contest and (self.lineage.kind != "pair" or kind_of_pair(self.lineage.id) == "judge"):
            yield self.contest(round_, round_.contest)
        if round_.policy:
            yield Node("written by", [self.model(round_.policy)])
        else:
            yield Node("written by a model that is not there any more, or was re-materialized since")
        yield from self.scored_by(round_)

    def scored_by(self, round_: Round) -> Iterator[Node]:
        """Who gave the scores, where that was not the policy."""
        if round_.reward_model:
            yield Node(f"scored by the reward model {round_.reward_model}")

    def kinds(self) -> Sequence[PairKind]:
        """The pairs to tell of."""
        if self.lineage.kind == "pair":
            return (kind_of_pair(self.lineage.id),)
        return ("judge",) if self.lineage.kind == "battle" else ("actor", "judge")

    def outcome(self, round_: Round, kind: PairKind) -> Node:
        pair = round_.pair(kind)
        if pair is None:
            why = round_.no_pair(kind)
            if kind == "judge" and not round_.judge_training:
                return Node("no judge pair: this iteration trains the actor alone")
            return self.dropped(f"no {kind} pair", why) if why else Node(f"no {kind} pair is known here")
        worth = "score" if kind == "actor" else "Elo"
        node = Node(f"{kind} pair {pair.id}{self.focus(pair.id)}{self.by(pair.provenance)}")
        for side, identity, value, chars in (
            ("chosen", pair.chosen_id, pair.chosen_worth, pair.chosen_chars),
            ("rejected", pair.rejected_id, pair.rejected_worth, pair.rejected_chars),
        ):
            said = round_.texts.get(identity)
            head = f"{side} {identity}: {worth} {_number(value)}, {chars} characters"
            node.children.append(Node(head) if said is None else self.text(head, said))
        node.children += [Node(f"truth: {said}") for said in (pair_truth(pair),) if said]
        node.children += self.training(pair)
        return node

    def training(self, pair: Pair) -> Iterator[Node]:
        if pair.dropped:
            yield self.dropped("not trained on", pair.dropped)
        elif pair.dataset is None:
            yield Node("no DPO dataset that is there was made of it")
        elif pair.trained is None:
            yield Node(f"in the DPO dataset; no model was trained on it yet{self.by(pair.dataset)}")
        else:
            node = Node(f"{model_id(str(pair.trained.partition))} was trained on it{self.by(pair.trained)}")
            sides = " with its sides changed (switches.judge_pairs)" if pair.turned else ""
            node.children.append(Node(f"in the DPO dataset{sides}{self.by(pair.dataset)}"))
            if pair.margin:
                node.children.append(self.margin(pair.margin))
            yield node

    def margin(self, margin: RewardMargin) -> Node:
        after = "not recorded after"
        if margin.after is not None:
            rewards = f"chosen {margin.chosen_after:+.4g}, rejected {margin.rejected_after:+.4g}"
            after = f"{_number(margin.after)} after ({rewards})"
        said = (
            f"reward margin: {_number(margin.before)} before, {after}; mean of the batches "
            f"{_number(margin.batch_before)} at the first step, {_number(margin.batch_after)} over the last epoch"
        )
        return Node(said, [Node(margin.note)] if margin.note else [])

    def rule(self, round_: Round) -> Iterator[Node]:
        rule = round_.rule
        if rule is None or "actor" not in self.kinds():
            return
        limit = f", chosen with at most {rule.max_chosen_chars} characters" if rule.max_chosen_chars else ""
        node = Node(
            f"rule: Smax {_number(rule.score_max)}, Smin {_number(rule.score_min)}, rho {rule.rho:g}{limit}"
            f"{self.by(rule.provenance)}"
        )
        chars = {each.id: each.chars for each in round_.responses}
        for tier, bound, ids, extreme in (
            ("top tier from", rule.top_from, rule.eligible, "the shortest is chosen"),
            ("bottom tier to", rule.bottom_to, rule.bottom, "the longest is rejected"),
        ):
            listed = ", ".join(f"{short(i)} {chars[i]}" for i in sorted(ids, key=lambda i: chars[i] or 0))
            node.children.append(Node(f"{tier} {_number(bound)}: characters {listed or 'of none'}; {extreme}"))
        if cut := [short(i) for i in rule.top if i not in rule.eligible]:
            node.children.append(Node(f"cut off at max tokens and so never chosen: {', '.join(cut)}"))
        node.children += [self.draw(draw) for draw in rule.draws]
        yield node

    def responses(self, round_: Round) -> Node:
        if not round_.responses:
            return Node("no responses that belong to it are there")
        node = Node(f"{len(round_.responses)} responses{self.by(round_.responses[0].provenance)}")
        node.children = [self.response(each, round_) for each in round_.responses]
        return node

    def response(self, each: Response, round_: Round) -> Node:
        facts = []
        if each.duplicate_of:
            facts.append(f"same text as {short(each.duplicate_of)}, goes no further")
        elif each.mean is not None:
            facts.append(f"score {_number(each.mean)} from {each.valid} of {each.judged} judgments")
        elif each.judged is not None:
            facts.append(f"no score, none of {each.judged} judgments is valid")
        if each.variance is not None:
            facts.append(f"variance {_number(each.variance)}")
        if each.true_score is not None:
            facts.append(f"true score {each.true_score:g}")
        facts += [f"{each.chars} characters"] * (each.chars is not None)
        facts += ["top tier"] * bool(each.in_top) + ["bottom tier"] * bool(each.in_bottom)
        facts += ["cut off"] * (each.finish_reason == "length")
        facts += ["its judgments battle"] * bool(each.selected)
        for pair in round_.pairs:
            facts += [side for side in ("chosen", "rejected") if getattr(pair, f"{side}_id") == each.id]
        head = f"{short(each.id)}{self.focus(each.id)}: {', '.join(facts)}"
        node = Node(f"{head}; its text was re-materialized since") if each.text is None else self.text(head, each.text)
        told = [x for x in each.dropped if "judge" in self.kinds() or LOOP[x.provenance.asset].side != "judge"]
        node.children += [self.dropped("dropped", x) for x in told]
        if "actor" in self.kinds() and (why := response_exclusion(round_, each)):
            node.children.append(Node(f"not in the actor pair: {why}"))
        judgments = [self.judgment(judgment, round_) for judgment in each.judgments if self.wanted(judgment, each)]
        if judgments:
            node.children.append(Node(f"judgments{self.by(each.judgments[0].provenance)}", judgments))
        elif each.judgments:
            scores = " ".join("-" if j.score is None else f"{j.score:g}" for j in each.judgments)
            node.children.append(Node(f"scores {scores}{self.by(each.judgments[0].provenance)}"))
        return node

    def wanted(self, judgment: Judgment, response: Response) -> bool:
        """Whether to show the text of a judgment: of what the id is about, not of everything around it."""
        identity = self.lineage.id
        match self.lineage.kind:
            case "pair":
                return kind_of_pair(identity) == "actor" or bool(response.selected)
            case "response":
                return response.id == identity
            case "judgment":
                return judgment.id == identity
            case "battle":
                return judgment.id in judgments_of(identity)
        return True

    def judgment(self, each: Judgment, round_: Round) -> Node:
        elo = round_.contest.elo.scores.get(each.id) if round_.contest and round_.contest.elo else None
        again = f", asked for again: {each.why_invalid}" if each.why_invalid else ""
        facts = [f"score {each.score:g}{again}" if each.score is not None else f"invalid: {each.why_invalid}"]
        facts += [said for said in (judgment_truth(each.off),) if said]
        facts += [f"Elo {_number(elo)}"] * (elo is not None) + ["cut off"] * (each.finish_reason == "length")
        return self.text(f"{short(each.id)}{self.focus(each.id)}: {', '.join(facts)}", each.text)

    # -------------------------------------------------------------------------------------------------- judge's side

    def contest(self, round_: Round, contest: Contest) -> Node:
        node = Node(f"judged: {contest.response_id}, variance {_number(contest.variance)}{self.by(contest.provenance)}")
        others = sorted(contest.variances.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{short(i)} {_number(v)}" for i, v in others)
        node.children.append(Node(f"variances: {listed}; the highest is selected"))
        node.children += [self.draw(draw) for draw in (contest.draw,) if draw]
        if contest.battles:
            node.children.append(self.battles(contest.battles))
        if matrix := contest.matrix:
            names = [short(i) for i in matrix.judgment_ids]
            width = max(map(len, names), default=0) + 1
            digits = 3 if len(names) < 10 else 2  # eleven judgments fit into eighty columns
            rows = [
                f"{name:>{width}} " + " ".join(f"{cell:{digits + 3}.{digits}f}" for cell in cells)
                for name, cells in zip(names, matrix.cells, strict=True)
            ]
            connected = "is" if matrix.strongly_connected else "is not"
            head = (
                f"matrix: omega 1 {_number(matrix.omega_1)}, omega 2 {_number(matrix.omega_2)} "
                f"from {matrix.win_first} wins in first and {matrix.win_second} in second position; "
                f"the win graph {connected} strongly connected{self.by(matrix.provenance)}"
            )
            title = " " * (width + 1) + " ".join(f"{name:>{digits + 3}}" for name in names)
            node.children.append(Node(head, [Node(title), *map(Node, rows)]))
        if elo := contest.elo:
            ranked = sorted(elo.scores.items(), key=lambda item: -item[1])
            listed = ", ".join(f"{short(i)} {_number(e)}" for i, e in ranked)
            limit = f", chosen with at most {elo.max_chosen_chars} characters" if elo.max_chosen_chars else ""
            draws = [self.draw(draw) for draw in elo.draws]
            node.children.append(Node(f"Elo (ridge {elo.ridge:g}{limit}): {listed}{self.by(elo.provenance)}", draws))
        return node

    def battles(self, battles: Sequence[Battle]) -> Node:
        node = Node(f"{len(battles)} battles, each pair in both orders{self.by(battles[0].provenance)}")
        about = self.lineage
        for each in sorted(battles, key=lambda each: (sorted(each.order), each.order)):
            if about.kind == "judgment" and about.id not in (each.first_id, each.second_id):
                continue
            if about.kind == "battle" and {each.first_id, each.second_id} != _sides(battles, about.id):
                continue
            won = f"{short(each.winner_id)} wins" if each.winner_id else f"nobody wins: {each.why_invalid}"
            copied = f", verdict of {short(each.copied_from)}" if each.copied_from else ""
            head = f"{short(each.first_id)} against {short(each.second_id)}{self.focus(each.id)}: {won}{copied}"
            node.children.append(Node(head) if each.text is None else self.text(head, each.text))
        return node

    # -------------------------------------------------------------------------------------------------------- forward

    def forward(self, round_: Round) -> Node:
        mine = [d for d in self.lineage.descent if iteration_of(d.pair_id) == round_.iteration]
        node = Node("came of it")
        node.children = [Node(f"{d.pair_id}: {d.role}") for d in mine] or [Node("no pair")]
        if self.lineage.models:
            named = ", ".join(f"{m.name} (Dagster run {m.provenance.dagster_run[:8]})" for m in self.lineage.models)
            node.children.append(Node(f"models trained on it, directly or through the one before: {named}"))
        return node

    def descent_of_model(self) -> Iterator[Node]:
        for role in ("trained on", "written by it"):
            mine = [d for d in self.lineage.descent if d.role == role]
            if mine:
                kinds = [f"{sum(d.kind == kind for d in mine)} {kind}" for kind in ("actor", "judge")]
                shown = [Node(d.pair_id) for d in (mine if self.full else mine[:3])]
                shown += [Node(f"and {len(mine) - 3} more: --full")] * (len(shown) < len(mine))
                yield Node(f"pairs {role}: {' and '.join(kinds)} pairs{self.by(mine[0].provenance)}", shown)
        if self.lineage.models:
            named = ", ".join(f"{m.name} (Dagster run {m.provenance.dagster_run[:8]})" for m in self.lineage.models)
            yield Node(f"models that come of it: {named}")

    def model(self, model: Model) -> Node:
        counts = ", ".join(f"{n} {what}" for what, n in model.pairs.items())
        pruned = f", pruned (its weights were removed on {model.pruned[:10]})" if model.pruned else ""
        said = f"{model.name} in {model.path}, fingerprint {model.fingerprint}{pruned}"
        node = Node(f"{said}{self.by(model.provenance)}")
        if model.trained_on:
            node.children.append(Node(f"trained on {counts}{self.by(model.trained_on)}"))
        if model.parent:
            node.children.append(Node("trained from", [self.model(model.parent)]))
        elif model.seed:
            node.children.append(Node(f"finetuned from the seed model {model.seed}"))
        else:
            node.children.append(Node("trained from a model that is not there any more, or was re-materialized since"))
        return node

    # ------------------------------------------------------------------------------------------- ranked replies

    def reply(self, reply: Reply) -> Iterator[Node]:
        """Where it comes from, the judgments of it, and the examples that were made of it."""
        yield Node(f"message {reply.message_id} of tree {reply.tree_id}{self.by(reply.provenance)}")
        side = "held out: nothing is trained on it" if reply.held_out else "to train on"
        yield Node(f"rank {reply.rank} by people, of {reply.replies} ranked replies to the prompt; {side}")
        yield self.text("prompt", reply.prompt)
        yield self.text(f"reply {reply.id}{self.focus(reply.id)}", reply.text)
        mine = self.lineage.kind == "reply"
        for judgment in (each for each in reply.judgments if mine or each.id == self.lineage.id):
            said = "no score" if judgment.score is None else f"score {judgment.score:g}"
            outcome = "an example" if judgment.kept else f"no example: {judgment.why or 'not made yet'}"
            head = f"judgment {short(judgment.id)}: {said}, {outcome}"
            yield self.text(head, judgment.text, judgment.provenance)
        of_rank = [each for each in reply.examples if each.judgment_id is None]
        for example in (each for each in of_rank if mine or each.id == self.lineage.id):
            yield self.text(f"{example.kind} {short(example.id)}, made of the rank", example.said, example.provenance)
        judged = {each.id for each in reply.judgments}
        for each in (x for x in reply.dropped if x.id not in judged and (mine or x.id == self.lineage.id)):
            yield self.dropped(f"{short(each.id)} is no example", each)
        if self.lineage.models:
            yield Node(f"models trained on it, directly or not: {', '.join(m.name for m in self.lineage.models)}")

    # ----------------------------------------------------------------------------------------------------------- parts

    def text(self, head: str, text: str, provenance: Provenance | None = None) -> Node:
        by = self.by(provenance) if provenance else ""
        if not self.full:
            return Node(f'{head} "{excerpt(text, EXCERPT)}"{by}')
        return Node(f"{head}{by}", [Node(f"| {line}") for line in text.split("\n")])

    def draw(self, draw: Draw) -> Node:
        numbers = ", ".join(f"{short(i)} {n}" for i, n in draw.among.items())
        return Node(f"tie for {draw.side}: drawn {numbers}; the lowest, {short(draw.winner)}, wins (seed {draw.seed})")

    def dropped(self, head: str, x: Dropped) -> Node:
        return Node(f"{head} ({x.reason}): {x.why}{self.by(x.provenance)}")

    def focus(self, identity: str) -> str:
        return " (this one)" if identity == self.lineage.id else ""

    def by(self, provenance: Provenance) -> str:
        """Who made a fact; the end of the tree has the whole ids of the Dagster runs."""
        self.runs.setdefault(provenance.dagster_run)
        return f"  [{titled(provenance.asset, provenance.partition)}, Dagster run {provenance.dagster_run[:8]}]"


class _Brief(_Tree):
    """The same without branches: each fact in a line of its own, and no Dagster runs."""

    def facts(self) -> Node:
        """What answers the question, in the order in which it is asked."""
        said = self.lineage
        root = Node(f"{said.kind} {said.id}, run {said.run}")
        stale = [*(broken.said for broken in said.broken), *self.stale]
        root.children += [Node(f"STALE: {why}") for why in stale[:2]]
        if len(stale) > 2:
            root.children.append(Node(f"STALE: and {len(stale) - 2} links more"))
        if said.model:
            root.children += self.about_model(said.model)
        if said.reply:
            root.children += (Node(node.text) for node in self.reply(said.reply))
        for round_ in said.rounds:
            several = [Node(f"iteration {round_.iteration}")] if len(said.rounds) > 1 else []
            root.children += [*several, *self.about(round_)]
        return root

    def about(self, round_: Round) -> Iterator[Node]:
        """Of a round: the prompt, what the id is, its pairs and their rules, the policy, what was trained on it."""
        if round_.prompt:
            yield self.text(f"prompt {round_.prompt.id}", round_.prompt.text)
        yield from self.itself(round_)
        if round_.policy:
            yield Node(f"written by {round_.policy.name} (fingerprint {round_.policy.fingerprint})")
        else:
            yield Node("written by a model that is not there any more, or was re-materialized since")
        yield from self.scored_by(round_)
        for kind in self.kinds():
            yield from self.result(round_, kind)
        if self.lineage.models:
            yield Node(f"models trained on it, directly or not: {', '.join(m.name for m in self.lineage.models)}")

    def itself(self, round_: Round) -> Iterator[Node]:
        """What a response, a judgment or a battle is, and why a response is in no pair."""
        identity, kind = self.lineage.id, self.lineage.kind
        if kind == "battle" and round_.contest:
            yield from self.battles(round_.contest.battles).children
        for each in round_.responses:
            if each.id == identity:
                node = self.response(each, round_)
                yield Node(node.text)
                yield from (child for child in node.children if not child.children and "judgments" not in child.text)
            for judgment in each.judgments:
                if judgment.id == identity:
                    yield self.judgment(judgment, round_)
                    yield Node(f"it judges {each.id}: mean score {_number(each.mean)}")

    def result(self, round_: Round, kind: PairKind) -> Iterator[Node]:
        """A pair, why it is one, and what was trained on it; or why there is none."""
        node, pair = self.outcome(round_, kind), round_.pair(kind)
        if pair is None or pair.id != self.lineage.id:
            yield Node(node.text)
        if pair is None:
            return
        for child in node.children:
            yield Node(child.text)
            yield from (Node(each.text) for each in child.children if each.text.startswith("reward margin"))
        if self.lineage.kind in ("pair", "prompt"):
            yield from self.why(round_, kind)

    def why(self, round_: Round, kind: PairKind) -> Iterator[Node]:
        if kind == "actor":
            for rule in self.rule(round_):
                yield Node(rule.text)
                yield from (Node(each.text) for each in rule.children[:2])
        elif round_.contest and round_.contest.elo:
            elo = round_.contest.elo.scores.values()
            yield Node(
                f"rule: of {round_.contest.response_id}, whose scores vary most ({_number(round_.contest.variance)}), "
                f"the highest Elo ({_number(max(elo))}) is chosen, the lowest ({_number(min(elo))}) is rejected"
            )

    def about_model(self, model: Model) -> Iterator[Node]:
        """A model, what it was trained on and from, and what came of it."""
        node = self.model(model)
        yield Node(node.text)
        yield from (
            Node(f"{child.text} {child.children[0].text}" if child.children else child.text) for child in node.children
        )
        yield from (Node(child.text) for child in self.descent_of_model())

    def margin(self, margin: RewardMargin) -> Node:
        """In short."""
        return Node(f"reward margin: {_number(margin.before)} before, {_number(margin.after)} after")

    def text(self, head: str, text: str, provenance: Provenance | None = None) -> Node:
        """The beginning of it."""
        return Node(f'{head} "{excerpt(text, BRIEF_EXCERPT)}"')

    def by(self, provenance: Provenance) -> str:
        """The whole tree says it."""
        return ""


def _sides(battles: Sequence[Battle], identity: str) -> set[str]:
    return {i for each in battles if each.id == identity for i in (each.first_id, each.second_id)}


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
