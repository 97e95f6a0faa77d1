"""Turns a conversation into a prompt by the checkpoint's own Jinja template, in a sandbox that runs no other code."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from jinja2 import Template, TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from poolwright.engine.server.text import TextError, read_json, special_tokens

TEMPLATE_FILE: Final = "chat_template.jinja"
DEFAULT_NAME: Final = "default"
"""Which of several named templates is used, as Hugging Face names it."""
RESERVED: Final = ("messages", "add_generation_prompt")
"""What a request's own template arguments may not replace."""


class ConversationError(ValueError):
    """The template cannot make a prompt of these messages; the message is the template's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTemplate:
    """A compiled template and the special tokens that it may name."""

    template: Template
    special: Mapping[str, str]

    def prompt(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        adds_generation_prompt: bool = True,
        arguments: Mapping[str, Any] | None = None,
    ) -> str:
        """Return the prompt of a conversation.

        Raises
        ------
        ConversationError
            The template refuses it, or cannot deal with it.
        """
        for name in RESERVED:
            if name in (arguments or {}):
                raise ConversationError(f"chat_template_kwargs may not set {name}")
        known = {**self.special, **(arguments or {})}
        try:
            return str(self.template.render(messages=messages, add_generation_prompt=adds_generation_prompt, **known))
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
            raise ConversationError(f"the chat template refuses these messages: {error}") from error


def open_chat_template(directory: Path) -> ChatTemplate | None:
    """Return a checkpoint's chat template, None where it has none.

    Raises
    ------
    TextError
        It does not compile.
    """
    source = _source(directory)
    if source is None:
        return None
    try:
        template = _environment().from_string(source)
    except TemplateError as error:
        raise TextError(f"{directory}: the chat template does not compile: {error}") from error
    return ChatTemplate(template=template, special=special_tokens(directory))


def _source(directory: Path) -> str | None:
    """Return the template from its own file, or from where older checkpoints keep it."""
    path = directory / TEMPLATE_FILE
    if path.exists():
        return path.read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = read_json(directory / name).get("chat_template")
        if isinstance(found, list):
            found = {each["name"]: each["template"] for each in found}.get(DEFAULT_NAME)
        if isinstance(found, str):
            return found
    return None


def _environment() -> ImmutableSandboxedEnvironment:
    """Return an environment with what Hugging Face's templates expect."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    return environment


def _json(value: Any, indent: int | None = None) -> str:
    """Return JSON without the escapes that Jinja's own filter makes for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now(tz=UTC).strftime(form)
