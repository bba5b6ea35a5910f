# The checked run, the paths of its files, and what is checked before the first job.

import atexit
import contextlib
import io
import re

from isoenergy.command_line import check_entries
from isoenergy.config import load_run
from isoenergy.estimate import disk, estimate, rounded
from isoenergy.fingerprint import fingerprint, registered
from isoenergy.foresight import foresee, store_notes, training_notes
from isoenergy.holding import check_name, check_writable, hold, let_go, owner
from isoenergy.memory import job_memory
from isoenergy.preflight import (
    inspect,
    inspect_disk,
    inspect_memory,
    missing,
    needed_by,
    write_items,
)
from isoenergy.queued import cancel_left, enlist
from isoenergy.run import NEEDS
from isoenergy.schema import choose, load_schema
from isoenergy.seeds import derive_seed


def read_command_line():
    """The arguments of a `snakemake` call by a user; None in a remote job or a library call."""
    if Path(sys.argv[0]).stem not in ("snakemake", "__main__"):
        return None
    from snakemake.cli import parse_args
    from snakemake_interface_executor_plugins.settings import ExecMode

    # Profiles lie beside the Snakefile, wherever --directory leads; it says again which one it uses.
    words = ["--snakefile", str(workflow.main_snakefile), *sys.argv[1:]]
    with contextlib.chdir(REPOSITORY), contextlib.redirect_stderr(io.StringIO()):
        arguments = parse_args(words)[1]
    if arguments.mode == ExecMode.REMOTE:
        start_in_queue()
    if arguments.mode == ExecMode.DEFAULT:
        check_profile(arguments)
    return arguments if arguments.mode == ExecMode.DEFAULT else None


def check_profile(arguments):
    """Refuse a workflow profile that is not there, without which Snakemake would go on in silence."""
    name = arguments.workflow_profile
    if name in (None, "", "none"):
        return
    # Where the call was made, which --directory has left.
    called = [os.environ.get("PWD", ""), REPOSITORY] if arguments.directory else [Path.cwd()]
    profiles = Path(workflow.basedir, "profiles")
    places = [Path(folder, part, name) for folder in called for part in ("", "profiles")]
    if any(place.exists() for place in [*places, profiles / name]):
        return
    known = sorted(path.parent.name for path in profiles.glob("*/config.yaml"))
    stop(
        f"--workflow-profile {name} is neither a profile of workflow/profiles nor a path that "
        f"exists; {choose(Path(name).name, [*known, 'none'])}"
    )


def check_given():
    """Check what --config says, also where no profile has (scripts/check_call.py)."""
    schema = load_schema(Path(workflow.basedir, "schemas/config.schema.yaml"))
    check_entries(workflow.config_settings.config_args, schema)


def start_in_queue():
    """A job of a cluster does not end with the run that sent it, but starts for no other one."""
    owner = os.environ.pop("ISOENERGY_RUN", None)
    name = os.environ.get("SLURM_JOB_NAME")
    if owner and name:
        try:
            enlist(RUN.results, owner, name)
        except InputError as error:
            stop(error)


def in_queue():
    """Whether the jobs of this run go to a cluster, so that this machine says nothing of theirs."""
    return COMMAND_LINE.executor not in (None, "local")


try:
    check_given()
    RUN = load_run(config, CONFIG_FILE, REPOSITORY)
    check_name(RUN.results)
except InputError as error:
    stop(error)
# Jobs read it there.
config["results"] = RUN.results

COMMAND_LINE = read_command_line()
RESULTS = RUN.results
SEED = RUN.config["seed"]
MODELS, SAES, SEEDS = RUN.config["models"], RUN.config["saes"], RUN.config["seeds"]

