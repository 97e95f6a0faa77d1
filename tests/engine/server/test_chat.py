"""Chat templates render as Hugging Face's own library renders them, and can do no harm."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from poolwright.engine.server.chat import ChatTemplate, ConversationError, open_chat_template
from poolwright.engine.server.text import TextError

CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "  What is 2 < 3 & \u20ac?\n"},
    {"role": "assistant", "content": "True."},
    {"role": "user", "content": "Why?"},
]
TEMPLATES = {
    "chatml": "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "trimmed blocks, special tokens, json, loop controls": "{{ bos_token }}\n{%- for message in messages %}\n"
    "  {% if message.role == 'system' %}\n    {%- continue %}\n  {% endif %}\n"
    "[{{ message.role }}] {{ message.content | trim }} {{ message | tojson }}{{ eos_token }}\n{% endfor %}",
    "namespaces and slices": "{% set ns = namespace(last='') %}{% for m in messages[1:] %}{% set ns.last = m.content %}"
    "{{ loop.index0 }}:{{ m.role | upper }};{% endfor %}{{ ns.last }}",
    "refusals that do not happen": "{% if messages[0].role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}ok",
}


def template_of(source: object, directory: Path, file: str = "tokenizer_config.json") -> ChatTemplate | None:
    config: dict[str, Any] = {"bos_token": {"content": "<s>"}, "eos_token": "</s>"}
    if file == "tokenizer_config.json":
        config["chat_template"] = source
    else:
        (directory / file).write_text(str(source))
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return open_chat_template(directory)


@pytest.mark.parametrize("source", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("adds_generation_prompt", [True, False])
def test_prompts_equal_the_reference(
    source: str,
    adds_generation_prompt: bool,  # noqa: FBT001 - a parameter
    checkpoint: Path,
    tmp_path: Path,
) -> None:
    reference = PreTrainedTokenizerFast(
        tokenizer_file=str(checkpoint / "tokenizer.json"), bos_token="<s>", eos_token="</s>"
    )
    expected = reference.apply_chat_template(
        CONVERSATION, chat_template=source, tokenize=False, add_generation_prompt=adds_generation_prompt
    )
    template = template_of(source, tmp_path)
    assert template is not None
    assert expected == template.prompt(CONVERSATION, adds_generation_prompt=adds_generation_prompt)


def test_a_file_of_its_own_counts_more_than_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("from the file")
    template = template_of("from the configuration", tmp_path)
    assert template is not None
    assert "from the file" == template.prompt(CONVERSATION)


def test_of_several_named_templates_the_default_is_used(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]
    template = template_of(named, tmp_path)
    assert template is not None
    assert "plain" == template.prompt(CONVERSATION)


def test_a_checkpoint_without_a_template_has_none(tmp_path: Path) -> None:
    assert template_of(None, tmp_path) is None


def test_a_template_that_does_not_compile_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="chat template does not compile"):
        template_of("{% for %}", tmp_path)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "unsafe"),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "Range too big"),
        ("{{ messages[9].content.strip() }}", "no element 9"),
        ("{{ 1 / 0 }}", "division by zero"),
    ],
)
def test_what_a_template_refuses_or_may_not_do_is_an_error_of_the_request(
    source: str, expected: str, tmp_path: Path
) -> None:
    template = template_of(source, tmp_path)
    assert template is not None
    with pytest.raises(ConversationError, match=expected):
        template.prompt(CONVERSATION)


def test_arguments_of_a_request_reach_the_template_but_replace_no_messages(tmp_path: Path) -> None:
    template = template_of("{{ 'think' if enable_thinking else 'answer' }}", tmp_path)
    assert template is not None
    assert "answer" == template.prompt(CONVERSATION, arguments={"enable_thinking": False})
    with pytest.raises(ConversationError, match="may not set messages"):
        template.prompt(CONVERSATION, arguments={"messages": []})
