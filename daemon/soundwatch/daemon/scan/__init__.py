"""Archives: folders of recordings of any length to the events that `replay` would tell of them.

    find.py        which recordings there are
    split.py       a recording as pieces that can be heard apart and joined to the bit
    hear.py        a piece to the scores of its windows: what a worker does
    scores.py      all scores so far, on disk: what makes a scan resumable
    local.py       workers that are processes of this machine
    on_ray.py      workers of a Ray cluster
    archive.py     the round of the work: find, split, hand out, keep, join
    judge.py       scores to lines, in the order of the recordings: one place decides
    progress.py    how far it is
    program.py     puts all that together

Conventions: a piece is a range of a recording's windows; workers send scores, never sound. What is printed is a
function of the scores alone, so that it does not matter who computed them, how often they died, or when.
Does not: know output formats (`tables.py`).
"""
