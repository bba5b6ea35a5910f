# The targets of config/targets.tsv by name, and what is checked once every rule is known.


for target in (*RUN.targets, *OF_MODELS):
    if target in OF_MODELS or (target != "all" and RUN.available(target)):

        rule:
            name:
                target
            input:
                files_of(target),
            localrule: True


if COMMAND_LINE is not None:
    TARGETS = COMMAND_LINE.targets or []
    check_targets(TARGETS)
    if "inputs" in TARGETS:
        tell_inputs(TARGETS)
    if "preflight" in TARGETS and not COMMAND_LINE.dryrun:
        tell_machine(TARGETS)
    if not COMMAND_LINE.lint:
        check_inputs(TARGETS)
    if not COMMAND_LINE.dryrun and not COMMAND_LINE.lint:
        check_machine(TARGETS)
        HELD = hold_results(TARGETS)
