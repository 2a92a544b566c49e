"""A space of four positions, and what its candidates cost: enough for a search within a test."""

from latency.predict import CostModel
from search.space import SearchSpace

SPACE = SearchSpace.from_dict(
    {
        "name": "tiny",
        "resolution": 28,
        "image_channels": 1,
        "classes": 10,
        "kernels": [3, 5],
        "expansions": [2],
        "zero": True,
        "stem": {"width": 8, "kernel": 3, "stride": 2},
        "first": {"width": 8, "kernel": 3, "expansion": 1},
        "stages": [{"width": 8, "cells": 2, "stride": 1}, {"width": 8, "cells": 2, "stride": 2}],
        "head": {"width": 16},
    },
    source="tiny",
)
COSTS = CostModel(0.5, tuple((0.3, 0.6, 0.0)[: len(edge.candidates)] for edge in SPACE.edges))
