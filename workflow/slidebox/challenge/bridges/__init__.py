"""The same challenge for other hosts: a CodaBench bundle, a grand-challenge evaluation folder.

Both run this release's own scorer on a copy of the release without images, beside the truth of one
split, so that a prediction has the same scores there as by `slidebox score`. What is written holds
hidden truth: it belongs on the host's side, never under public/.

`programs/` are the files that run there; they are copied as they are.
"""

from .bundle import codabench
from .container import grand_challenge

__all__ = ["codabench", "grand_challenge"]
