"""Published data sets on the Hugging Face hub, at a fixed commit.

In: the kind of source and a commit. Out: a local folder with the files of that commit. Only here is the network used,
through huggingface_hub (extra `hub`), its cache and its login.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midi_llm.errors import DatasetError, MissingExtraError

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class HubDataset:
    """Where a data set is, which of its files are used, and its pinned commit (None: the caller names one)."""

    repository: str
    files: tuple[str, ...]
    commit: str | None = None


HUB_DATASETS = {
    "midicaps": HubDataset(repository="amaai-lab/MidiCaps", files=("train.json", "midicaps.tar.gz")),
    "gigamidi": HubDataset(repository="Metacreation/GigaMIDI", files=("v2.0.0/**/*.parquet", "v2.0.0/*.parquet")),
    "aria": HubDataset(
        repository="loubb/aria-midi",
        files=("aria-midi-v1-pruned-ext.tar.gz",),  # the subset that its authors advise for training
        commit="8cc4cf5c83b47f2689ac256a947b2a57c17a4c8b",
    ),
    "musicpile": HubDataset(
        repository="m-a-p/MusicPile",
        files=("data/*.parquet",),
        commit="d4796d8f326c08771c98a7a866d49d28979dcbe7",  # 5,885,516 rows, as its card says there
    ),
}


def download(kind: str, commit: str | None = None) -> tuple[Path, str]:
    """(local folder, commit) of a data set's files, downloaded unless they are in the hub's cache.

    Raises `DatasetError`, saying what to do, for an unknown kind, no commit, terms not accepted and a failed download.
    """
    if kind not in HUB_DATASETS:
        raise DatasetError(f"{kind} is not on the hub; allowed are {', '.join(HUB_DATASETS)}. Give a local path")
    dataset = HUB_DATASETS[kind]
    page = f"https://huggingface.co/datasets/{dataset.repository}"
    commit = commit or dataset.commit
    if commit is None or not _COMMIT.fullmatch(commit):
        raise DatasetError(
            f"{kind}:hub needs a commit of 40 hex digits, so that the data stay the same: {kind}:hub@COMMIT; they are"
            f" listed on {page}/commits/main"
        )
    by_hand = f"or download {' and '.join(dataset.files)} at {commit[:8]} from {page} and give {kind}:FOLDER"
    try:
        import huggingface_hub
        from huggingface_hub import errors as hub_errors
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "hub") from error
    errors: Any = hub_errors  # HTTPError is httpx's or requests', by version, and not exported by name
    try:
        folder = huggingface_hub.snapshot_download(
            dataset.repository, repo_type="dataset", revision=commit, allow_patterns=list(dataset.files)
        )
    except (errors.GatedRepoError, errors.RepositoryNotFoundError) as error:
        raise DatasetError(
            f"{dataset.repository} cannot be read without an account: accept its terms on {page}, then run"
            f" `hf auth login`, {by_hand}"
        ) from error
    except (OSError, ValueError, errors.HTTPError) as error:  # offline, refused, no such commit, disk full
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DatasetError(
            f"{dataset.repository} could not be downloaded ({reason[0][:200]}); try again when online, {by_hand}"
        ) from error
    return Path(folder), commit
