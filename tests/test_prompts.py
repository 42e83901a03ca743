"""Prompts: the delimiter, chat templates, and who puts the beginning of text."""

from __future__ import annotations

import json

import numpy as np
import pytest
from checkpoints import save_checkpoint, save_tokenizer
from command_line import run
from reference import TorchScorer

from likra_lite import Item, LanguageModel, LikraClassifier
from likra_lite.chat import TODAY, ChatTemplate
from likra_lite.engine.folder import read_manifest, write_manifest
from likra_lite.engine.folder_writing import copy_file
from likra_lite.engine.tokens import TextEncoder
from likra_lite.errors import ExportError, LikraError
from likra_lite.export import export_model
from likra_lite.export.checkpoint.chat_files import chat_of_files, chat_settings
from likra_lite.prompts import ChatPrompt, Prompt, as_prompt
from likra_lite.scoring.scorer import ChoiceScorer

# After the manners of published ones, in own words: roles in marks, a system message by default,
# a beginning-of-text token, words that refuse, tools, dates.
TEMPLATES = {
    "marks": (
        "{% for message in messages %}"
        "{% if loop.first and message['role'] != 'system' %}[system]\nBe brief[end]\n{% endif %}"
        "{{ '[' + message['role'] + ']\n' + message['content'] + '[end]\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '[assistant]\n' }}{% endif %}"
    ),
    "begins": (
        "{{ bos_token }}"
        "{%- if tools is not none %}{{ raise_exception('no tools') }}{% endif %}\n"
        "{%- for message in messages %}\n"
        "    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\n"
        "        {{- raise_exception('user and assistant take turns') }}\n"
        "    {%- endif %}\n"
        "    {%- set role = 'model' if message.role == 'assistant' else message.role %}\n"
        "    {{- '<' + role + '>' + message['content'] | trim + eos_token }}\n"
        "{%- endfor %}\n"
        "{%- if add_generation_prompt %}{{- '<model>' }}{% endif %}"
    ),
    "loops": (
        "{%- for message in messages %}{% if loop.index > 9 %}{% break %}{% endif %}"
        "{{ message | tojson }}\n{% endfor %}{{ 'answer: ' if add_generation_prompt else '' }}"
    ),
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
ITEMS = [
    Item("What do bees make?", ["honey", "wax and noise", "iron"], 0),
    Item('What "melts" <in> the sun?', ["ice", "nails"], 0, context="It is warm."),
]


@pytest.fixture(scope="module")
def chatty(tmp_path_factory):
    """Return a checkpoint whose tokenizer puts a BOS and has a chat template that does too."""
    folder = save_checkpoint(
        "llama", tmp_path_factory.mktemp("chat") / "checkpoint", prepend_bos=True
    )
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"chat_template": TEMPLATES["begins"]}
    path.write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def chatty_folder(chatty, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat-model") / "model"
    export_model(chatty, folder)
    return folder


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_conversation_is_rendered_as_transformers_does(name, tmp_path):
    transformers = pytest.importorskip("transformers")
    save_tokenizer(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    template = ChatTemplate(TEMPLATES[name], TOKENS)
    turns = [("Who lays eggs?", "a hen"), ('Is "é" <a> letter?', "yes & no")]
    for count in range(3):
        messages = [
            {"role": role, "content": text}
            for turn in turns[:count]
            for role, text in zip(("user", "assistant"), turn, strict=True)
        ]
        messages.append({"role": "user", "content": "Why?"})
        expected = tokenizer.apply_chat_template(
            messages, chat_template=TEMPLATES[name], add_generation_prompt=True, tokenize=False
        )
        assert template.render(turns[:count], "Why?") == expected


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% if %}", "cannot put a question"),
        ("{{ raise_exception('system first') }}", r"cannot put a question \(system first\)"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "is unsafe"),
        ("{{ messages.append(1) }}", "cannot put a question"),
        ("{% for i in range(10000000) %}{% endfor %}", "[Rr]ange"),
        ("{{ messages[7].content }}", "cannot put a question"),
    ],
)
def test_templates_that_fail_or_reach_out(template, message):
    with pytest.raises(LikraError, match=message) as caught:
        ChatTemplate(template).render((), "Why?")
    assert "\n" not in str(caught.value)


def test_the_date_stands_still():
    template = ChatTemplate("{{ strftime_now('%d %b %Y') }}")
    assert template.render((), "Why?") == TODAY.strftime("%d %b %Y")


