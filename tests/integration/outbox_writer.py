"""A process that appends, accepts and refuses as fast as it can and says what was committed, until it is killed.

Lines: `+ID` an append returned, `?ID` a verdict was given (it may or may not survive).
"""

import random
import sys
import time
from pathlib import Path

from agent.outbox import NewRow, Outbox


def main() -> None:
    path, seed, max_mb = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    chance = random.Random(seed)
    outbox = Outbox.open(path, wall_s=lambda: 1_700_000_000, kernel_boot="boot-a", max_mb=max_mb)
    newest = max((row.id for row in outbox.batch(1_000_000)), default=0)
    second = 1_700_000_000 + 100 * newest + 100_000 * seed
    print("started", flush=True)
    while True:
        gap = chance.randint(1, 10)
        second += gap
        parts = chance.choice((1, 1, 1, 2))
        bodies = chance.randbytes(chance.randint(1, 3000))
        rows = [NewRow(0, second, "2016", "LGBTEST0000000017", part, bodies) for part in range(1, parts + 1)]
        ids = outbox.append(rows, gap, gap - 1)
        sys.stdout.write("".join(f"+{row_id}\n" for row_id in ids))
        sys.stdout.flush()
        pending = [row.id for row in outbox.batch(chance.randint(0, 30))]
        verdicts = chance.sample(pending, len(pending) // 3)
        sys.stdout.write("".join(f"?{row_id}\n" for row_id in verdicts))
        sys.stdout.flush()
        if chance.random() < 0.1:
            outbox.refuse(verdicts, flag=2)
        else:
            outbox.accept(verdicts, chance.choice(("live", "reissued")))
        outbox.tick(time.monotonic_ns() // 1_000_000)
        outbox.maintain()
        if chance.random() < 0.02:
            outbox.retry_refused()


if __name__ == "__main__":
    main()
