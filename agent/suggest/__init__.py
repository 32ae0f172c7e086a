"""A mapping proposed for a car that nobody has mapped: from its DBC files, and from a recording where there is one.

::

    names   items        what words mean; what the items of the standard look like
        \\   /
    candidates -> score   every signal against every item, with reasons
         |         |
      behaviour  sign     what a recording adds: seen, constant, plausible; which way the current counts
            \\    |
             proposals -> write      lines of a mapping, sure ones live and unsure ones commented out

Imported only by `tbox suggest`; `rapidfuzz` (extra suggest) when the first name is read.
"""
