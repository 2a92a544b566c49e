"""The updates by their names in a configuration."""

from functools import partial

from pocketnas_base.errors import InputError
from search.choices import UpdateMode
from search.rewards import absolute_reward, mnas_reward
from search.updates.all_paths import AllPaths
from search.updates.one_path import OnePath
from search.updates.reinforce import Reinforce
from search.updates.two_path import TwoPath
from search.updates.update import SearchParts, Update


def make_update(
    mode: UpdateMode,
    parts: SearchParts,
    *,
    samples: int,
    baseline_decay: float,
    reward_exponent: float,
    reward_beta: float,
) -> Update:
    """The update of this name. The keywords are of the modes with a reward; see SearchSettings.

    Raises InputError for a name that is none, and where a reward cannot be formed from the costs.
    """
    target_ms = parts.loss.target_ms
    match mode:
        case "two-path":
            return TwoPath(parts)
        case "one-path":
            return OnePath(parts)
        case "all-paths":
            return AllPaths(parts)
        case "reinforce":
            _check_latencies(parts)
            reward = partial(mnas_reward, target_ms=target_ms, exponent=reward_exponent)
        case "tunas":
            reward = partial(absolute_reward, target_ms=target_ms, beta=reward_beta)
        case _:
            raise InputError(f"unknown search mode {mode!r}; known: two-path, one-path, all-paths, reinforce, tunas")
    return Reinforce(parts, reward, samples=samples, baseline_decay=baseline_decay)


def _check_latencies(parts: SearchParts) -> None:
    costs = parts.costs
    cheapest_ms = costs.fixed_ms + sum(min(row) for row in costs.candidate_ms)
    if cheapest_ms <= 0:
        raise InputError(
            f"search: mode reinforce divides by latency, and a network of this space is predicted to take "
            f"{cheapest_ms:.4f} ms; use mode tunas"
        )
