"""Text goes to tokens and back; pieces never split a character."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from poolwright.engine.server.text import REPLACEMENT, Codec, Detokenizer, TextError, open_codec

BYTE_WORDS = [f"<0x{byte:02X}>" for byte in range(256)]


def metaspace_codec() -> Codec:
    """Return a tokenizer as Llama 2 and Mistral have: words that begin with a space, and single bytes."""
    words = ["<unk>", *BYTE_WORDS, "\u2581hello", "\u2581world", "\u2581", "!"]
    tokenizer = Tokenizer(models.BPE({word: at for at, word in enumerate(words)}, [], byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return Codec(tokenizer, frozenset())


def pieces_of(codec: Codec, token_ids: list[int]) -> list[str]:
    detokenizer = Detokenizer(codec)
    return [*(detokenizer.push(token_id) for token_id in token_ids), detokenizer.rest()]


@given(text=st.text(max_size=40))
def test_pieces_make_up_the_text_and_split_no_character(codec: Codec, text: str) -> None:
    pieces = pieces_of(codec, list(codec.encode(text, adds_special=False)))
    assert text == "".join(pieces)
    if REPLACEMENT not in text:
        assert not any(REPLACEMENT in piece for piece in pieces)


@given(token_ids=st.lists(st.integers(0, 319), max_size=60))
def test_pieces_of_any_tokens_make_up_what_they_say_as_a_whole(codec: Codec, token_ids: list[int]) -> None:
    assert codec.decode(token_ids) == "".join(pieces_of(codec, token_ids))


def test_a_character_of_four_bytes_comes_with_its_last_token(codec: Codec) -> None:
    token_ids = list(codec.encode("\U0001f600", adds_special=False))
    assert 4 == len(token_ids)
    assert ["", "", "", "\U0001f600", ""] == pieces_of(codec, token_ids)


def test_bytes_that_become_no_character_come_at_the_end(codec: Codec) -> None:
    token_ids = list(codec.encode("a\u20ac", adds_special=False))[:-1]
    assert ["a", "", "", REPLACEMENT] == pieces_of(codec, token_ids)


def test_noise_without_end_is_told_in_the_end(codec: Codec) -> None:
    lead = codec.encode("\u20ac", adds_special=False)[0]
    pieces = pieces_of(codec, [lead] * 300)
    assert REPLACEMENT * 300 == "".join(pieces)


def test_spaces_of_words_stay_where_only_the_first_is_dropped() -> None:
    codec = metaspace_codec()
    hello, world = 257, 258
    token_ids = [hello, world] * 12
    assert " ".join(["hello world"] * 12) == "".join(pieces_of(codec, token_ids))


def test_characters_made_of_byte_tokens_come_whole() -> None:
    codec = metaspace_codec()
    # The euro sign is E2 82 AC; byte b is token b + 1.
    assert ["hello", "", "", "\u20ac", ""] == pieces_of(codec, [257, 0xE3, 0x83, 0xAD])


def test_a_token_that_is_part_of_a_character_is_told_in_bytes(codec: Codec) -> None:
    token_ids = codec.encode("\u20ac", adds_special=False)
    assert [[0xE2], [0x82], [0xAC]] == [codec.token(token_id)[1] for token_id in token_ids]


def test_special_tokens_are_left_out_of_text(codec: Codec) -> None:
    token_ids = list(codec.encode("<|im_start|>hi<|im_end|>", adds_special=False))
    assert "hi" == "".join(pieces_of(codec, token_ids))
    assert "<|im_start|>hi<|im_end|>" == codec.decode(token_ids, skips_special=False)


def test_every_file_that_names_a_stop_token_counts(checkpoint: Path, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    shutil.copytree(checkpoint, directory)
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 9]}))
    # config.json says 1, tokenizer_config.json <|end|>, which is 1 too.
    assert frozenset({1, 3, 9}) == open_codec(directory).stop_token_ids


@pytest.mark.parametrize(
    ("content", "expected"), [(None, "tokenizer.json: is missing"), ("{}", "tokenizer.json: is no tokenizer")]
)
def test_a_tokenizer_that_cannot_be_read_is_an_error_with_the_file(
    content: str | None, expected: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(TextError, match=expected):
        open_codec(tmp_path)
