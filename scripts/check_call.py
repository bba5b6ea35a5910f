"""Check a call before Snakemake reads the config files that it names, whose own messages name none.

Every profile runs this, for nothing else of the workflow is read so early.
"""

import contextlib
import io
import os
import sys
from pathlib import Path

from snakemake.cli import main, parse_args

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from isoenergy.command_line import caches, check_call
from isoenergy.errors import InputError
from isoenergy.schema import load_schema


def check():
    """Check the call, and start it again where Snakemake takes another spelling."""
    words = sys.argv[1:]
    # Snakemake says by itself which profile it uses.
    with contextlib.redirect_stderr(io.StringIO()):
        call = parse_args(words)[1]
    os.environ.update(caches(Path(call.directory or ".", ".snakemake/caches")))
    schema = load_schema(REPOSITORY / "workflow/schemas/config.schema.yaml")
    configs = sorted(os.path.relpath(path) for path in REPOSITORY.glob("config/*.yaml"))
    try:
        respelt = check_call(words, call.config, call.configfile, schema, configs)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    if respelt != words:
        sys.stderr.flush()
        before = sys.orig_argv[1 : len(sys.orig_argv) - len(words)]
        os.execv(sys.executable, [sys.executable, *before, *respelt])


# Who reads a profile from a program of his own has no command line of Snakemake.
if getattr(sys.modules["__main__"], "main", None) is main:
    check()
