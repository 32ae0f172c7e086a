"""Everything between the outbox and the platforms, joined in `side`.

`uplink` minds the link and the waiting, `sending` which row is next, `answering` the conversation about commands. What a
command does: `commanded`, with `parameters`, `programs` and `upgrade`; `effects` is where it takes effect. `monitoring` is the
second link.
"""
