"""Which samples there are, for one task each: what a project of the public archives holds, or a folder of files.

    from scitq.bio.genetics import filter_by_layout, find_library_layout, sra_get_samples

    samples = sra_get_samples("PRJEB37101", library_strategy="WGS")
    samples = filter_by_layout(samples, paired=find_library_layout(samples) == "PAIRED")
    for sample, runs in samples.items():
        server.task_create("…", input=[run.uri for run in runs])

Names and arguments are those of scitq 1.3. No server is needed, and nothing of one is imported.
"""

from scitq.bio.depth import Depth, user_friendly_depth
from scitq.bio.filters import filter_by, filter_by_layout, find_library_layout
from scitq.bio.folders import count, uri_get_samples
from scitq.bio.projects import ena_get_samples, sra_get_samples
from scitq.bio.samples import BioException, Run, Samples

__all__ = [
    "BioException",
    "Depth",
    "Run",
    "Samples",
    "count",
    "ena_get_samples",
    "filter_by",
    "filter_by_layout",
    "find_library_layout",
    "sra_get_samples",
    "uri_get_samples",
    "user_friendly_depth",
]
