"""The command line, as a person would use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from likra_lite.cli.main import group, main

from likra_lite import LikraClassifier, LikraError, read_items
from likra_lite.scoring.decision import Decision
from likra_lite.scoring.modes import supported_modes

ROOT = Path(__file__).resolve().parent.parent
QUESTIONS = str(ROOT / "examples" / "questions.jsonl")


@pytest.fixture(autouse=True)
def _restore_warnings():
    import warnings

    with warnings.catch_warnings():
        yield


@pytest.fixture(scope="module")
def fitted_folder(model_folder, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("cli") / "fitted"
    with pytest.MonkeyPatch.context():
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            LikraClassifier(model_folder, adapter="output", mode="likra", alpha=0.9).fit(
                read_items(QUESTIONS)
            ).save(folder)
    return str(folder)


@pytest.mark.parametrize("mode", ["sft", "likra", "base-likra", "auto"])
def test_fit(mode, model_folder, tmp_path, capsys):
    out = tmp_path / "fitted"
    status, text, _ = run(
        "fit",
        QUESTIONS,
        "--model",
        str(model_folder),
        "--out",
        str(out),
        "--mode",
        mode,
        "--adapter",
        "output",
        capsys=capsys,
    )
    assert status == 0
    heads = {"sft": "positive output matrix", "base-likra": "negative output matrix"}
    what = heads.get(mode, "positive and negative output matrices")
    assert f"fitted {what} on 48 items in" in text
    assert "held-out accuracy on 48 items (cross-fitted" in text
    saved = LikraClassifier.load(out)
    assert saved.mode == mode
    tried = 2 * len(supported_modes(saved.held_out_.heads))  # raw and per character
    assert text.count("+-") == tried + 1, "and what is in force"
    unseen = np.mean(saved.held_out_decision_.predict(saved.held_out_) == saved.held_out_y_)
    assert f"in force: {saved.decision_}: {unseen:.3f} +- " in text


def test_fit_without_heads(model_folder, tmp_path, capsys):
    out = tmp_path / "fitted"
    arguments = ("fit", QUESTIONS, "--model", str(model_folder), "--out", str(out))
    status, text, _ = run(*arguments, "--adapter", "none", capsys=capsys)
    assert status == 0
    assert "fitted the decision on 48 items in" in text
    assert "of the negative head" not in text
    status, text, _ = run("score", QUESTIONS, "--model", str(out), capsys=capsys)
    assert status == 0
    saved = LikraClassifier.load(out)
    records = [json.loads(line) for line in text.splitlines()]
    assert [r["prediction"] for r in records] == saved.predict(read_items(QUESTIONS)).tolist()
    assert set(records[0]["log_likelihoods"]) == {"base", "neutral"}


@pytest.mark.parametrize("option", ["--alpha", "--normalization"])
def test_fit_wants_a_mode_for_what_is_of_a_mode(option, model_folder, tmp_path, capsys):
    value = "0.5" if option == "--alpha" else "chars"
    arguments = ("fit", QUESTIONS, "--model", str(model_folder), "--out", str(tmp_path / "out"))
    status, _, problem = run(*arguments, option, value, capsys=capsys)
    assert status == 2
    assert f"{option} is of a mode" in problem
    status, _, problem = run(*arguments, "--adapter", "none", "--mode", "likra", capsys=capsys)
    assert status == 1
    assert "mode 'likra' reads the negative and the positive head" in problem


def test_fit_options_reach_the_classifier(model_folder, tmp_path, capsys):
    out = tmp_path / "fitted"
    arguments = (
        "fit", QUESTIONS, "--model", str(model_folder), "--out", str(out), "--mode", "likra",
        "--alpha", "0.5", "--normalization", "chars", "--negatives", "all", "--limit", "20",
        "--validation", QUESTIONS, "--seed", "3", "--penalty", "auto", "--n-negatives", "2",
        "--contamination", "0.1", "--prompt", "completion", "--cv", "3", "--threads", "1",
        "--adapter", "output",
    )  # fmt: skip
    status, text, _ = run(*arguments, capsys=capsys)
    assert status == 0
    assert "on 20 items" in text
    parameters = LikraClassifier.load(out).get_params()
    expected = {
        "mode": "likra", "alpha": 0.5, "normalization": "chars", "negatives": "all",
        "random_state": 3, "penalty": "auto", "n_negatives": 2, "contamination": 0.1,
        "prompt": "completion", "cv": 3,
    }  # fmt: skip
    assert {name: parameters[name] for name in expected} == expected


def test_score_equals_the_library(fitted_folder, capsys, tmp_path):
    status, text, _ = run("score", QUESTIONS, "--model", fitted_folder, capsys=capsys)
    assert status == 0
    records = [json.loads(line) for line in text.splitlines()]
    items = read_items(QUESTIONS)
    classifier = LikraClassifier.load(fitted_folder)
    table = classifier.log_likelihoods(items)
    scores = classifier.score_choices(items)
    assert [record["id"] for record in records] == [item.id for item in items]
    assert [record["prediction"] for record in records] == classifier.predict(items).tolist()
    for index, record in enumerate(records):
        np.testing.assert_allclose(record["scores"], scores[index], atol=1e-4)
        assert sum(record["probabilities"]) == pytest.approx(1.0)
        assert set(record["log_likelihoods"]) == {"positive", "negative"}
        for head, values in record["log_likelihoods"].items():
            np.testing.assert_allclose(values, table.split(table.heads[head])[index], atol=1e-4)
    out = tmp_path / "scores.jsonl"
    status, printed, _ = run(
        "score", QUESTIONS, "--model", fitted_folder, "--out", str(out), capsys=capsys
    )
    assert (status, printed) == (0, "")
    assert out.read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["scores.jsonl"]


@pytest.mark.parametrize(("error_rate", "warns"), [("0.9", False), ("0.75", True)])
@pytest.mark.filterwarnings("ignore::likra_lite.errors.AbstentionWarning")
def test_score_with_sets_and_abstention(error_rate, warns, fitted_folder, capsys):
    arguments = ("score", QUESTIONS, "--model", fitted_folder)
    _, plain, _ = run(*arguments, capsys=capsys)
    status, text, err = run(
        *arguments, "--coverage", "0.8", "--error-rate", error_rate, capsys=capsys
    )
    assert status == 0
    assert ("warning: nothing is answered" in err) == warns
    records = [json.loads(line) for line in text.splitlines()]
    items = read_items(QUESTIONS)
    classifier = LikraClassifier.load(fitted_folder)
    sets = classifier.predict_set(items, 0.8)
    answers = classifier.predict_or_abstain(items, float(error_rate))
    assert [record["set"] for record in records] == [each.tolist() for each in sets]
    assert [record["abstain"] for record in records] == [answer == -1 for answer in answers]
    for record in records:
        assert record["abstain"] is warns
        del record["set"], record["abstain"]
    assert records == [json.loads(line) for line in plain.splitlines()]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--coverage", "1.5"), "got coverage=1.5; expected a share between 0 and 1"),
        (("--coverage", "0.99"), "48 held-out items; it needs at least 99"),
        (("--error-rate", "0"), "got error_rate=0.0; expected a share between 0 and 1"),
        (("--error-rate", "0.01"), "48 held-out items; to be sure of it with confidence 0.9"),
    ],
)
def test_coverage_and_error_rate_that_cannot_be(option, message, fitted_folder, capsys, tmp_path):
    out = tmp_path / "scores.jsonl"
    arguments = ("score", QUESTIONS, "--model", fitted_folder, "--out", str(out), *option)
    status, _, err = run(*arguments, capsys=capsys)
    assert status == 1
    assert message in err
    assert err.count("\n") == 1
    assert not out.exists()


def test_coverage_needs_held_out_items(model_folder, capsys):
    for option in (("--coverage", "0.9"), ("--error-rate", "0.1")):
        status, _, err = run(
            "score", QUESTIONS, "--model", str(model_folder), *option, capsys=capsys
        )
        assert status == 1
        assert f"{model_folder} has no fitted heads, hence no held-out items" in err


def test_score_with_a_folder_without_heads_and_items_without_answers(
    model_folder, tmp_path, capsys
):
    path = tmp_path / "new.jsonl"
    path.write_text('{"question": "Wet?", "choices": ["water", "sand", "ash"]}\n')
    status, text, _ = run("score", str(path), "--model", str(model_folder), capsys=capsys)
    record = json.loads(text)
    assert status == 0
    assert record["id"] == 0
    assert record["log_likelihoods"] == {"base": record["scores"]}


def test_evaluate(fitted_folder, capsys):
    status, text, _ = run("evaluate", QUESTIONS, "--model", fitted_folder, capsys=capsys)
    assert status == 0
    for mode in ("base", "pmi", "sft", "likra", "base-likra", "pos-base"):
        assert f"\n{mode} " in text
    status, text, _ = run("evaluate", QUESTIONS, "--model", fitted_folder, "--json", capsys=capsys)
    content = json.loads(text)
    assert content["items"] == 48
    assert content["in_force"]["mode"] == "likra"
    rows = {(row["mode"], row["normalization"]): row for row in content["modes"]}
    assert len(rows) == 12
    items = read_items(QUESTIONS)
    y = np.array([item.answer for item in items])
    table = LikraClassifier.load(fitted_folder).log_likelihoods(items)
    for (mode, normalization), row in rows.items():
        share = float(np.mean(Decision(mode, 0.9, normalization).predict(table) == y))
        assert row["accuracy"] == pytest.approx(share), mode
        assert row["standard_error"] == pytest.approx(np.sqrt(share * (1 - share) / 48))


def test_evaluate_without_heads_knows_base_and_pmi(model_folder, capsys):
    status, text, _ = run(
        "evaluate", QUESTIONS, "--model", str(model_folder), "--limit", "8", capsys=capsys
    )
    assert status == 0
    assert "on 8 items" in text
    assert "\nbase " in text
    assert "\npmi " in text
    assert "likra" not in text


def test_export(llama_checkpoint, tmp_path, capsys):
    status, text, _ = run(
        "export", str(llama_checkpoint), "--out", str(tmp_path / "model"), capsys=capsys
    )
    assert status == 0
    assert "exported LlamaForCausalLM" in text
    assert "agrees with NumPy to" in text


def test_every_command_and_option_is_described(capsys):
    for name, command in group.commands.items():
        status, text, _ = run(name, "--help", capsys=capsys)
        assert status == 0
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, f"{name} {parameter.name} has no help"
                assert max(parameter.opts, key=len) in text


def test_choices_of_options_are_those_of_the_library():
    from likra_lite.heads.negatives import NEGATIVES
    from likra_lite.scoring.lengths import NORMALIZATIONS
    from likra_lite.scoring.modes import MODES

    choices = {p.name: getattr(p.type, "choices", None) for p in group.commands["fit"].params}
    assert set(choices["mode"]) == {"auto", *MODES}
    assert set(choices["normalization"]) == {"auto", *NORMALIZATIONS}
    assert set(choices["negatives"]) == set(NEGATIVES)


def test_option_defaults_are_those_of_the_library():
    parameters = LikraClassifier().get_params()
    for option in group.commands["fit"].params:
        name = {"seed": "random_state"}.get(option.name, option.name)
        if name in parameters and isinstance(option.default, str | int | float):
            assert option.default == parameters[name], name


def test_debug_shows_the_traceback(capsys, tmp_path):
    arguments = ["score", QUESTIONS, "--model", str(tmp_path / "nowhere")]
    with pytest.raises(LikraError, match="does not exist"):
        main([*arguments, "--debug"])
    status, _, err = run(*arguments, capsys=capsys)
    assert status == 1
    assert err.startswith("likra-lite: error: model folder")
    assert err.count("\n") == 1


def test_start_up_is_light():
    code = (
        "import sys, likra_lite, likra_lite.cli.main\n"
        "heavy = {'torch', 'pandas', 'matplotlib', 'sklearn', 'scipy', 'numpy', 'onnxruntime'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_scoring_imports_little(fitted_folder):
    code = (
        "import sys\n"
        "from likra_lite.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'transformers', 'matplotlib', 'sklearn', 'scipy.stats'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    arguments = ["score", QUESTIONS, "--model", fitted_folder, "--coverage", ".9"]
    arguments += ["--error-rate", ".75"]
    subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, cwd=ROOT, stdout=subprocess.DEVNULL
    )


def test_interrupt_keeps_what_is_done(fitted_folder, tmp_path):
    questions = tmp_path / "many.jsonl"
    questions.write_text(Path(QUESTIONS).read_text() * 400)
    process = subprocess.Popen(
        [sys.executable, "-c", "from likra_lite.cli.main import main; main()", "score",
         str(questions), "--model", fitted_folder, "--out", str(tmp_path / "scores.jsonl")],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        notes = tmp_path / "scores.jsonl.resume"
        if notes.is_file() and notes.read_text().count("\n") > 1:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "interrupted" in stderr
    assert f"of {48 * 400} items are scored in {tmp_path / 'scores.jsonl.partial'}" in stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "many.jsonl", "scores.jsonl.partial", "scores.jsonl.resume",
    ]  # fmt: skip
    lines = (tmp_path / "scores.jsonl.partial").read_text().splitlines()
    assert 0 < len(lines) < 48 * 400
    for line in lines:
        json.loads(line)


def test_closed_pipe_is_quiet(fitted_folder):
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-c", "from likra_lite.cli.main import main; main()", "score", QUESTIONS,
         "--model", fitted_folder],
        cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert "error" not in process.stderr
    assert process.returncode == 141


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_out_may_be_a_link_or_a_pipe(fitted_folder, tmp_path, capsys):
    arguments = ["score", QUESTIONS, "--model", fitted_folder, "--out"]
    (tmp_path / "link").symlink_to("target.jsonl")
    assert run(*arguments, str(tmp_path / "link"), capsys=capsys)[0] == 0
    assert (tmp_path / "link").is_symlink()
    expected = (tmp_path / "target.jsonl").read_text()
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True)
    assert run(*arguments, str(tmp_path / "pipe"), capsys=capsys)[0] == 0
    assert reader.communicate(timeout=30)[0] == expected
    assert not (tmp_path / "pipe").is_file(), "still a pipe"


def test_help_lists_each_command_once(capsys):
    _, text, _ = run("--help", capsys=capsys)
    assert "\\b" not in text
    for name in group.commands:
        assert text.count(f"\n  {name} ") == 1
