"""A table seen from a search space: what each of its candidates costs."""

from latency.predict import CostModel, cost_model
from latency.table import LatencyTable
from search.layout import Space


def costs_of(table: LatencyTable, space: Space) -> CostModel:
    """What each candidate of the space costs by the table. Raises InputError when a row is missing."""
    fixed = (*space.before, *space.after)
    edges, before = [edge.candidates for edge in space.edges], len(space.before)
    return cost_model(table, fixed, edges, space=space.name, before=before)
