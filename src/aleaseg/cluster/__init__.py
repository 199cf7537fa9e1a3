"""Work on other machines: the workers of a Dask cluster, in place of this machine's processes.

    from aleaseg.cluster import connected

    with connected("tcp://head:8786", reads=["Dataset004_Hippocampus"], writes="run"):
        aleaseg.audit("Dataset004_Hippocampus", "run")

Verbs know nothing of it: `aleaseg.work.map_cases` has its work done wherever `aleaseg.work.using` says.
"""

from aleaseg.cluster.opening import connected as connected
from aleaseg.cluster.workers import Cluster as Cluster
