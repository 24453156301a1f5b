"""In which order an optimizer step's rows are passed.

list(longest_first([2, 0, 1, 3], lengths=[5, 9, 7, 8], rows=2))     [2, 0, 1, 3]: 7 and 5 tokens, then 9 and 8
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice


def longest_first(order: Iterable[int], lengths: Sequence[int], rows: int) -> Iterator[int]:
    """The rows in `order`, but those of each optimizer step from the longest to the shortest.

    A micro-batch is padded to its longest row. So a step has the same rows, and the same gradient up to rounding, with
    less padding; what takes the most memory comes first; and processes, which are dealt micro-batches in turn, wait
    less for one another.
    lengths: tokens of each row of the dataset; rows: of an optimizer step, the last one may have fewer.
    """
    rest = iter(order)
    while step := list(islice(rest, rows)):
        yield from sorted(step, key=lengths.__getitem__, reverse=True)
