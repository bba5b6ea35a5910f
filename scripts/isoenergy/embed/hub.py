"""Checkpoints of the model hub: which commit a revision is, and why one cannot be had."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from isoenergy.embed.encoder import EncoderSpec
from isoenergy.errors import InputError
from isoenergy.files import hash_file, visible


def pin(spec: EncoderSpec, filename: str) -> EncoderSpec:
    """The spec with its revision resolved to a commit; that of a local folder as it is.

    Branches move, and ``transformers`` fills what a branch lacks from elsewhere: everything is read
    at the one commit that this returns.

    Parameters
    ----------
    spec : EncoderSpec
    filename : str
        A small file that every such checkpoint has.

    Raises
    ------
    InputError
        If the checkpoint is gated, private, absent, or neither cached nor within reach.
    """
    from huggingface_hub import hf_hub_download

    if Path(spec.checkpoint).is_dir():
        return replace(spec, revision=None)
    try:
        path = hf_hub_download(spec.checkpoint, filename, revision=spec.revision)
    # Whatever the client of the hub raises: it has no common base class.
    except Exception as error:
        raise refusal(spec, error) from None
    return replace(spec, revision=Path(path).parent.name)


def refusal(spec: EncoderSpec, error: BaseException) -> InputError:
    """Why a checkpoint cannot be loaded and what to do, in one sentence.

    Parameters
    ----------
    spec : EncoderSpec
    error : exception
        What loading raised; what it was raised from is looked at too.
    """
    return InputError(
        f"model {spec.model} ({spec.checkpoint}) cannot be loaded: {_why(spec, error)}"
    )


def _why(spec: EncoderSpec, error: BaseException) -> str:
    from huggingface_hub import constants, errors

    name, revision = spec.checkpoint, spec.revision or "main"
    table = "correct its row of config/models.tsv"
    log_in = "`hf auth login`, or set HF_TOKEN"
    cache = f"the cache {constants.HF_HUB_CACHE}"
    fetch = f"`hf download {name} --revision {revision}`"
    chain = list(_chain(error))

    def raised(*kinds: type[BaseException]) -> bool:
        return any(isinstance(link, kinds) for link in chain)

    if raised(errors.GatedRepoError):
        return (
            "it is gated, and this account may not read it; accept its terms at "
            f"{constants.ENDPOINT}/{name}, then {log_in}"
        )
    if raised(errors.RevisionNotFoundError):
        return f"it has no revision {revision}; {table}"
    if raised(errors.RepositoryNotFoundError) or _denied(chain):
        return f"the hub has no such model, or it is private; {table}, or {log_in}"
    if raised(errors.HFValidationError):
        return (
            f"it is neither a folder nor a name on the hub; {table}, where relative paths start at "
            f"{Path.cwd()}"
        )
    if raised(errors.RemoteEntryNotFoundError):
        return f"revision {revision} lacks a file of a model of family {spec.family}; {table}"
    if raised(errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        if constants.HF_HUB_OFFLINE:
            return (
                f"{cache} lacks revision {revision}, and HF_HUB_OFFLINE forbids a download; unset "
                f"it, or run {fetch} where there is a network and point HF_HOME at that cache"
            )
        return (
            f"{cache} lacks revision {revision}, and {constants.ENDPOINT} does not answer; check "
            f"the connection, or run {fetch} elsewhere, point HF_HOME at that cache and set "
            "HF_HUB_OFFLINE=1"
        )
    if raised(PermissionError):
        return f"{cache} may not be written to; make it writable, or point HF_HOME elsewhere"
    reason = " ".join(str(error).split("\n")[0].split()).rstrip(".") or type(error).__name__
    if re.search(r"(no|have a) file named \S*safetensors", reason):
        return (
            "it holds no weights in safetensors, and other formats are not read; choose a revision "
            "that has some, or convert it"
        )
    whole = f"check that it is whole and of family {spec.family}"
    if Path(name).is_dir():
        whole += ", copy it again, or delete it and run again if the run trained it"
    return f"{reason}; {whole}"


def _denied(chain: list[BaseException]) -> bool:
    answers = [getattr(link, "response", None) for link in chain]
    return any(getattr(answer, "status_code", None) in (401, 403) for answer in answers)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def told_by(spec: EncoderSpec) -> dict[str, object]:
    """Which checkpoint it is, for a store: name and commit, or the weights of a local folder."""
    folder = Path(spec.checkpoint)
    if not folder.is_dir():
        return {"checkpoint": spec.checkpoint, "revision": spec.revision}
    # Told by its weights: where it lies says nothing to a reader.
    hashes = [hash_file(path) for path in visible(folder.glob("*.safetensors"))]
    return {"checkpoint": f"sha256:{'+'.join(hashes)}", "revision": None}
