# What captions say: words from the config and the code, and sample sizes from metrics.

from isoenergy.data.thumbnails import BLURRED, SHOWN_PAIRS
from isoenergy.measure.baselines import AXES_SHARE, MOST_AXES
from isoenergy.measure.energy import DEGENERATE_FREQUENCY
from isoenergy.measure.factors import INFORMED
from isoenergy.measure.layout import MIN_DISTANCE, NEIGHBOURS, TOO_OFTEN
from isoenergy.measure.selection import LARGEST_DROP, SELECTED_BETA
from isoenergy.measure.structure import LARGEST_DENSE
from isoenergy.measure.transport import MAX_GAP
from isoenergy.render.captions import fields


def spread(seeds):
    """What a caption says of the numbers' spread."""
    told = ", ".join(map(str, seeds))
    return f"mean ± standard deviation over seeds {told}" if len(seeds) > 1 else f"seed {told}"


def told(rows, names):
    """Names with what they stand for, for captions."""
    titles = {name: rows[name]["title"] for name in names}
    return "; ".join(n if n == title else f"{n}: {title}" for n, title in titles.items())


def sweep_words():
    """Fields of captions that tell how a sweep was made."""
    sweep = RUN.config["beta_sweep"]
    if sweep is None:
        return {}
    return {
        "swept": sweep["sae"],
        "betas": str(sweep["count"]),
        "sweep_epochs": str(sweep["epochs"]),
        "sweep_seed": str(sweep["seed"]),
        "largest_drop": str(LARGEST_DROP),
        "degenerate": str(DEGENERATE_FREQUENCY),
        "tau": str(RUN.config["measure"]["tau"]),
    }


def told_toy(toy):
    """The settings of a toy experiment, for captions."""
    own = RUN.config["toy"][toy]
    return (
        f"{toy}: k {own['k']}, L {own['active']}, τ1 {own['tau_1']:g}, τ2 {own['tau_2']:g}, "
        f"K {own['n_atoms']}, ℓ0 {own['l0']}, β {own['beta']:g}, W read "
        f"as ({own['distance_reading']}), mma as ({own['matching_reading']})"
    )


BLURRED_WORDS = (
    f" Pictures are reduced to at most {BLURRED} × {BLURRED} blocks (key galleries.blur)."
)
ELSEWHERE_WORDS = (
    " On {}, which no SAE is trained on, the same SAEs; which atoms are bimodal there is decided by the "
    "codes of its own."
)
# Fields of captions: words from the config and from the code, and sample sizes from the metrics of the
# first model; words_of adds what differs between targets.
WORDS = {
    "train": RUN.train,
    "first_model": MODELS[0],
    # A store of its name alone stands for its encoder too.
    "first_model_and_train": " and ".join(dict.fromkeys([MODELS[0], RUN.train])),
    "aligned": RUN.aligned()[0],
    "insertion": str(RUN.config["measure"]["insertion"]),
    "models": told(RUN.models, MODELS),
    "datasets": told(RUN.datasets, RUN.measured()),
    "protocol": "code (the authors' code, as in the paper's tables)",
    **sweep_words(),
    "spread": spread(SEEDS),
    "tau": str(RUN.config["measure"]["tau"]),
    "seed": str(SEED),
    "first_seed": str(SEEDS[0]),
    "seeds": ", ".join(map(str, SEEDS)),
    "informed": str(INFORMED),
    "max_gap": str(MAX_GAP),
    "decomposed": f"{LARGEST_DENSE:,}",
    "last_model": MODELS[-1],
    "gallery_model": RUN.gallery_model(),
    "shown_pairs": f"{SHOWN_PAIRS:,}",
    "pictured": told(RUN.datasets, RUN.pictured()),
    "blurred": BLURRED_WORDS if RUN.config["galleries"]["blur"] else "",
    "elsewhere": (
        ELSEWHERE_WORDS.format(", ".join(RUN.further_stores())) if RUN.further_stores() else ""
    ),
    **{part: part_of_run(part) or "" for part in ("transfer", "classes", "edits")},
    "means": {"train": RUN.train, "own": "the data set itself"}[RUN.config["measure"]["means"]],
    "most_axes": str(MOST_AXES),
    "axes_share": f"{AXES_SHARE:.2f}",
    "neighbours": str(NEIGHBOURS),
    "min_distance": str(MIN_DISTANCE),
    "too_often": f"{TOO_OFTEN:.0%}".replace("%", " %"),
}
if RUN.config["toy"]:
    WORDS |= {"toy_pairs": f"{RUN.config['toy']['rows']:,}", "toy_d": str(RUN.config["toy"]["dim"])}
    WORDS |= {"toy_seeds": ", ".join(map(str, RUN.config["toy"]["seeds"]))}
    WORDS |= {"toy_settings": "; ".join(told_toy(toy) for toy in RUN.toys())}
SIZES = {
    "pairs": (f"{embeddings_folder(MODELS[0])}/recall_at_1.json", "pairs"),
    "probe": (f"{sae_folder(MODELS[0], SAES[0], SEEDS[0])}/p_acc.json", "images"),
    "gap": (f"{embeddings_folder(MODELS[0])}/difference_in_mean.json", "images"),
    "wasserstein": (f"{embeddings_folder(MODELS[0])}/wasserstein.json", "images"),
}
gallery_folder = sae_folder(RUN.gallery_model(), RUN.aligned()[0], SEEDS[0])
SIZES["gallery_pairs"] = (f"{gallery_folder}/recall_at_1_reconstruction.json", "pairs")
if RUN.swept():
    SIZES["sweep_pairs"] = (f"{sweep_folder(MODELS[0])}/{SELECTED_BETA}.json", "pairs")
# The same of what tables and figures of interventions, rankings and queries show first.
OWN_SIZES = {
    "own_pairs": ("recall_at_1", "pairs"),
    "own_gap": ("difference_in_mean", "images"),
    "own_wasserstein": ("wasserstein", "images"),
    "own_ood": ("ood_score", "images"),
    "ranked_pairs": ("share_flipped", "candidate_pairs"),
    "ranked_queries": ("share_flipped", "queries"),
    "ranked_candidates": ("share_flipped", "candidates"),
    "triplets": ("recall", "triplets"),
    "own_triplets": ("ood_score", "triplets"),
}


def sizes_of(target):
    """The sample sizes that a target's caption tells."""
    named = fields(RUN.targets[target]["caption"])
    sizes = {name: SIZES[name] for name in named if name in SIZES}
    for name in (name for name in OWN_SIZES if name in named):
        metric, which = OWN_SIZES[name]
        sizes[name] = (f"{first_folder(target)}/{metric}.json", which)
    return sizes


def first_folder(target):
    """The first metric folder that a table or figure of interventions, rankings or queries shows."""
    if target in TABLES:
        return table_sources(target)[0]["folders"][0]
    folder = next(iter(figure_folders(FIGURES[target]).values()))
    first = {"composed": QUERIES[0], "ranking": f"{REMOVALS[0]}/{RANKING_QUERIES[0]}"}
    return f"{folder}/{first.get(FIGURES[target].OF, FORMS[0])}"


def words_of(target):
    """The fields of a target's caption that need no metric."""
    sizes = {sae: "expansion {}, ℓ0 {}".format(*RUN.sae_sizes(sae)) for sae in saes_of(target)}
    alike = len(set(sizes.values())) == 1
    told = [size if alike else f"{sae}: {size}" for sae, size in sizes.items()]
    return {**WORDS, "dictionaries": "; ".join(dict.fromkeys(told))}