# The layout of the results, in one place (results/README.md describes it).
DOWNLOADS = f"{RESULTS}/downloads/{{source}}"
DATA = f"{RESULTS}/data/{{dataset}}"
ENCODER = f"{RESULTS}/encoders/{{model}}"
STORE = f"{RESULTS}/embeddings/{{model}}/{{dataset}}"
SAE = f"{RESULTS}/saes/{{model}}/{{sae}}/seed{{n}}"
SWEPT = f"{RESULTS}/saes/{{model}}/{{sae}}/sweep/beta{{beta}}"
CODES = f"{RESULTS}/codes/{{model}}/{{sae}}/seed{{n}}/{{dataset}}"
EMBEDDING_METRICS = f"{RESULTS}/metrics/{{model}}/embeddings/{{dataset}}"
SAE_METRICS_FOLDER = f"{RESULTS}/metrics/{{model}}/{{sae}}/seed{{n}}/{{dataset}}"
STABILITY_FOLDER = f"{RESULTS}/metrics/{{model}}/{{sae}}/stability/{{dataset}}"
RANKING_FOLDER = f"{RESULTS}/metrics/{{model}}/{{sae}}/ranking/{{dataset}}"
INTERVENTION_FOLDER = f"{SAE_METRICS_FOLDER}/interventions"
COMPOSED_FOLDER = f"{SAE_METRICS_FOLDER}/composed"
BASELINE_FOLDER = f"{EMBEDDING_METRICS}/baselines"
SWEEP_FOLDER = f"{RESULTS}/metrics/{{model}}/{{sae}}/sweep/{{dataset}}"
ACCOUNTING = f"{RESULTS}/metrics/data/{{dataset}}"
TOY = f"{RESULTS}/toy/{{toy}}"
TOY_SAE = f"{TOY}/{{sae}}/seed{{n}}"
SKETCH = f"{RESULTS}/toy/sketch.parquet"
TOY_SEARCH = f"{RESULTS}/toy/search/{{setting}}/seed{{n}}"
LOGS, BENCHMARKS = f"{RESULTS}/logs", f"{RESULTS}/benchmarks"


def one_of(names):
    """A wildcard constraint that allows these names alone."""
    return "|".join(map(re.escape, names)) or "(?!)"


ARCHITECTURES = "isoenergy.train.architectures"
REGISTERED = registered("ARCHITECTURES", ARCHITECTURES, REPOSITORY / "scripts")
for name, row in RUN.saes.items():
    if row["architecture"] not in REGISTERED:
        stop(
            f"config/saes.tsv: {name} has architecture {row['architecture']}, which is registered in "
            f"no module that scripts/{ARCHITECTURES.replace('.', '/')}.py imports; "
            f"{choose(row['architecture'], sorted(REGISTERED))}"
        )


def code(script, architectures=None):
    """Fingerprint of the code of a script; when it changes, what the script made is made again.

    Of SAE architectures only those named count; by default all.
    """
    named = REGISTERED if architectures is None else architectures
    chosen = {ARCHITECTURES: {REGISTERED[name] for name in named}}
    return fingerprint(REPOSITORY / "scripts" / script, REPOSITORY / "scripts", chosen)


def code_for_saes(script):
    """The param with that fingerprint of a job for one kind of SAE, or for all of a model's."""

    def of(wildcards):
        saes = [sae for model, sae in RUN.trained() if model == wildcards.get("model")]
        saes = [wildcards.sae] if "sae" in wildcards.keys() else saes
        return code(script, sorted({RUN.saes[sae]["architecture"] for sae in saes}))

    return of


def untracked(value):
    """A param that no file depends on: when it changes, nothing is made again.

    Snakemake compares no params of functions that take what a job asks for.
    """
    return lambda wildcards, threads: value


def seed_of(*parts):
    """The seed of one job, from the run's seed and what the job is."""
    return derive_seed(SEED, *parts)


wildcard_constraints:
    dataset=one_of(RUN.datasets),
    model=one_of(RUN.models),
    sae=one_of(RUN.saes),
    n=r"\d+",
    beta=r"[0-9][0-9.e+-]*",
    toy=one_of(RUN.toys()),
    setting=one_of(RUN.toy_search),


def check_targets(targets):
    """Refuse a target that is neither a row of targets.tsv nor a file, or that the config cannot give."""
    known = [name for name in RUN.targets if RUN.available(name)]
    for target in targets:
        if target in RUN.targets and target not in known:
            stop(
                f"{CONFIG_FILE}: target {target} needs {NEEDS[RUN.targets[target]['needs']]}; "
                "`all` makes every target that this config has"
            )
        is_file = "/" in target or Path(target).exists()
        is_rule = target in {rule.name for rule in workflow.rules}
        if not (target in known or is_file or is_rule):
            stop(f"config/targets.tsv has no target {target}; {choose(target, known)}")


