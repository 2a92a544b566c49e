"""The headline's searches and trainings as pieces that are independent of each other, several of them side by side.

A piece leaves everything that it found in the contest's folder: whoever asks for it afterwards reads it there.
"""

from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from pocketnas.children import end_with_parent
from pocketnas.console import say
from pocketnas.run_directory import RunDirectory
from pocketnas.searches.contest import Contest
from pocketnas.searches.family import family_of
from pocketnas.searches.names import SearchMethod
from pocketnas.searches.standing import Spent
from pocketnas.stages.context import RunContext
from search.architecture import assemble
from search.strategies.train_each import TrainEach

Piece = SearchMethod | Literal["family"]

PIECES: tuple[Piece, ...] = ("train-each", "family", "evolution", "random", "proxyless")
"""Of every seed, one seed after the other: a benchmark stopped early has whole seeds. The longest first, so that the
last ones to end are short."""


def run_pieces(folder: Path, seeds: range, jobs: int) -> None:
    """Run every piece of every seed, `jobs` at once, each in a process of its own. The family's latencies must have
    been measured before: nothing else may run then."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        begun = {pool.submit(run_piece, folder, seed, piece): (seed, piece) for seed in seeds for piece in PIECES}
        for done in as_completed(begun):
            done.result()
            seed, piece = begun[done]
            say(f"{piece}, seed {seed}: done")


def run_piece(folder: Path, seed: int, piece: Piece) -> None:
    """One search with the training of what it found, or the training of the family."""
    contest = Contest(RunContext(RunDirectory.open(folder)))
    contest.context.limit_threads()
    if piece == "family":
        for net in family_of(contest.context, contest.table, contest.folder).members:
            contest.train(net, seed)
        return
    list(contest.entries((piece,), (seed,)))
    if piece == "train-each":
        spent_by_train_each(contest, seed)


def spent_by_train_each(contest: Contest, seed: int) -> list[Spent]:
    """Each of train-each's winners on its way, trained to the end; last what the search spent in all."""
    job, found = contest.search("train-each", seed)
    assert isinstance(job, TrainEach)
    steps = job.settings.recipe.steps
    seconds = {int(point["step"] + 1) // steps: point["seconds"] for point in found.curve}
    each = job.settings.recipe.batch_size * steps
    spent = []
    for candidates, choices in job.incumbents():
        net = assemble(contest.context.space, choices, f"train-each-{seed}-after-{candidates}")
        spent.append(Spent(seconds[candidates], each * candidates, candidates, contest.train(net, seed)))
    last = assemble(contest.context.space, found.choices, f"train-each-{seed}")
    ledger = found.ledger
    in_all = Spent(ledger.seconds, ledger.images_trained, ledger.candidates_trained, contest.train(last, seed))
    return [*spent, in_all]
