# What every job asks for: threads, mem_mb, runtime (minutes), disk_mb and gpu, see
# isoenergy.resources. More memory after a failure is for profiles: a rule that asks for it is
# tried again inside the same allocation.

from isoenergy.resources import requests_of

REQUESTS = requests_of(RUN)


def threads_of(rule):
    """The threads of a rule's jobs, by wildcards."""
    return lambda wildcards: REQUESTS(rule, **dict(wildcards.items())).threads


def resources_of(rule):
    """The resources of a rule's jobs, each by wildcards."""

    def asked(name):
        return lambda wildcards: getattr(REQUESTS(rule, **dict(wildcards.items())), name)

    return {name: asked(name) for name in ("mem_mb", "runtime", "disk_mb", "gpu")}
