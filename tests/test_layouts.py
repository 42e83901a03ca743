"""Every published layout, with records in words of our own, and those of the shared cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from likra_lite import Item, as_items
from likra_lite.questions.files import ItemFile
from likra_lite.questions.layouts import LAYOUTS

ASKED = "What do bees make?"
CHOICES = ("honey", "steel", "glass", "paper")
LISTED = list(CHOICES)
LABELLED = [{"text": text, "label": label} for text, label in zip(CHOICES, "ABCD", strict=True)]
PASSAGE = "Bees make honey."
PLAIN = Item(ASKED, CHOICES, 0)
READ = Item(ASKED, CHOICES, 0, context=PASSAGE)
FULL = Item("", ("was full.", "was full."), 1, contexts=("Ana sat as Eva", "Ana sat as the bus"))
CONTINUED = Item("", ("fly home.", "melt.", "bark.", "rust."), 0, context="The bees are full. They")


def lettered(names: str, *cells: object) -> dict[str, object]:
    return dict(zip(names.split(), [*CHOICES, *cells], strict=True))


# Name of the layout, a record, and the item that it is.
RECORDS: list[tuple[str, object, Item]] = [
    (
        "Winograd schemas (WSC273)",
        {
            "text": "Ana sat as it was full.",
            "pronoun": "it",
            "pronoun_loc": 11,
            "options": ["Eva", "The bus"],
            "label": 1,
        },
        FULL,
    ),
    (
        "WinoGrande",
        {"sentence": "Ana sat as _ was full.", "option1": "Eva", "option2": "the bus", "answer": 2},
        FULL,
    ),
    (
        "LLM-foundry schema",
        {"context_options": list(FULL.contexts or ()), "continuation": "was full.", "gold": 1},
        FULL,
    ),
    (
        "COPA",
        {
            "premise": "It rained.",
            "choice1": "The road got wet.",
            "choice2": "A cat sang.",
            "question": "effect",
            "label": 0,
        },
        Item(
            "What happened as a result?",
            ("The road got wet.", "A cat sang."),
            0,
            context="It rained.",
        ),
    ),
    (
        "Story Cloze",
        {
            **{f"input_sentence_{i}": text for i, text in enumerate(["Bees", "are", "full.", "They"], 1)},
            "sentence_quiz1": "melt.",
            "sentence_quiz2": "fly home.",
            "answer_right_ending": 2,
        },
        Item("", ("melt.", "fly home."), 1, context="Bees are full. They"),
    ),
    (
        "Story Cloze (CSV)",
        {
            **{f"InputSentence{i}": text for i, text in enumerate(["Bees", "are", "full.", "They"], 1)},
            "RandomFifthSentenceQuiz1": "melt.",
            "RandomFifthSentenceQuiz2": "fly home.",
            "AnswerRightEnding": "2",
        },
        Item("", ("melt.", "fly home."), 1, context="Bees are full. They"),
    ),
    (
        "PIQA",
        {"goal": "Cool tea.", "sol1": "Set it on fire.", "sol2": "Let it stand.", "label": 1},
        Item("Cool tea.", ("Set it on fire.", "Let it stand."), 1),
    ),
    (
        "Social IQa",
        {
            "context": PASSAGE,
            "question": ASKED,
            "answerA": "steel",
            "answerB": "honey",
            "answerC": "glass",
            "label": "2",
        },
        Item(ASKED, ("steel", "honey", "glass"), 1, context=PASSAGE),
    ),
    (
        "Cosmos QA",
        {
            **lettered("answer0 answer1 answer2 answer3"),
            "context": PASSAGE,
            "question": ASKED,
            "label": 0,
        },
        READ,
    ),
    (
        "HellaSwag",
        {"ctx": CONTINUED.context, "endings": list(CONTINUED.choices), "label": "0", "ind": 4},
        CONTINUED,
    ),
    (
        "SWAG",
        {
            "startphrase": CONTINUED.context,
            **{f"ending{i}": text for i, text in enumerate(CONTINUED.choices)},
            "label": 0,
        },
        CONTINUED,
    ),
    (
        "Belebele",
        {
            **lettered("mc_answer1 mc_answer2 mc_answer3 mc_answer4"),
            "flores_passage": PASSAGE,
            "question": ASKED,
            "correct_answer_num": "1",
        },
        READ,
    ),
    (
        "BIG-bench task",
        {"input": ASKED, "target_scores": {"honey": 1, "steel": 0, "glass": 0, "paper": 0}},
        PLAIN,
    ),
    (
        "BIG-bench on the hub",
        {
            "inputs": ASKED,
            "targets": ["honey"],
            "multiple_choice_targets": LISTED,
            "multiple_choice_scores": [1, 0, 0, 0],
        },
        PLAIN,
    ),
    (
        "TruthfulQA, one right answer",
        {"question": ASKED, "mc1_targets": {"choices": LISTED, "labels": [1, 0, 0, 0]}},
        PLAIN,
    ),
    (
        "TruthfulQA, one right answer",
        {"question": ASKED, "mc1_targets": {"honey": 1, "steel": 0, "glass": 0, "paper": 0}},
        PLAIN,
    ),
    (
        "MedMCQA",
        lettered("opa opb opc opd question cop choice_type", ASKED, 1, "single"),
        PLAIN,
    ),
    ("CaseHOLD", lettered("holding_0 holding_1 holding_2 holding_3 citing_prompt label", ASKED, 0), PLAIN),
    (
        "ReClor",
        {"context": PASSAGE, "question": ASKED, "answers": LISTED, "label": 0, "id_string": "r"},
        READ,
    ),
    ("LLM-foundry", {"query": ASKED, "choices": LISTED, "gold": 0}, PLAIN),
    (
        "MMLU-Pro",
        {"question_id": 7, "question": ASKED, "options": LISTED, "answer": "A", "answer_index": 0},
        PLAIN,
    ),
    (
        "AQuA",
        {"question": ASKED, "options": [*map("{}){}".format, "ABCD", CHOICES)], "rationale": "",
         "correct": "A"},
        PLAIN,
    ),
    (
        "AQuA",
        {"question": ASKED, "options": "a ) honey , b ) steel , c ) glass , d ) paper",
         "rationale": "", "correct": "a"},
        PLAIN,
    ),
    (
        "AGIEval",
        {"passage": PASSAGE, "question": ASKED, "options": [*map("({}){}".format, "ABCD", CHOICES)],
         "label": "A"},
        READ,
    ),
    ("RACE", {"article": PASSAGE, "question": ASKED, "options": LISTED, "answer": "A"}, READ),
    (
        "RACE",
        {"article": CONTINUED.context, "options": list(CONTINUED.choices), "answers": "A", "id": "m"},
        CONTINUED,
    ),
    ("LogiQA", {"text": PASSAGE, "question": ASKED, "options": LISTED, "answer": 0}, READ),
    (
        "answer key (ARC, CommonsenseQA, OpenBookQA, QASC)",
        {"question": {"stem": ASKED, "choices": LABELLED}, "answerKey": "A"},
        PLAIN,
    ),
    (
        "answer key (ARC, CommonsenseQA, OpenBookQA, QASC)",
        {"question_stem": ASKED, "choices": {"text": LISTED, "label": [*"1234"]}, "answerKey": "1"},
        PLAIN,
    ),
    ("a list of choices", {"question": ASKED, "choices": LISTED, "answer": 0}, PLAIN),
    ("a list of choices", {"Question": ASKED, "Options": LISTED, "Correct Answer": "honey"}, PLAIN),
    (
        "a list of choices",
        {"question": ASKED, "options": dict(zip("DCBA", CHOICES[::-1], strict=True)),
         "answer": "honey", "answer_idx": "A"},
        PLAIN,
    ),
    (
        "a list of choices",
        {"qtext": ASKED, "answers": [{"aid": i, "atext": t} for i, t in enumerate(CHOICES, 1)],
         "ra": 1},
        PLAIN,
    ),
    (
        "a list of choices",
        {"question": ASKED, "options": [{"text": t, "isCorrect": t == "honey"} for t in CHOICES]},
        PLAIN,
    ),
    ("a list of choices", {"question": ASKED, "choices": "['honey' 'steel'\n 'glass' 'paper']", "answer": "A"}, PLAIN),
    ("a list of choices", {"question": ASKED, "choices": json.dumps(LISTED), "answer": "A"}, PLAIN),
    ("a field for each choice", lettered("A B C D Question Answer", ASKED, "A"), PLAIN),
    ("a field for each choice", lettered("option_a option_b option_c option_d prompt key", ASKED, "a"), PLAIN),
    ("a field for each choice", lettered("1 2 3 4 question answer", ASKED, "honey"), PLAIN),
    (
        "BoolQ",
        {"question": "do bees make honey", "title": "Bee", "answer": True, "passage": PASSAGE},
        Item("do bees make honey", ("no", "yes"), 1, context=PASSAGE),
    ),
    (
        "choices inside the question, or true and false",
        {"question": f"{ASKED} (A) honey (B) steel (C) glass (D) paper", "AnswerKey": "A"},
        PLAIN,
    ),
    (
        "choices inside the question, or true and false",
        {"input": f"{ASKED}\nOptions:\n(A) honey\n(B) steel\n(C) glass\n(D) paper", "target": "(A)"},
        PLAIN,
    ),
    (
        "choices inside the question, or true and false",
        {"question": "Do bees bark?", "answer": "FALSE"},
        Item("Do bees bark?", ("no", "yes"), 0),
    ),
]  # fmt: skip

# Right and wrong answers in fields of their own: the order is drawn.
RIGHT_AND_WRONG = [
    ("SciQ", {"question": ASKED, "correct_answer": "honey", "support": PASSAGE,
              **{f"distractor{i}": text for i, text in enumerate(CHOICES[1:], 1)}}),
    ("TruthfulQA", {"Question": ASKED, "Best Answer": "honey", "Correct Answers": "honey; wax",
                    "Incorrect Answers": "steel; glass;paper"}),
    ("right and wrong answers (GPQA)",
     {"Question": ASKED, "Correct Answer": "honey",
      **{f"Incorrect Answer {i}": text for i, text in enumerate(CHOICES[1:], 1)}}),
    ("right and wrong answers (Open Trivia)",
     {"question": ASKED, "correct_answer": "honey", "incorrect_answers": LISTED[1:]}),
    ("right and wrong answers", {"question": ASKED, "correct": "honey", "incorrect": LISTED[1:]}),
    ("a right answer and wrong ones",
     {"Question": ASKED, "Correct answer": "honey", "Wrong 1": LISTED[1], "Wrong 2": LISTED[2], "Wrong 3": LISTED[3]}),
    ("a right answer and wrong answers",
     {"Question": ASKED, "Correct answer": "honey", "Wrong answer 1": LISTED[1], "Wrong answer 2": LISTED[2],
      "Wrong answer 3": LISTED[3]}),
]  # fmt: skip


def with_record(record: object, path: Path) -> ItemFile:
    path.write_text(json.dumps(record) + "\n")
    return ItemFile(path)


@pytest.mark.parametrize(("layout", "record", "item"), RECORDS)
def test_published_layouts(layout, record, item, tmp_path):
    file = with_record(record, tmp_path / "items.jsonl")
    assert file.summary().layouts == (layout,)
    (found,) = file
    expected = (item.question, item.choices, item.answer, item.context, item.contexts)
    assert (found.question, found.choices, found.answer, found.context, found.contexts) == expected


@pytest.mark.parametrize(("layout", "record"), RIGHT_AND_WRONG)
def test_right_and_wrong_answers_are_shuffled_by_a_seed_that_is_kept(layout, record, tmp_path):
    file = with_record(record, tmp_path / "items.jsonl")
    assert file.summary().layouts == (layout,)
    (item,) = file
    assert item.question == ASKED
    assert sorted(item.choices) == sorted(CHOICES)
    assert item.choices[item.answer or 0] == "honey"
    assert isinstance(item.metadata["shuffle_seed"], int)
    backwards = dict(reversed(record.items()))
    assert as_items([backwards]) == [item]
    questions = [{**record, next(iter(record)): f"{ASKED} {i}"} for i in range(200)]
    places = [item.answer for item in as_items(questions)]
    assert {places.count(place) > 25 for place in range(4)} == {True}, "any place is as likely"


def test_whole_sentences():
    (item,) = as_items([{"sentence_good": "Bees fly.", "sentence_bad": "Bees flies.", "pairID": 3}])
    assert item.contexts == ("", "")
    assert item.choices[item.answer or 0] == "Bees fly."
    (item,) = as_items([{"prompt": ASKED, "chosen": "Honey.", "rejected": "Steel."}])
    assert item.choices[item.answer or 0] == "Honey."


def test_every_layout_has_a_test():
    tested = [name for name, *_ in [*RECORDS, *RIGHT_AND_WRONG]]
    elsewhere = {"BLiMP", "preferences", "COPA (XML)", "QuALITY"}
    assert {layout.name for layout in LAYOUTS} == {*tested, *elsewhere}
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)


def test_copa_in_xml(tmp_path):
    path = tmp_path / "copa.xml"
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<copa-corpus>\n'
        '<item id="4" asks-for="cause" most-plausible-alternative="1">\n<p>The road is wet.</p>\n'
        "<a1>It rained &amp; snowed.</a1>\n<a2>A cat sang.</a2>\n</item>\n</copa-corpus>\n"
    )
    (item,) = ItemFile(path)
    assert item == Item(
        "What was the cause of this?",
        ("It rained & snowed.", "A cat sang."),
        0,
        "4",
        "The road is wet.",
    )
    assert item.source == "copa.xml, line 3"


SEVERAL = [
    {
        "article": PASSAGE,
        "id": "high1",
        "questions": [ASKED, "Do they fly?"],
        "options": [LISTED, ["yes", "no"]],
        "answers": ["A", "A"],
    },
    {
        "article": PASSAGE,
        "id": "high1",
        "questions": [
            {"question": ASKED, "options": LISTED, "gold_label": 1},
            {"question": "Do they fly?", "options": ["no", "yes"], "gold_label": 2},
        ],
    },
    [
        ["Bees make", "honey."],
        [
            {"question": ASKED, "choice": LISTED, "answer": "honey"},
            {"question": "Do they fly?", "choice": ["yes", "no"], "answer": "yes"},
        ],
        "high1",
    ],
]


@pytest.mark.parametrize("record", SEVERAL, ids=["lists", "objects", "triple"])
def test_several_questions_to_a_record(record, tmp_path):
    path = tmp_path / "items.json"
    path.write_text(json.dumps([record]))
    first, second = ItemFile(path)
    assert (first.question, first.choices, first.answer) == (ASKED, CHOICES, 0)
    assert (second.question, second.choices[second.answer or 0]) == ("Do they fly?", "yes")
    assert [first.id, second.id] == ["high1-0", "high1-1"]
    assert {(first.context or "").replace("\n", " "), second.context and PASSAGE} == {PASSAGE}


def test_a_record_with_a_question_of_its_own_is_one_item():
    record = {"question": ASKED, "choices": LISTED, "answer": 0, "data": [{"question": "No."}]}
    assert as_items([record]) == [PLAIN]


SHARED = {
    "agieval_v1.jsonl": "a hen", "aqua_official.json": "a hen", "arc_digits_hub.jsonl": "a hen",
    "arc_digits_official.jsonl": "a hen", "arc_official.csv": "a hen", "belebele.jsonl": "a hen",
    "bigbench_hub.jsonl": "a hen", "bigbench_task.json": "a hen",
    "blimp_official.jsonl": "The hens lay eggs.", "boolq_official.jsonl": "yes",
    "ceval_official.csv": "母鸡", "ceval_test.csv": None, "cmmlu_official.csv": "母鸡",
    "copa_official.xml": "Water ran into the sink.",
    "copa_superglue.jsonl": "Water ran into the sink.", "cosmosqa.csv": "eggs",
    "cosmosqa.jsonl": "eggs", "csqa_official.jsonl": "a hen", "excel_semicolon.csv": "a hen",
    "global_mmlu.csv": "a hen", "global_mmlu.jsonl": "a hen",
    "hellaswag_hub.jsonl": "takes out the bread.",
    "hellaswag_official.jsonl": "takes out the bread.", "hellaswag_test_unlabelled.jsonl": None,
    "llmfoundry_mc.jsonl": "a hen",
    "llmfoundry_schema.jsonl": "The ball broke because the ball was glass.",
    "logiqa2.jsonl": "Berta lays eggs.", "medmcqa_official.json": "a hen",
    "mmlu_hub.jsonl": "a hen", "mmlu_original.csv": "a hen", "mmlu_pro.jsonl": "a hen",
    "openbookqa_hub.jsonl": "a hen", "openbookqa_official.jsonl": "a hen",
    "piqa_hub.jsonl": "Put a lid on the pot.", "piqa_official.jsonl": "Put a lid on the pot.",
    "qasc_official.jsonl": "a hen", "race_hub.jsonl": "a hen", "sciq_hub.jsonl": "a hen",
    "sciq_official.json": "a hen", "siqa_hub.jsonl": "eggs", "siqa_official.jsonl": None,
    "storycloze_hub.jsonl": "x", "swag_official.csv": "carries it out.",
    "truthfulqa_mc_hub.jsonl": "Yes, they do.", "truthfulqa_mc_task.json": "Yes, they do.",
    "truthfulqa_official.csv": "Yes, they do",
    "winogrande_official.jsonl":
        "The ball did not fit in the bag because the ball was too big.",
    "wsc273_hub.jsonl": "The ball did not fit in the bag because the ball was too big.",
}  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_shared_cases(name):
    folder = Path(__file__).resolve().parents[2] / "shared" / "cases" / "layouts"
    if not folder.is_dir():
        pytest.skip("the shared cases are not here")
    labels = folder / f"{Path(name).stem}-labels.lst"
    item = next(iter(ItemFile(folder / name, labels=labels if labels.exists() else None)))
    if SHARED[name] is None:
        assert item.answer is None
        return
    assert item.answer is not None
    context = item.contexts[item.answer] if item.contexts else ""
    assert f"{context} {item.choices[item.answer]}".strip() == SHARED[name]
    assert {path.name for path in folder.iterdir() if path.suffix != ".lst"} == SHARED.keys()
