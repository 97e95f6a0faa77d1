"""Text and tokens: encodes prompts, and decodes answers token by token without ever splitting a character.

Reads ``tokenizer.json``, ``tokenizer_config.json`` and ``generation_config.json`` of a checkpoint; runs no code of it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer, pre_tokenizers

REPLACEMENT: Final = "\ufffd"
"""What a decoder puts where bytes are no character, or not yet one."""
MAX_UNFINISHED: Final = 3
"""Most replacement characters that a character's later bytes may still turn into one: UTF-8 has at most four bytes."""
MAX_WINDOW: Final = 64
"""Tokens after which text that never becomes whole is taken as it is, so that noise costs no quadratic time."""
CONTEXT: Final = 4
"""Tokens before a new one that are decoded with it: some decoders drop a space at the very start."""


class TextError(ValueError):
    """A checkpoint's files about text cannot be read; names the file."""


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, empty where there is none.

    Raises
    ------
    TextError
        It holds something else.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TextError(f"{path}: is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise TextError(f"{path}: holds {type(content).__name__}, must hold an object")
    return content


@dataclass(frozen=True)
class Codec:
    """A checkpoint's tokenizer.

    Attributes
    ----------
    tokenizer
        From ``tokenizer.json``.
    stop_token_ids
        Tokens that end an answer by themselves.
    """

    tokenizer: Tokenizer
    stop_token_ids: frozenset[int]

    def encode(self, text: str, *, adds_special: bool) -> tuple[int, ...]:
        """Return the tokens of a text; with those that the tokenizer puts around every text, if asked."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=adds_special).ids)

    def decode(self, token_ids: Sequence[int], *, skips_special: bool = True) -> str:
        """Return the text of tokens."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=skips_special))

    def token(self, token_id: int) -> tuple[str, list[int]]:
        """Return what one token says by itself, as text and as bytes."""
        text = self.decode((token_id,), skips_special=False)
        word = self.tokenizer.id_to_token(token_id) or ""
        if REPLACEMENT in text and all(character in self._bytes for character in word):
            return text, [self._bytes[character] for character in word]
        return text, list(text.encode())

    @property
    def vocabulary(self) -> int:
        """Number of tokens with a name."""
        return int(self.tokenizer.get_vocab_size(with_added_tokens=True))

    @cached_property
    def _bytes(self) -> Mapping[str, int]:
        """Which byte each character of a byte-level vocabulary stands for: printable ones for themselves."""
        printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
        others = (byte for byte in range(0x100) if byte not in printable)
        found = {chr(byte): byte for byte in printable} | {chr(0x100 + at): byte for at, byte in enumerate(others)}
        return found if set(found) == set(pre_tokenizers.ByteLevel.alphabet()) else {}


def open_codec(directory: Path) -> Codec:
    """Return the tokenizer of a checkpoint.

    Raises
    ------
    TextError
        A file is missing or cannot be read.
    """
    path = directory / "tokenizer.json"
    if not path.exists():
        raise TextError(f"{path}: is missing")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exceptions
        raise TextError(f"{path}: is no tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return Codec(tokenizer, _stop_token_ids(directory, tokenizer))


def _stop_token_ids(directory: Path, tokenizer: Tokenizer) -> frozenset[int]:
    """Return the tokens that end an answer, from every file that may name them."""
    found: set[int] = set()
    for name in ("config.json", "generation_config.json"):
        named = read_json(directory / name).get("eos_token_id")
        found.update(each for each in (named if isinstance(named, list) else [named]) if isinstance(each, int))
    word = special_tokens(directory).get("eos_token")
    if word is not None and (token_id := tokenizer.token_to_id(word)) is not None:
        found.add(token_id)
    return frozenset(found)


def special_tokens(directory: Path) -> dict[str, str]:
    """Return the special tokens that ``tokenizer_config.json`` names, such as ``bos_token``."""
    found = {}
    for name, value in read_json(directory / "tokenizer_config.json").items():
        word = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(word, str):
            found[name] = word
    return found


@dataclass(slots=True)
class Detokenizer:
    """The text of one answer, told piece by piece; the pieces together are the whole text."""

    codec: Codec
    skips_special: bool = True
    _window: list[int] = field(default_factory=list)
    _told: int = 0

    def push(self, token_id: int) -> str:
        """Take a token and return the text that is certain now."""
        self._window.append(token_id)
        text = self._text()
        unfinished = min(len(text) - len(text.rstrip(REPLACEMENT)), MAX_UNFINISHED)
        piece = text[self._told : len(text) - unfinished]
        self._told += len(piece)
        if (not unfinished and len(self._window) > 2 * CONTEXT) or len(self._window) > MAX_WINDOW:
            piece += self._slide(text)
        return piece

    def rest(self) -> str:
        """Return what is left when the answer is over: bytes that became no character."""
        text = self._text()
        piece = text[self._told :]
        self._told = len(text)
        return piece

    def _text(self) -> str:
        return self.codec.decode(self._window, skips_special=self.skips_special)

    def _slide(self, text: str) -> str:
        """Keep the last few tokens only, and return what had not been told of those before."""
        piece = text[self._told :]
        self._window = self._window[-CONTEXT:]
        self._told = len(self._text())
        return piece
