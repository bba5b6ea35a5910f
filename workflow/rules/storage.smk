# What is read together with a store.json or codes.json, declared by name: a job that shares no disk
# with others (docs/dvc.md) has what its rule declares, and nothing else.

from isoenergy.embed.layout import ARRAYS, CLASSES

# Codes; those of edits have further arrays.
CODED = [f"{CODES}/{name}" for name in (*CODE_FILES, "codes.json")]
EDITS_CODED = [*CODED, *(f"{CODES}/{name}" for name in SOURCE_FILES)]
TRAIN_CODED = [path.replace("{dataset}", RUN.train) for path in CODED]


def arrays_beside(folder, kind="pairs"):
    """Arrays and metadata beside the store.json of a store that the workflow makes."""
    further = {"classes": [CLASSES], "edits": [ARRAYS["source"]]}.get(kind, [])
    return [f"{folder}/{name}" for name in (ARRAYS["image"], ARRAYS["text"], "metadata", *further)]


def written_arrays(folder, kind="pairs"):
    """The same as outputs of the rule that makes the store."""
    paths = arrays_beside(folder, kind)
    return [path if path.endswith(".npy") else directory(path) for path in paths]


def read_arrays(dataset=None):
    """The same as inputs of a job that reads the store of its model and this data set, or its own.

    Of a store made elsewhere they are no inputs: it is read where it lies.
    """

    def of_job(wildcards):
        name = dataset or wildcards.dataset
        if RUN.adopted(name):
            return []
        folder = STORE.format(model=wildcards.model, dataset=name)
        return arrays_beside(folder, RUN.datasets[name]["kind"])

    return of_job


def look_again():
    """Have Snakemake's plugin for S3 ask anew for a folder that was not there before.

    snakemake-storage-plugin-s3 0.3.6 remembers that it was not, also when a job on another machine
    has made it since, which then counts as failed.
    """
    plugin = sys.modules.get("snakemake_storage_plugin_s3")
    if plugin is None:
        return
    exists = plugin.StorageObject.exists

    def ask_anew(stored):
        stored._is_dir = stored._is_dir or None
        return exists(stored)

    plugin.StorageObject.exists = ask_anew


look_again()
