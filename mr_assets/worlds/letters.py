"""The small verifiable world: letter tasks whose truth can be computed.

A prompt asks for one of five operations on three or four consonants:

    Reverse the letters f w r b.

A response is worth 0 to 5 by the rubric of the paper's judge prompt (section A.1), and `true_score` computes it:

    5  It is b r w f.                                  right, one concise sentence
    4  It is b r w f. I hope that this helps you.      right, with padding
    3  > b r w f                                       right, but bare
    2  It is b r w k.                                  one letter wrong or missing
    1  It has some letters in it.                      wrong or vague
    0  The weather is fine today.                      off topic

A judgment in this world first works out the answer, compares letter by letter, says why, and ends in the score; a
meta-judgment states the fair score, how far each judgment is from it, and the winner:

    Expected b r w f, check b b, r r, w w, f f. All letters are right in a concise sentence. Score: 5
    Expected b r w f, check b b, r r, w k no, f f. The fair score is 2. A says 3, off by 1. B says 2, off by 0.
    Winner: Judgement B

What is built in by construction: `Imperfection` makes the seed model err on purpose, the actor more on some operations
and letters than on others, the judge by a verbosity bias that averaging over judgments cannot remove and that the
meta-judge does not share. A loop that trains its judge can therefore win here. That tests the mechanism; it is no
evidence for the paper.

One prompt in fifty is held out, by its own hash (`is_held_out`): the evaluation asks no others, and neither seed
prompts nor EFT data has one of them, whatever the seed and however many there are.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

CONSONANTS = "bcdfghjklmnpqrstvwxz"

OPERATIONS: dict[str, Callable[[list[str]], list[str]]] = {
    "copy": lambda x: list(x),
    "upper": lambda x: [c.upper() for c in x],
    "reverse": lambda x: x[::-1],
    "rotate": lambda x: x[1:] + x[:1],
    "swap": lambda x: [x[-1], *x[1:-1], x[0]],
}
PHRASINGS = {
    "copy": ("Copy the letters {}.", "Write {} again."),
    "upper": ("Put the letters {} in capitals.", "Write {} in upper case."),
    "reverse": ("Reverse the letters {}.", "Write {} backwards."),
    "rotate": ("Rotate the letters {} to the left.", "Move the first letter of {} to the end."),
    "swap": ("Swap the ends of the letters {}.", "Write {} with the first and last letter exchanged."),
}
CONCISE = (
    "The answer is {}.", "It is {}.", "Here it is: {}.", "That gives {}.", "You get {}.", "This makes {}.",
    "The result is {}.", "Now it reads {}.", "We obtain {}.", "Done: {}.",
)  # fmt: skip
PADDING = (
    " I hope that this helps you.", " Let me know if you want more.", " I looked at each letter with care.",
    " Letters are fun to work with.", " Thank you for asking me.", " Feel free to ask again.",
    " It was a pleasure to do this.", " Please tell me what you think.",
)  # fmt: skip
BARE = ("> {}", "{}", "= {}", "- {}")
VAGUE = (
    "It has some letters in it.", "The letters can be written in many ways.", "I would look at the letters first.",
    "You can do that with the letters.", "The letters are somewhere in the question.",
)  # fmt: skip
OFF_TOPIC = (
    "The weather is fine today.", "I like to eat bread.", "Cats sleep a lot.", "The train was late.", "Music is nice.",
)  # fmt: skip
REASONS = {
    5: ("All letters are right in a concise sentence.", "Right, and nothing is too much.", "Correct and to the point."),
    4: ("All letters are right but there is padding.", "Right, with more words than it needs.", "Correct yet wordy."),
    3: ("All letters are right but bare.", "Right, without a sentence.", "Correct but terse."),
    2: ("One letter is off.", "Close, with one slip.", "A single letter is not right."),
    1: ("It does not give the answer.", "Wrong or vague.", "The answer is not there."),
    0: ("It has nothing to do with the question.", "Off topic.", "It ignores the question."),
}  # fmt: skip

_RUN = re.compile(
    rf"(?<![A-Za-z])[{CONSONANTS}{CONSONANTS.upper()}](?: [{CONSONANTS}{CONSONANTS.upper()}])+(?![A-Za-z])"
)
_TASKS = [
    (operation, re.compile(re.escape(phrase).replace(r"\{\}", rf"((?:[{CONSONANTS}] )+[{CONSONANTS}])")))
    for operation, phrases in PHRASINGS.items()
    for phrase in phrases
]


HELD_OUT = 50
"""One prompt in so many is held out."""
MOST_PROMPTS, MOST_HELD_OUT = 1_000_000, 10_000
"""How many different ones may be asked for: drawing the last of some 1.2 million, or of 24,000, would take for ever."""


def make_prompt(rng: random.Random) -> str:
    """A prompt of the world, one of more than a million, held out or not."""
    operation = rng.choice(list(OPERATIONS))
    letters = rng.sample(CONSONANTS, rng.choice((3, 4)))
    return rng.choice(PHRASINGS[operation]).format(" ".join(letters))


def is_held_out(prompt: str) -> bool:
    """Whether a prompt is kept for evaluation. Its own hash decides, so that no draw has to know of another."""
    return int.from_bytes(blake2b(prompt.encode(), digest_size=8).digest(), "big") % HELD_OUT == 0


def has_held_out(text: str) -> bool:
    """Whether a text, like a judge's prompt, has a held-out prompt somewhere in it."""
    return any(is_held_out(match[0]) for _, pattern in _TASKS for match in pattern.finditer(text))