def test_chat_scores_equal_pytorch_with_one_beginning_of_text(chatty, chatty_folder):
    torch_scorer = TorchScorer(chatty)
    tokenizer = torch_scorer.tokenizer
    model = LanguageModel(chatty_folder)
    scorer = ChoiceScorer.of(model, "chat", cached=False)
    table = scorer.table(ITEMS)
    expected, neutral = [], []
    for item in ITEMS:
        content = f"{item.context} {item.question}" if item.context else item.question
        context = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        assert context.count(0) == 1
        assert context[0] == 0
        text = tokenizer.decode(context)
        bare = tokenizer.encode("</s><model>", add_special_tokens=False)
        for choice in item.choices:
            whole = tokenizer.encode(text + choice, add_special_tokens=False)
            expected.append(torch_scorer.log_prob(context, whole[len(context) :]))
            whole = tokenizer.encode("</s><model>" + choice, add_special_tokens=False)
            neutral.append(torch_scorer.log_prob([0, *bare], whole[len(bare) :]))
    np.testing.assert_allclose(table.heads["base"], expected, atol=1e-4)
    np.testing.assert_allclose(table.heads["neutral"], neutral, atol=1e-4)
    (tree, _), _ = model.encoder.trees(scorer.pairs(ITEMS))
    assert tree.tokens.tolist().count(0) == 1


def test_a_template_that_begins_with_the_beginning_of_text(tmp_path):
    save_tokenizer(tmp_path, prepend_bos=True)
    encoder = TextEncoder(tmp_path / "tokenizer.json", (0,), 0, 64, 999)
    text = "bees make honey, wax, noise and trouble because they"
    pairs = [(f"<s>{text}", [" do"]), (text, [" do"])]
    (own, put), _ = encoder.trees(pairs)
    assert own.tokens.tolist() == put.tokens.tolist()
    assert put.tokens[0] == 0
    short = TextEncoder(tmp_path / "tokenizer.json", (0,), 0, 9, 999)
    (own, put), truncated = short.trees(pairs)
    assert truncated == [0, 1]
    assert own.tokens.tolist() == put.tokens.tolist()


@pytest.mark.parametrize("delimiter", ["", " ", "\n", " => "])
def test_the_delimiter_stands_before_every_answer(delimiter, model, llama_checkpoint):
    torch_scorer = TorchScorer(llama_checkpoint)
    scorer = ChoiceScorer.of(model, "question", False, delimiter)
    expected = [
        torch_scorer.log_prob(*torch_scorer.encode(scorer.prompt.context(item), delimiter + choice))
        for item in ITEMS
        for choice in item.choices
    ]
    np.testing.assert_allclose(scorer.table(ITEMS, ["base"]).heads["base"], expected, atol=1e-4)
    lettered = as_prompt("letters", delimiter)
    assert lettered.continuations(["x", "y"]) == [delimiter + "A", delimiter + "B"]
    shown = as_prompt("question", delimiter).with_examples(ITEMS[:1])
    assert f"Answer:{delimiter}honey\n\n" in shown.context(ITEMS[1])
    assert shown.borrowed(ITEMS[0], "soil")[1] == [delimiter + "soil"]


CHAT = {"template": TEMPLATES["marks"], "tokens": TOKENS}


def test_a_chat_prompt():
    prompt = as_prompt("chat", chat=CHAT)
    head = "[system]\nBe brief[end]\n[user]\n"
    tail = "[end]\n[assistant]\n"
    assert prompt.context(ITEMS[0]) == f"{head}What do bees make?{tail}"
    assert prompt.continuations(ITEMS[0].choices) == ["honey", "wax and noise", "iron"]
    assert prompt.neutral_context == prompt.hide_question().context(ITEMS[0]) == tail
    asked = as_prompt("chat:Q: {question}\n{options}Answer:", chat=CHAT)
    shown = "Q: What do bees make?\nA. honey\nB. wax and noise\nC. iron\nAnswer:"
    assert asked.context(ITEMS[0]) == f"{head}{shown}{tail}"
    assert asked.continuations(ITEMS[0].choices) == ["A", "B", "C"]
    assert asked.neutral_context == f"\nAnswer:{tail}"
    few = prompt.with_examples(ITEMS)
    assert few.context(Item("Who?", ["a", "b"])) == (
        f"{head}What do bees make?{tail}honey[end]\n"
        f'[user]\nIt is warm. What "melts" <in> the sun?{tail}ice[end]\n[user]\nWho?{tail}'
    )
    with pytest.raises(LikraError, match="the model has no chat template; use prompt 'question'"):
        as_prompt("chat")


@pytest.mark.parametrize(
    "prompt",
    [
        as_prompt("question"),
        Prompt("{question} ->", "", "Some text.", hidden=True),
        as_prompt("chat", "\n", CHAT).with_examples(ITEMS),
    ],
)
def test_settings_are_plain_and_complete(prompt):
    assert as_prompt(json.loads(json.dumps(prompt.settings()))) == prompt


def test_different_prompts_have_different_names():
    prompts = [
        as_prompt("question"),
        as_prompt("question", ""),
        as_prompt("question").with_examples(ITEMS),
        as_prompt("question").hide_question(),
        as_prompt("chat", chat=CHAT),
        as_prompt("chat", chat={**CHAT, "tokens": {}}),
        as_prompt("chat", chat=CHAT).with_examples(ITEMS),
    ]
    names = [str(prompt) for prompt in prompts]
    assert len(set(names)) == len(prompts)
    assert names[0] == "\n\nQuestion: {question}\nAnswer:"
    assert names[4].startswith("chat:{question} (")


