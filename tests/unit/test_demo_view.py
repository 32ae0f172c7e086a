"""What the demo's live picture takes from a report."""

from bench.view import cell_extremes


def test_extremes_are_told_from_the_cells_that_are_known() -> None:
    packs = [{"number": 1, "cells": [3.9, None, 4.1]}, {"number": 2, "cells": [3.8, {"raw": 65534}]}, {"number": 3}]
    assert cell_extremes(packs) == {"max_cell_voltage": 4.1, "min_cell_voltage": 3.8}
    assert cell_extremes([]) == cell_extremes([{"cells": [None]}]) == {}