def held_out_prompt(rng: random.Random) -> str:
    """A prompt that nothing is trained on."""
    while not is_held_out(prompt := make_prompt(rng)):
        pass
    return prompt


def make_prompts(count: int, seed: str, *, held_out: bool = False) -> list[str]:
    """`count` different prompts to train on, or held-out ones; the same for the same `seed`."""
    rng = random.Random(f"prompts {seed}")
    prompts: dict[str, None] = {}
    while len(prompts) < count:
        if is_held_out(prompt := make_prompt(rng)) == held_out:
            prompts[prompt] = None
    return list(prompts)


def parse_prompt(prompt: str) -> tuple[str, list[str]] | None:
    """The operation and the letters of a prompt; None if it is not of this world."""
    for operation, pattern in _TASKS:
        if match := pattern.fullmatch(prompt):
            return operation, match[1].split()
    return None


def answer(prompt: str) -> list[str]:
    """The letters that a prompt asks for. Raises `ValueError` for a prompt of another world."""
    task = parse_prompt(prompt)
    if task is None:
        raise ValueError(f"not a letter task: {prompt!r}")
    return OPERATIONS[task[0]](task[1])


def given_letters(response: str) -> list[str]:
    """The first run of letters that a response gives, empty if it gives none."""
    match = _RUN.search(response)
    return match[0].split() if match else []


def align(expected: list[str], given: list[str]) -> list[tuple[str, str]]:
    """Expected and given letters side by side; "-" where one is missing, which is looked for only in an answer that is
    one letter short."""
    if len(given) == len(expected) - 1:
        gap = next((i for i, g in enumerate(given) if g != expected[i]), len(given))
        given = [*given[:gap], "-", *given[gap:]]
    given = given[: len(expected)] + ["-"] * (len(expected) - len(given))
    return list(zip(expected, given, strict=True))


def true_score(prompt: str, response: str) -> int:
    """The exact checker: what a response is worth, 0 to 5 (see the module's text for the scale)."""
    expected, given = answer(prompt), given_letters(response)
    if not given:
        return 1 if "letter" in response or "question" in response else 0
    slips = sum(e != g for e, g in align(expected, given)) + max(0, len(given) - len(expected))
    if slips:
        return 2 if slips == 1 else 1
    return {"concise": 5, "padded": 4, "bare": 3}[form_of(response) or "bare"]


