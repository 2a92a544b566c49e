"""The searches by name, each built from a run's configuration for one seed."""

from dataclasses import replace
from typing import TYPE_CHECKING

from pocketnas.config import RunConfig
from pocketnas.searches.names import SearchMethod
from pocketnas.stages.search import proxyless_search
from pocketnas.stages.training import training_settings

if TYPE_CHECKING:
    from search.strategies.evolution import EvolutionSettings
    from search.strategies.one_shot import OneShotSettings
    from search.strategies.problem import Problem
    from search.strategies.strategy import Strategy
    from search.strategies.train_each import TrainEachSettings

CANDIDATE_SHARE = 10
"""train-each trains a candidate for a tenth of the final training: short enough to try many, long enough to rank."""


def build_strategy(method: SearchMethod, config: RunConfig, problem: "Problem", *, on_ray: bool = False) -> "Strategy":
    """A strategy on this problem with the budget that the configuration gives it. on_ray: train-each's candidates are
    trained by the Ray cluster that this process is connected to. Raises InputError."""
    from search.strategies.evolution import Evolution
    from search.strategies.random_choice import RandomChoice
    from search.strategies.spread_train_each import SpreadTrainEach
    from search.strategies.train_each import TrainEach

    match method:
        case "proxyless":
            return _proxyless(config, problem)
        case "evolution":
            return Evolution(problem, one_shot_settings(config), evolution_settings(config))
        case "random":
            return RandomChoice(problem, one_shot_settings(config), config.compare.evaluations)
        case "train-each":
            settings = train_each_settings(config, problem.seed)
            if not on_ray:
                return TrainEach(problem, settings)
            from pocketnas.ray_crew import RayCrew

            return SpreadTrainEach(problem, settings, RayCrew(problem, settings, config.host_threads))


def _proxyless(config: RunConfig, problem: "Problem") -> "Strategy":
    """The run's own search, but derived at the target and never above it, as every rival is."""
    from search.derive import check_target, derive_at
    from search.strategies.proxyless import Proxyless

    costs, target_ms = problem.costs, problem.target_ms
    check_target(costs, target_ms, target_ms)
    search = proxyless_search(config, problem.space, costs, problem.data, target_ms, problem.seed)
    return Proxyless(problem, search, lambda job: derive_at(job.probabilities(), costs, target_ms, target_ms))


def one_shot_settings(config: RunConfig) -> "OneShotSettings":
    """A supernet trained for as many weight steps as the search's own, or as [compare] says, by the same recipe."""
    from search.strategies.one_shot import OneShotSettings

    search, compare = config.search, config.compare
    return OneShotSettings(
        steps=compare.supernet_steps or search.warmup_steps + search.steps,
        learning_rate=search.warmup_learning_rate,
        label_smoothing=search.label_smoothing,
        clip_norm=search.clip_norm,
        mixed_precision=search.mixed_precision,
        recalibration_images=compare.recalibration_images,
        scoring_images=compare.scoring_images,
    )


def evolution_settings(config: RunConfig) -> "EvolutionSettings":
    """How many networks are scored, and how many of them are drawn at random first."""
    from search.strategies.evolution import EvolutionSettings

    return EvolutionSettings(evaluations=config.compare.evaluations, population=config.compare.population)


def train_each_settings(config: RunConfig, seed: int) -> "TrainEachSettings":
    """Candidates by the final recipe but its teacher, for a short while."""
    from search.strategies.train_each import TrainEachSettings

    recipe = training_settings(config.train, seed)
    steps = config.compare.candidate_steps or max(1, recipe.steps // CANDIDATE_SHARE)
    warmup_steps = recipe.warmup_steps * steps // recipe.steps
    return TrainEachSettings(
        candidates=config.compare.candidates,
        recipe=replace(recipe, steps=steps, warmup_steps=warmup_steps),
        augmentation=config.train.augmentation.augmentation,
        per_update=config.compare.per_update,
        controller_learning_rate=config.compare.controller_learning_rate,
    )
