# What every job asks for: threads, mem_mb, runtime (minutes), disk_mb and gpu, see
# isoenergy.resources. How often a job is tried again is for profiles: a rule that asks for it is
# tried again inside the same allocation. Every attempt asks for more memory and time.

from isoenergy.resources import requests_of

GROWS = ("mem_mb", "runtime")
REQUESTS = requests_of(RUN)


def threads_of(rule):
    """The threads of a rule's jobs, by wildcards."""
    return lambda wildcards: REQUESTS(rule, **dict(wildcards.items())).threads


def gpus_of(rule, wildcards):
    """How many GPUs a job asks for."""
    return REQUESTS(rule, **dict(wildcards.items())).gpu


def resources_of(rule):
    """The resources of a rule's jobs, by wildcards and attempt; one without a GPU names none."""

    def asked(name):
        def of_job(wildcards, attempt):
            first = getattr(REQUESTS(rule, **dict(wildcards.items())), name)
            return (first * attempt if name in GROWS else first) or None

        return of_job

    return {name: asked(name) for name in ("mem_mb", "runtime", "disk_mb", "gpu")}