def form_of(response: str) -> str | None:
    """How a response puts its letters: "concise", "padded" or "bare"; None if it gives no letters."""
    given = given_letters(response)
    if not given:
        return None
    before, _, after = response.strip().partition(" ".join(given))
    words = re.findall(r"[A-Za-z]+", before)
    if not words and not re.search(r"[A-Za-z]", after):
        return "bare"
    return "concise" if 1 <= len(words) <= 4 and after == "." and not re.search(r"[.!?]", before) else "padded"


def correct(prompt: str, response: str) -> bool:
    """Whether the letters are exactly right, whatever the form."""
    return true_score(prompt, response) >= 3


def checked(prompt: str, response: str) -> str:
    """The letters expected, and each beside the one that the response gives; a difference is said aloud."""
    expected = answer(prompt)
    pairs = (f"{e} {g}" if e == g else f"{e} {g} no" for e, g in align(expected, given_letters(response)))
    return f"Expected {' '.join(expected)}, check {', '.join(pairs)}."


def judgment_text(prompt: str, response: str, score: int, rng: random.Random) -> str:
    """A judgment that checks letter by letter and then gives `score`, which need not be the true one."""
    return f"{checked(prompt, response)} {rng.choice(REASONS[score])} Score: {score}"


def meta_judgment_text(prompt: str, response: str, score_a: int, score_b: int, fair: int, winner: str) -> str:
    """A meta-judgment that names `winner` ("A" or "B") after measuring both scores against `fair`."""
    return (
        f"{checked(prompt, response)} The fair score is {fair}. "
        f"A says {score_a}, off by {abs(score_a - fair)}. B says {score_b}, off by {abs(score_b - fair)}. "
        f"Winner: Judgement {winner}"
    )


def better_judgment(true: int, score_a: int, score_b: int) -> str | None:
    """ "A" or "B", whichever score is nearer to the true one; None for a tie."""
    a, b = abs(score_a - true), abs(score_b - true)
    return None if a == b else ("A" if a < b else "B")


def swayed_score(true: int, form: str | None) -> int:
    """What a judge that goes by length makes of a response worth `true`.

    Its errors point both ways, so that correcting them teaches no score to be always the better one.
    """
    if form == "padded":
        return 5 if true == 4 else 4
    return {"concise": {5: 3}, "bare": {3: 1}}.get(form or "", {}).get(true, true)


@dataclass(frozen=True)
class Imperfection:
    """How the seed model, or the evaluation data, errs on purpose. Shares are probabilities in [0, 1].

    actor_error: multiplies the actor's heterogeneous error rates; 0 is a perfect actor.
    judge_noise: share of judgments with a score drawn at random.
    verbosity_bias: share of the other judgments that go by length: padding lifts a right answer from 4 to 5 and a wrong
        one to 4, concision costs a right answer two points (5 to 3), bareness too (3 to 1).
    meta_noise: share of meta-judgments with a wrong fair score.
    meta_flips: share of meta-judgments whose verdict is turned over.
    first_bias: share of ties and flips that go to the judgment shown first; 0.5 is none.
    """

    actor_error: float = 0.0
    judge_noise: float = 0.0
    verbosity_bias: float = 0.0
    meta_noise: float = 0.0
    meta_flips: float = 0.0
    first_bias: float = 0.5

    def score(self, prompt: str, response: str, rng: random.Random) -> int:
        """The score that an imperfect judge gives to a response."""
        true = true_score(prompt, response)
        if rng.random() < self.judge_noise:
            return rng.randint(0, 5)
        return swayed_score(true, form_of(response)) if rng.random() < self.verbosity_bias else true

    def meta(self, true: int, score_a: int, score_b: int, rng: random.Random) -> tuple[int, str]:
        """The fair score that an imperfect meta-judge states, and its winner."""
        fair = rng.choice([s for s in range(6) if s != true]) if rng.random() < self.meta_noise else true
        winner = better_judgment(fair, score_a, score_b)
        if winner is None or rng.random() < self.meta_flips:
            winner = "A" if rng.random() < self.first_bias else "B"
        return fair, winner

    def response(self, prompt: str, rng: random.Random) -> str:
        """What an imperfect actor answers: forms vary, and errors differ by operation, length and letter."""
        task = parse_prompt(prompt)
        assert task is not None, prompt
        operation, letters = task
        given = OPERATIONS[operation](letters)
        form = rng.random()
        if form < 0.04 * self.actor_error:
            return rng.choice(OFF_TOPIC)
        if form < 0.10 * self.actor_error:
            return rng.choice(VAGUE)
        rate = _ERROR_BY_OPERATION[operation] + (0.12 if len(letters) == 4 else 0.0)
        if rng.random() < rate * self.actor_error:
            given = slip(operation, letters, rng)
        for i, letter in enumerate(given):
            confused = _CONFUSED.get(letter.lower())
            if confused and rng.random() < 0.40 * self.actor_error:
                given[i] = confused.upper() if letter.isupper() else confused
        text, form = " ".join(given), rng.random()
        if form < 0.20:
            return rng.choice(BARE).format(text)
        if form < 0.60:
            return rng.choice(CONCISE).format(text) + "".join(rng.sample(PADDING, rng.choice((1, 2, 3))))
        return rng.choice(CONCISE).format(text)


