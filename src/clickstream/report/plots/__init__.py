"""The plots of the report. Each is a function of an Evaluation and says in its title what it found.

A title is made from the numbers, so it is true of any training. None is returned where there is nothing to
show. Conversion and revenue are a proxy throughout. Importing this package imports matplotlib.
"""

from clickstream.report.plots.canvas import Plot
from clickstream.report.plots.curves import reliability, roc
from clickstream.report.plots.groups import choice_of_k, clusters
from clickstream.report.plots.inputs import importance
from clickstream.report.plots.quality import by_seen, revenue, scorers

__all__ = [
    "Plot",
    "by_seen",
    "choice_of_k",
    "clusters",
    "importance",
    "reliability",
    "revenue",
    "roc",
    "scorers",
]
