"""Commands of `tbox-bench`, one module each."""
