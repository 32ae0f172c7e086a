"""The compiler behind `agent/signalmap.py`: a mapping file and its DBC files to the plan that the core runs.

::

    plan  units  <-  dbcfile  expression  <-  frame  <-  sources  <-  values  <-  bodies  <-  rules  <-  document

Imported only when the cache is cold, but for `plan`. Everything it is given is checked here; the core trusts a plan.
"""