def test_contexts_of_choices_stand_behind_the_examples():
    pronoun = Item("", ["is big.", "is big."], 1, contexts=["The cat", "The dog"])
    prompt = as_prompt("question").with_examples([pronoun])
    assert prompt.pairs(pronoun) == [
        ("\n\nThe dog is big.\n\nThe cat", [" is big."]),
        ("\n\nThe dog is big.\n\nThe dog", [" is big."]),
    ]


def test_letters_stand_for_whole_texts():
    pronoun = Item("Who is big?", ["is big.", "is big."], 1, contexts=["The cat", "The dog"])
    prompt = as_prompt("letters")
    shown = "\n\nQuestion: Who is big?\nA. The cat is big.\nB. The dog is big.\nAnswer:"
    assert prompt.pairs(pronoun) == [(shown, [" A", " B"])]
    assert prompt.neutral(pronoun) == prompt.neutral_context


def test_a_saved_classifier_keeps_its_prompt(chatty_folder, items, tmp_path):
    few = as_prompt("completion", "").with_examples(items[:2])
    for name, prompt in (("chat", "chat"), ("few", few)):
        fitted = LikraClassifier(chatty_folder, mode="base", prompt=prompt).fit(items[2:])
        fitted.save(tmp_path / name)
        loaded = LikraClassifier.load(tmp_path / name)
        assert loaded.prompt == prompt
        assert loaded.scorer_.prompt == fitted.scorer_.prompt
        for one, other in zip(
            loaded.score_choices(items), fitted.score_choices(items), strict=True
        ):
            np.testing.assert_allclose(one, other, atol=1e-5)
    assert isinstance(LikraClassifier.load(tmp_path / "chat").scorer_.prompt, ChatPrompt)


def test_what_a_manifest_says_of_chat_templates(chatty, chatty_folder, tmp_path):
    expected = {"template": TEMPLATES["begins"], "tokens": TOKENS}
    assert read_manifest(chatty_folder).chat == expected
    assert chat_of_files(chatty) == expected
    assert chat_of_files(tmp_path) is None
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}")
    assert chat_of_files(tmp_path) == {"template": "{{ bos_token }}", "tokens": {}}
    several = [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]
    tokens = {"bos_token": {"content": "<b>", "lstrip": False}, "pad_token": None, "other": "x"}
    assert chat_settings(several, tokens) == {"template": "d", "tokens": {"bos_token": "<b>"}}
    assert chat_settings({"tools": "t"}, tokens) is None
    assert chat_settings(None, tokens) is None
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ExportError, match=r"the chat template of .* cannot be read"):
        chat_of_files(tmp_path)


def test_prompts_on_the_command_line(chatty_folder, model_folder, tmp_path, capsys):
    path = tmp_path / "items.jsonl"
    path.write_text(json.dumps({"question": "Wet?", "choices": ["water", "ash"], "answer": 0}))
    scored = {}
    for name, options in {
        "default": [], "chat": ["--prompt", "chat"], "none": ["--answer-delimiter", ""],
    }.items():  # fmt: skip
        arguments = ["score", path, "--model", chatty_folder, *options]
        status, out, _ = run(*arguments, capsys=capsys)
        assert status == 0
        scored[name] = json.loads(out)["scores"]
    assert len({tuple(scores) for scores in scored.values()}) == 3
    status, _, err = run("score", path, "--model", model_folder, "--prompt", "chat", capsys=capsys)
    assert (status, err.count("\n")) == (1, 1)
    assert "the model has no chat template; use prompt 'question'" in err


def test_heads_keep_the_prompt_they_were_fitted_with(model_folder, items, tmp_path, capsys):
    LikraClassifier(model_folder, mode="base", answer_delimiter="").fit(items).save(tmp_path / "m")
    path = tmp_path / "items.jsonl"
    path.write_text(json.dumps({"question": "Wet?", "choices": ["water", "ash"], "answer": 0}))
    for options in (["--prompt", "completion"], ["--answer-delimiter", " "]):
        arguments = ["evaluate", path, "--model", tmp_path / "m", *options]
        status, _, err = run(*arguments, capsys=capsys)
        assert status == 1
        assert "were fitted with a prompt of their own; leave out --prompt" in err
    assert LikraClassifier.load(tmp_path / "m").scorer_.prompt.delimiter == ""


def test_a_model_folder_may_have_another_default(model_folder, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    manifest = read_manifest(model_folder)
    for name in manifest.files:
        copy_file(model_folder / name, folder / name)
    default = Prompt("问题 {question}\n答案", delimiter="")
    write_manifest(folder, type(manifest)(**{**vars(manifest), "prompt": default.settings()}))
    assert ChoiceScorer.of(LanguageModel(folder), None, False).prompt == default
