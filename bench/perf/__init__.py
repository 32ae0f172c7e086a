"""Figures: each module measures one row of `tbox-bench perf` beside its peer, in one run."""
