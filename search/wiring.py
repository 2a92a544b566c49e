"""Running operators that take the outputs of operators before them."""

from collections.abc import Callable, Sequence

from torch import Tensor

from search.layout import Inputs


def walk(x: Tensor, connections: Sequence[Inputs], run: Callable[..., Tensor]) -> Tensor:
    """The last operator's output. x: value 0. connections: the values that each operator takes. run(n, *values): what
    the operator with index n makes of them.

    A value is let go once nothing takes it any more.
    """
    last_use = {value: number for number, taken in enumerate(connections) for value in taken}
    kept = {0: x}
    for number, taken in enumerate(connections):
        x = run(number, *[kept[value] for value in taken])
        for value in set(taken):
            if last_use[value] == number:
                del kept[value]
        kept[number + 1] = x
    return x