def check_inputs(targets):
    """Refuse stores that cannot be used and sizes that no machine holds; say what is doubtful.

    Only configs, headers and first rows are read, so that a dry run does it too.
    """
    if not RUN.config["preflight"]:
        return
    faults, notes = foresee(RUN, **used_by(targets), memory=memory_of_jobs())
    if len(faults) > 1:
        stop(f"{CONFIG_FILE} cannot run:" + "".join(f"\n  - {sentence}" for sentence in faults))
    for sentence in faults:
        stop(sentence)
    # What was found in all rows of a store stays with it.
    for note in dict.fromkeys([*notes, *store_notes(adopted_descriptions())]):
        print(f"note: {note}", file=sys.stderr, flush=True)


def memory_of_jobs():
    """The memory that a job can have at most."""
    return job_memory(in_queue(), COMMAND_LINE.resources.get("mem_mb"))


def check_machine(targets):
    """Say what a run needs that is not at hand, before its first job."""
    if not RUN.config["preflight"]:
        return
    needed = wanted_by(targets)
    deployed = COMMAND_LINE.use_conda or bool(COMMAND_LINE.software_deployment_method)
    items = []
    if needed.stores or needed.datasets:
        items = inspect(RUN, ".", needed, deployed, addresses, in_queue())
    elif needed.trains:
        items = [inspect_disk(RUN, ".", needed)]
    stop_if_lacking(needed, missing(items))


def stop_if_lacking(needed, lacking):
    """End with what is missing, if anything is."""
    if lacking:
        told = "".join(f"\n  - {sentence}" for sentence in lacking)
        stop(
            f"{CONFIG_FILE} cannot run here. It needs {estimate(RUN, needed)} (a rough estimate). "
            "`make demo` runs here, on two CPU cores and without downloads; `--config "
            f"preflight=false` starts all the same. What is missing:{told}"
        )


def tell_machine(targets):
    """The target preflight: print what the other targets, or the run, need and what is there, and end."""
    named = [name for name in targets if name != "preflight"]
    needed, memory = wanted_by(named), memory_of_jobs()
    items = inspect(RUN, ".", needed, addresses=addresses, queued=in_queue())
    items.append(inspect_memory(RUN, memory, used_by(named)))
    print(write_items(items), flush=True)
    stop_if_lacking(needed, missing(items))
    print(f"{CONFIG_FILE} can run here.", flush=True)
    raise SystemExit(0)


def tell_inputs(targets):
    """The target inputs: print the files that tables and figures named beside it are made of, and end."""
    named = [name for name in targets if name != "inputs"]
    if not named:
        stop(
            "inputs tells what tables and figures are made of; name some: snakemake inputs table_01"
        )
    for name in named:
        if RUN.targets.get(name, {}).get("kind") not in ("table", "figure"):
            stop(f"inputs tells what tables and figures are made of; {name} is neither")
    paths = [path for name in named for path in made_of(name)]
    print("\n".join(dict.fromkeys(paths)), flush=True)
    raise SystemExit(0)


def tell_results():
    """Say where the tables, figures and the page asked for are."""
    if COMMAND_LINE is None or COMMAND_LINE.dryrun:
        return
    for target in COMMAND_LINE.targets or ["all"]:
        kind = RUN.targets[target]["kind"] if target in RUN.targets else None
        if kind in ("table", "figure"):
            print(f"{target}  {RESULTS}/{kind}s/{target}.{'md' if kind == 'table' else 'png'}")
        elif target in ("report", "all"):
            print(f"report  {RESULTS}/report.html")
        if target in ("report", "compare", "all"):
            print(f"compare  {RESULTS}/compare.html")


def hold_results(targets):
    """Keep a second run out of the same results, and end the jobs that an earlier one has left."""
    if ENDING is not None:
        ENDING.results = RESULTS
        ENDING.takes = lambda: f"about {rounded(disk(RUN, wanted_by(targets)))} GB of disk"
    # Jobs on this machine end with this process, however it ends.
    os.environ.update(ISOENERGY_RUN=owner())
    try:
        check_writable(".snakemake", "--directory")
        handle = hold(RESULTS)
        atexit.register(let_go, handle)
        left = cancel_left(RESULTS)
    except InputError as error:
        stop(error)
    if left:
        print(f"cancelled {left} jobs that an earlier run had left in the queue", flush=True)
    return handle