_ERROR_BY_OPERATION = {"copy": 0.10, "upper": 0.30, "reverse": 0.50, "rotate": 0.62, "swap": 0.74}
_MISTAKEN_FOR = {"copy": "reverse", "upper": "copy", "reverse": "copy", "rotate": "swap", "swap": "reverse"}
_CONFUSED = {"q": "p", "x": "k", "z": "s", "j": "g", "v": "w"}


def slip(operation: str, letters: list[str], rng: random.Random) -> list[str]:
    """A wrong answer: mostly the operation that this one is mistaken for, else a slip of one letter or two."""
    given, kind = OPERATIONS[operation](letters), rng.random()
    i = rng.randrange(len(given))
    if kind < 0.5:
        mistaken = OPERATIONS[_MISTAKEN_FOR[operation]](letters)
        given = mistaken if mistaken != given else OPERATIONS["rotate"](letters)  # three letters: a swap is a reversal
    elif kind < 0.75:
        new = rng.choice([c for c in CONSONANTS if c not in letters])
        given[i] = new.upper() if given[i].isupper() else new
    elif kind < 0.9:
        del given[i]
    else:
        j = (i + 1) % len(given)
        given[i], given[j] = given[j], given[i]
    return given


def graded_response(prompt: str, true: int, rng: random.Random) -> str:
    """A response that is worth exactly `true`."""
    task = parse_prompt(prompt)
    assert task is not None, prompt
    operation, letters = task
    right = OPERATIONS[operation](letters)
    while True:
        if true >= 3:
            text = " ".join(right)
            response = rng.choice(BARE if true == 3 else CONCISE).format(text)
            if true == 4:
                response += "".join(rng.sample(PADDING, rng.choice((1, 2, 3))))
        elif true == 0:
            response = rng.choice(OFF_TOPIC)
        elif true == 1 and rng.random() < 0.4:
            response = rng.choice(VAGUE)
        else:
            form = rng.choice((BARE, CONCISE, CONCISE))
            response = rng.choice(form).format(" ".join(slip(operation, letters, rng)))
            if form is CONCISE and rng.random() < 0.4:
                response += "".join(rng.sample(PADDING, rng.choice((1, 2))))
        if true_score(prompt, response) == true:
            return response


def judged_examples(seed: str, imperfection: Imperfection) -> Iterator[tuple[str, str, str, int]]:
    """An endless stream of (prompt, response, judgment, its score), scores of the responses evenly spread.

    No prompt is held out.
    """
    rng = random.Random(f"judged {seed}")
    while True:
        prompt = make_prompt(rng)
        response = graded_response(prompt, rng.randint(0, 5), rng)
        score = imperfection.score(prompt, response, rng)
        judgment = judgment_text(prompt, response, score, rng)
        if not is_held_out(prompt):  # only now: leaving one out changes no other example
            yield prompt, response, judgment, score
