"""Opens a Hugging Face checkpoint: ``config.json`` and safetensors, one file or shards with an index.

Reads tensors by name; knows nothing of what they mean. Files that can run code (pickle) are refused. Every error names
the file, and the tensor where there is one.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open
from torch import Tensor

SINGLE_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"
PICKLE_SUFFIXES: Final = (".bin", ".pt", ".pth", ".ckpt")
_LENGTH_BYTES: Final = 8
"""A safetensors file starts with the length of its header, a little-endian 64-bit number."""


class CheckpointError(ValueError):
    """A checkpoint cannot be read, or is not what its ``config.json`` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An open checkpoint.

    Attributes
    ----------
    directory
        Where its files are.
    config
        The parsed ``config.json``.
    """

    directory: Path
    config: Mapping[str, Any]
    _files: Mapping[str, str]
    _open: dict[str, Any] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        """Return a tensor as it is stored.

        Parameters
        ----------
        name
            Its name in the checkpoint.
        shape
            What it must have; None takes any.

        Raises
        ------
        CheckpointError
            It is not there, cannot be read, or has another shape.
        """
        file = self._files.get(name)
        if file is None:
            raise CheckpointError(f"{self.directory}: tensor {name} is missing")
        try:
            found = self._shard(file).get_tensor(name)
        except SafetensorError as error:
            raise CheckpointError(f"{self.directory / file}: tensor {name} cannot be read: {error}") from error
        if shape is not None and tuple(found.shape) != shape:
            raise CheckpointError(
                f"{self.directory / file}: tensor {name} has shape {tuple(found.shape)}, config.json asks for {shape}"
            )
        return found

    def _shard(self, file: str) -> Any:
        if file not in self._open:
            self._open[file] = _opened(self.directory / file)
        return self._open[file]


def open_checkpoint(directory: Path) -> Checkpoint:
    """Open a directory with ``config.json`` and safetensors.

    Raises
    ------
    CheckpointError
        A file is missing, cannot be parsed, is cut short, or would have to be unpickled.
    """
    if not directory.is_dir():
        raise CheckpointError(f"{directory}: is no directory")
    return Checkpoint(directory=directory, config=_json(directory / "config.json"), _files=_tensor_files(directory))


def _json(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file."""
    try:
        parsed = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: is missing") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: is no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise CheckpointError(f"{path}: holds {type(parsed).__name__}; an object is needed")
    return parsed


def _tensor_files(directory: Path) -> dict[str, str]:
    """Return the file of each tensor."""
    if (directory / INDEX_FILE).exists():
        return _indexed(directory)
    if (directory / SINGLE_FILE).exists():
        return dict.fromkeys(_opened(directory / SINGLE_FILE).keys(), SINGLE_FILE)
    pickles = sorted(path.name for path in directory.iterdir() if path.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise CheckpointError(
            f"{directory / pickles[0]}: is a pickle, which can run code when it is read; convert it to {SINGLE_FILE}"
        )
    raise CheckpointError(f"{directory}: neither {SINGLE_FILE} nor {INDEX_FILE} is there")


def _indexed(directory: Path) -> dict[str, str]:
    """Return the file of each tensor as the index says; every file must be there and hold what is said of it."""
    index = directory / INDEX_FILE
    weight_map = _json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise CheckpointError(f"{index}: weight_map is missing or no mapping from tensors to files")
    held: dict[str, set[str]] = {}
    for name, file in weight_map.items():
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise CheckpointError(f"{index}: tensor {name} is said to be in {file}, which is no safetensors file here")
        if file not in held:
            held[file] = set(_opened(directory / file).keys())
        if name not in held[file]:
            raise CheckpointError(f"{directory / file}: tensor {name} is missing, {INDEX_FILE} says it is here")
    return dict(weight_map)


def _opened(path: Path) -> Any:
    """Return an open safetensors file."""
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError:
        raise CheckpointError(f"{path}: is missing") from None
    except SafetensorError as error:
        raise CheckpointError(f"{path}: {_damage(path) or error}") from error


def _damage(path: Path) -> str | None:
    """Return what is wrong with a file that cannot be opened: the first tensor that lies behind its end."""
    content = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length + _LENGTH_BYTES > content:
            return f"is cut short: {content} bytes, the header alone has {length + _LENGTH_BYTES}"
        try:
            header = json.loads(file.read(length))
        except ValueError:
            return None
    start = _LENGTH_BYTES + length
    ends = sorted((row["data_offsets"][1], name) for name, row in header.items() if name != "__metadata__")
    for end, name in ends:
        if start + end > content:
            return f"is cut short: {content} bytes, tensor {name} ends at {start + end}"
    return None
